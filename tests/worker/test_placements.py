"""Every placement of every family: the same output, and never more memory than was planned.

The device is the CPU; what lies on it is counted by the storages that torch really allocates and drops, which knows
nothing of any plan. Weights that stay are allocated under its eyes as well.
"""

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmos_handler.media.clip import MediaFile
from cosmos_handler.memory.sheet import GROUPS
from cosmos_handler.memory.usual import usual_task
from cosmos_handler.messages.machine import MemoryWish
from cosmos_handler.messages.tasks import Answer, Continue, Generate, Omni, Piece, Task, Transfer, Turn, Upsampling
from cosmos_handler.messages.wire import Done, Run
from tests.conftest import make_tiny, setup_of

pytestmark = pytest.mark.model

WISHES = {
    **{row: MemoryWish.model_validate({"offload": row}) for row in ("none", "all")},
    **{
        f"{group}={placement}": MemoryWish.model_validate({"offload": "none", "placement": {group: placement}})
        for group in GROUPS
        for placement in ("swapped", "streamed", "disk")
        if not (placement == "streamed" and group in ("guardrails", "tokenizer"))
    },
}
ROOMY_BYTES = 2**40


@dataclass
class Case:
    """A checkpoint and a task for it. batch_size: how many such tasks are done together, with seeds of their own."""

    folder: Path
    model: str
    task: Task
    session: Any
    said: list[Any]
    batch_size: int = 1

    @property
    def is_variant(self) -> bool:
        """Whether another case has the same parts."""
        task = self.task
        goes_on = isinstance(task, Generate | Continue) and (task.num_chunks > 1 or task.upsampling is not None)
        return goes_on or self.batch_size > 1

    @property
    def groups(self) -> set[str]:
        """What can be placed by itself in this task."""
        parts, stages = self.session._loaded.house.sheets(self.task, self.model)
        used = {key for stage in stages for key in stage.parts}
        return {part.group for part in parts if part.key in used}


@dataclass(frozen=True)
class Made:
    """What a job gave, what was counted of each stage, and what was planned."""

    output: Any
    counted_bytes: Mapping[str, int]
    planned_bytes: Mapping[str, int]
    placements: Mapping[str, str]


class Counted:
    """Stands where the session measures its device, and reads the counter."""

    def __init__(self, counter: Any) -> None:
        self._counter = counter

    def reset(self) -> None:
        self._counter.reset_peak()

    def read_bytes(self) -> int:
        return int(self._counter.peak_bytes)


def medium(folder: Path, *, num_frames: int, kind: Any = "video") -> MediaFile:
    frames = np.random.default_rng(0).integers(0, 255, (num_frames, 64, 96, 3), dtype=np.uint8)
    path = folder / f"{kind}{num_frames}.npy"
    np.save(path, frames)
    fps = 4.0 if kind == "video" else None
    return MediaFile(kind, str(path), num_frames, 64, 96, fps, num_frames, tuple(range(num_frames)))


def question(folder: Path) -> Answer:
    turn = Turn(role="user", pieces=(Piece(media=medium(folder, num_frames=9)), Piece(text="What happens?")))
    return Answer(
        turns=(turn,),
        max_tokens=6,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        repetition_penalty=None,
        seed=1,
    )


SMALL = {
    "prompt": "A robot arm lifts a cube.",
    "num_steps": 3,
    "num_frames": 9,
    "num_output_frames": 9,
    "height": 64,
    "width": 96,
    "encoding": "npz",
    "seed": 7,
}


