"""Every public model on every card beside every host: a plan that keeps to both, or the reason why there is none."""

from functools import cache
from itertools import pairwise

import pytest

from cosmos_handler.memory.catalogue import CatalogueModel, catalogue_models
from cosmos_handler.memory.making import Wanted
from cosmos_handler.memory.plan import NothingFits, Plan
from cosmos_handler.memory.search import Rules, choose
from cosmos_handler.memory.usual import usual_task
from cosmos_handler.messages.machine import Machine
from cosmos_handler.messages.tasks import Answer, Task, Transfer

DEVICES_GB = (16, 24, 40, 48, 80, 96, 141)
HOSTS_GB = (16, 32, 64, 128, 512)
MODELS = sorted(catalogue_models())


def machine(device_gb: float, host_gb: float) -> Machine:
    return Machine(
        name=f"{device_gb} GB beside {host_gb} GB",
        device_bytes=int(device_gb * 1e9),
        host_bytes=int(host_gb * 1e9),
        link_bytes_per_second=24e9,
        disk_bytes_per_second=2e9,
        memory_bytes_per_second=2e12,
        linear_flops_per_second=3e14,
        attention_flops_per_second=2e14,
    )


def requests_of(model: CatalogueModel) -> dict[str, Task | Wanted]:
    """The usual request, and smaller ones: fewer frames, a smaller size, a short question."""
    if model.checkpoint is None:
        assert model.request is not None
        usual = model.request.__dict__
        return {
            "usual": model.request,
            "short": Wanted(**{**usual, "num_frames": 1 + (usual["num_frames"] - 1) // 2}),
            "small": Wanted(**{**usual, "height": 384, "width": 640}),
        }
    task = usual_task(model.checkpoint)
    if isinstance(task, Answer):
        return {"usual": task, "short": task.model_copy(update={"max_tokens": 64})}
    frames = "num_frames_per_chunk" if isinstance(task, Transfer) else "num_frames"
    short = {frames: 1 + (getattr(task, frames) // 8) * 4}
    if not isinstance(task, Transfer):
        short["num_output_frames"] = short[frames]
    small = {"height": 384, "width": 640, "output_height": 384, "output_width": 640}
    small = {name: value for name, value in small.items() if hasattr(task, name)}
    return {"usual": task, "short": task.model_copy(update=short), "small": task.model_copy(update=small)}


@cache
def planned(name: str, request: str, device_gb: int, host_gb: int, *, resident: bool = False) -> Plan | str:
    """The plan, or the reason why there is none."""
    model = catalogue_models()[name]
    groups = {part.group for part in model.part_sheets()} if resident else ()
    rules = Rules(tuple((group, "resident") for group in sorted(groups)), "none") if resident else Rules()
    try:
        stages = model.stages(requests_of(model)[request])
        return choose(model.part_sheets(), stages, machine(device_gb, host_gb), rules)
    except NothingFits as error:
        return error.problem


@pytest.mark.parametrize("name", MODELS)
def test_a_plan_keeps_to_the_device_and_the_host_or_says_why_not(name: str) -> None:
    for request in requests_of(catalogue_models()[name]):
        for device_gb in DEVICES_GB:
            for host_gb in HOSTS_GB:
                plan = planned(name, request, device_gb, host_gb)
                if isinstance(plan, str):
                    assert "GiB of the device in the stage" in plan or "in host memory" in plan
                    continue
                assert plan.peak_bytes <= device_gb * 1e9
                assert plan.host_bytes <= host_gb * 1e9
                assert plan.seconds > 0


@pytest.mark.parametrize("name", MODELS)
def test_more_memory_is_never_worse(name: str) -> None:
    for request in requests_of(catalogue_models()[name]):
        for host_gb in HOSTS_GB:
            assert_falls([planned(name, request, device_gb, host_gb) for device_gb in DEVICES_GB])
        for device_gb in DEVICES_GB:
            assert_falls([planned(name, request, device_gb, host_gb) for host_gb in HOSTS_GB])


def assert_falls(plans: list[Plan | str]) -> None:
    for less, more in pairwise(plans):
        if isinstance(less, str):
            continue
        assert not isinstance(more, str)
        assert not (less.decode == "exact" and more.decode == "tiled")
        if less.decode == more.decode:
            assert more.seconds <= less.seconds * (1 + 1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_a_smaller_request_needs_no_more(name: str) -> None:
    requests = requests_of(catalogue_models()[name])
    for device_gb in DEVICES_GB:
        for host_gb in HOSTS_GB:
            if isinstance(planned(name, "usual", device_gb, host_gb), str):
                continue
            for smaller in requests.keys() - {"usual"}:
                assert not isinstance(planned(name, smaller, device_gb, host_gb), str)


@pytest.mark.parametrize("name", MODELS)
def test_with_nothing_offloaded_nothing_is_copied(name: str) -> None:
    plan = planned(name, "usual", 141, 16, resident=True)
    if not isinstance(plan, str):
        assert plan.copy_seconds == 0
        assert plan.host_bytes == 0


# In denoising, at 121 frames of 1280 x 704.
@pytest.mark.parametrize(
    ("name", "none_gb", "all_gb"),
    [("Cosmos-Predict1-7B-Text2World", 34, 8), ("Cosmos-Predict1-14B-Text2World", 50, 10)],
)
def test_predict1_takes_less_than_published(name: str, none_gb: float, all_gb: float) -> None:
    """Published are 24.4 and 39.0 GB with everything offloaded, beside a guardrail model that was larger."""
    from cosmos_handler.memory.presets import rules_for
    from cosmos_handler.messages.machine import MemoryWish

    model = catalogue_models()[name]
    parts, stages = model.part_sheets(), model.stages()
    none, everything = (
        choose(parts, stages, machine(200, 200), rules_for(MemoryWish.model_validate({"offload": offload}), parts))
        for offload in ("none", "all")
    )
    denoise = everything.stage("denoise")
    assert denoise is not None
    sizes = {part.key: part.size_bytes for part in parts}
    ahead_bytes = sum(sizes[key] for key in denoise.fetched_ahead)  # which has room enough here, and need not have
    assert denoise.peak_bytes - ahead_bytes <= all_gb * 1e9
    at_denoise = none.stage("denoise")
    assert at_denoise is not None
    assert at_denoise.peak_bytes <= none_gb * 1e9
    assert denoise.copy_seconds / denoise.compute_seconds <= 0.005


def test_everything_offloaded_predict25_14b_takes_13_gb() -> None:
    from cosmos_handler.memory.presets import rules_for
    from cosmos_handler.messages.machine import MemoryWish

    model = catalogue_models()["Cosmos-Predict2.5-14B"]
    parts = model.part_sheets()
    plan = choose(parts, model.stages(), machine(200, 200), rules_for(MemoryWish(offload="all"), parts))
    assert plan.peak_bytes <= 13e9


def test_24_gb_serve_reason1_with_a_usual_clip() -> None:
    plan = planned("Cosmos-Reason1-7B", "usual", 22, 16)
    assert isinstance(plan, Plan)
    assert set(plan.placements.values()) == {"resident"}