def tasks_of(name: str, checkpoint: Any, folder: Path) -> Task:
    if name.endswith("question") or checkpoint.family.startswith("reason"):
        return question(folder)
    usual = usual_task(checkpoint)
    if isinstance(usual, Transfer):
        video = medium(folder, num_frames=17)
        more = {"num_frames": 17, "num_output_frames": 17, "num_frames_per_chunk": 9, "video": video}
        return usual.model_copy(update=SMALL | more | {"output_height": 64, "output_width": 96})
    if isinstance(usual, Omni):
        return usual.model_copy(update=SMALL)
    if isinstance(usual, Continue):
        shorter = {"num_frames": 17, "num_output_frames": 17, "num_steps": min(usual.num_steps, 2), "encoding": "npz"}
        going_on = {"num_chunks": 2, "num_output_frames": 25, "decoder": "tokenizer", "num_steps": 0, "guidance": 0.0}
        more = going_on if name == "autoregressive going on" else {}
        return usual.model_copy(update=shorter | more | {"media": medium(folder, num_frames=9)})
    assert isinstance(usual, Generate)
    if name == "predict2.5 going on":
        more = {"inference_type": "image2world", "media": medium(folder, num_frames=1, kind="image")}
        more |= {"num_latent_conditional_frames": 1, "num_chunks": 2, "num_output_frames": 17}
        return usual.model_copy(update=SMALL | more)
    if name == "predict2.5 upsampled":
        asked = Turn(role="user", pieces=(Piece(text="Describe it better: a robot arm lifts a cube."),))
        better = question(folder).model_copy(update={"turns": (asked,), "max_tokens": 8})
        return usual.model_copy(update=SMALL | {"upsampling": Upsampling(model="reason2", field="x", question=better)})
    return usual.model_copy(update=SMALL)


CASES = {
    "predict2.5": ("predict2.5",),
    "predict2.5 going on": ("predict2.5",),
    "predict2.5 upsampled": ("predict2.5", "reason2"),
    "transfer2.5": ("transfer2.5",),
    "cosmos3": ("cosmos3",),
    "cosmos3 question": ("cosmos3",),
    "autoregressive going on": ("autoregressive",),
    "autoregressive_text": ("autoregressive_text",),
    "autoregressive_text together": ("autoregressive_text",),
    "reason1": ("reason1",),
    "reason2": ("reason2",),
}


@pytest.fixture(scope="module")
def checkpoints(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_models: Path
) -> Callable[[str], Path]:
    """Tiny checkpoints by name, each written once."""

    @cache
    def of(name: str) -> Path:
        ready = tiny_models / name
        if name.startswith("autoregressive"):
            both: Path = request.getfixturevalue("tiny_autoregressive")
            return both / name
        return ready if ready.exists() else make_tiny(name, tmp_path_factory.mktemp("tiny") / name)

    return of


@pytest.fixture(scope="module", params=CASES)
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, checkpoints: Callable[[str], Path]
) -> Case:
    from cosmos_handler.worker.session import Session

    folder = tmp_path_factory.mktemp("case")
    for name in CASES[request.param]:
        (folder / name).symlink_to(checkpoints(name))
    setup = setup_of(folder)
    checkpoint = next(each for each in setup.checkpoints if each.name == CASES[request.param][0])
    said: list[Any] = []
    # The budget is the deployer's, else half of a CPU's memory would be the device.
    memory = MemoryWish(offload="all", text_cache_bytes=0)
    session = Session(setup.model_copy(update={"memory": memory}), send=said.append)
    machine = session._loaded.house.machine.model_copy(update={"device_bytes": ROOMY_BYTES, "host_bytes": ROOMY_BYTES})
    session._loaded.house = replace(session._loaded.house, machine=machine)
    batch_size = 3 if request.param.endswith("together") else 1
    return Case(folder, checkpoint.name, tasks_of(request.param, checkpoint, folder), session, said, batch_size)


def run(case: Case, wish: MemoryWish, **machine: int) -> Made:
    """One job or several together, with nothing on the device before; what the last one gave."""
    from cosmos_handler.families.transfer import chunks
    from tests.memory.storages import StorageCounter

    loaded = case.session._loaded
    changed = loaded.house.machine.model_copy(update=machine)
    before, loaded.house = loaded.house, replace(loaded.house, wish=wish, machine=changed)
    loaded.residence.clear()
    with tempfile.TemporaryDirectory() as folder, StorageCounter() as counter, pytest.MonkeyPatch.context() as patch:
        case.session._peak = Counted(counter)
        patch.setattr(chunks, "on_host", lambda *shape: uncounted(counter, *shape))
        leave_out_the_preparation(patch, counter)
        tasks = [case.task.model_copy(update={"seed": 7 + number}) for number in range(case.batch_size)]
        jobs = [Run(job_id=f"job-{task.seed}", model=case.model, task=task, folder=folder) for task in tasks]
        case.session.run_together(jobs, is_cancelled=lambda job_id: False)
        done = case.said[-1]
        assert isinstance(done, Done), done
        assert (done.job_id, done.report.batch_size) == (jobs[-1].job_id, case.batch_size)
        kept = Path(folder, "frames.npz")
        output = np.load(kept)["frames"] if kept.exists() else done.output.model_dump()
    loaded.house = before
    stages = done.report.stages
    return Made(
        output=output,
        counted_bytes={each.stage: each.measured_peak_bytes or 0 for each in stages},
        planned_bytes={each.stage: each.predicted_peak_bytes for each in stages if each.predicted_peak_bytes},
        placements=done.report.plan,
    )


def uncounted(counter: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """What lies on the host, which is not the device, though both are the CPU here."""
    import torch

    with counter.paused():
        return torch.empty(shape, dtype=dtype)


def leave_out_the_preparation(patch: pytest.MonkeyPatch, counter: Any) -> None:
    """Until the pipeline has its pixels on the device, they are on the host."""
    from diffusers import Cosmos2_5_PredictBasePipeline as Pipeline

    check, prepare, paused = Pipeline.check_inputs, Pipeline.prepare_latents, ExitStack()

    def check_inputs(self: Any, *arguments: Any, **options: Any) -> Any:
        paused.enter_context(counter.paused())
        return check(self, *arguments, **options)

    def prepare_latents(self: Any, video: Any, **options: Any) -> Any:
        paused.close()
        return prepare(self, video=video.clone(), **options)  # the clone is the one on the device

    patch.setattr(Pipeline, "check_inputs", check_inputs)
    patch.setattr(Pipeline, "prepare_latents", prepare_latents)


@pytest.fixture(scope="module")
def resident(case: Case) -> Made:
    """With everything on the device."""
    made = run(case, WISHES["none"])
    assert set(made.placements.values()) == {"resident"}
    return made


@pytest.mark.parametrize("wish", WISHES)
def test_the_output_is_the_same_and_the_peak_no_higher_than_planned(case: Case, resident: Made, wish: str) -> None:
    group, _, placement = wish.partition("=")
    if placement and group not in case.groups:
        pytest.skip("it has no such part")
    if placement and case.is_variant and group not in ("prompt_upsampler", "transformer"):
        pytest.skip("its other parts come and go as in the plain case")
    made = run(case, WISHES[wish])
    np.testing.assert_equal(made.output, resident.output)
    over = {
        stage: (made.counted_bytes[stage], planned)
        for stage, planned in made.planned_bytes.items()
        if made.counted_bytes[stage] > planned
    }
    assert not over


def test_on_half_of_what_it_needs_it_makes_the_same(case: Case, resident: Made) -> None:
    """The planner's own choice on a device with half of the memory that everything resident takes."""
    half = max(resident.planned_bytes.values()) // 2
    if max(run(case, WISHES["all"]).planned_bytes.values()) > half:
        pytest.skip("what it takes beside its weights is more than half, as tiny models are")
    made = run(case, MemoryWish(), device_bytes=half)
    np.testing.assert_equal(made.output, resident.output)
    assert max(made.counted_bytes[stage] for stage in made.planned_bytes) <= half
    assert "resident" not in set(made.placements.values()) or len(set(made.placements.values())) > 1
