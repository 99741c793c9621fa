"""The planner by itself: what fits is placed, the fastest of it is taken, and more memory is never worse."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmos_handler.memory.plan import NothingFits, Plan
from cosmos_handler.memory.presets import rules_for
from cosmos_handler.memory.search import Rules, choose, step_down
from cosmos_handler.memory.sheet import PartSheet, StageSheet, Work
from cosmos_handler.messages.machine import Machine, MemoryWish

GB = 10**9
MACHINE = Machine(
    name="a card",
    device_bytes=80 * GB,
    host_bytes=128 * GB,
    link_bytes_per_second=24e9,
    disk_bytes_per_second=2e9,
    memory_bytes_per_second=3e12,
    linear_flops_per_second=6e14,
    attention_flops_per_second=4e14,
)
GUARD = PartSheet("guardrails", "classifier", "guardrails", 1 * GB)
TEXT = PartSheet("m", "text_encoder", "text_encoder", 16 * GB, num_blocks=28, block_bytes=GB // 2, rest_bytes=2 * GB)
DIT = PartSheet("m", "transformer", "transformer", 28 * GB, num_blocks=36, block_bytes=3 * GB // 4, rest_bytes=GB)
VAE = PartSheet("m", "tokenizer", "tokenizer", GB // 4)
OTHER = PartSheet("other", "model", "transformer", 16 * GB, num_blocks=28, block_bytes=GB // 2, rest_bytes=2 * GB)
PARTS = (GUARD, TEXT, DIT, VAE)
STAGES = (
    StageSheet("guard_prompt", (GUARD.key,), GB // 4, Work(1e12)),
    StageSheet("encode_text", (TEXT.key,), GB, Work(1e13), num_forwards=2),
    StageSheet("encode_media", (VAE.key,), 3 * GB, Work(4e14)),
    StageSheet("denoise", (DIT.key,), 5 * GB, Work(1.5e17, 3.7e17), num_forwards=70),
    StageSheet("decode", (VAE.key,), 7 * GB, Work(7e14), tiled_working_bytes=2 * GB),
)


def on(device_gb: float, host_gb: float = 128, **more: float) -> Machine:
    return MACHINE.model_copy(update={"device_bytes": int(device_gb * GB), "host_bytes": int(host_gb * GB), **more})


def placed(plan: Plan) -> dict[str, str]:
    return {key.split("/")[1]: placement for key, placement in plan.placements.items()}


def test_everything_stays_where_there_is_room() -> None:
    plan = choose(PARTS, STAGES, on(80))
    assert set(plan.placements.values()) == {"resident"}
    assert plan.copy_seconds == 0
    assert plan.peak_bytes == sum(part.size_bytes for part in PARTS) + 7 * GB
    assert plan.host_bytes == 0


def test_on_a_small_card_the_transformer_is_streamed_and_hides_its_copies() -> None:
    plan = choose(PARTS, STAGES, on(20))
    assert placed(plan)["transformer"] == "streamed"
    denoise = plan.stage("denoise")
    assert denoise is not None
    assert denoise.copy_seconds / denoise.compute_seconds < 0.005
    assert plan.peak_bytes <= 20 * GB


def test_a_picture_is_too_little_work_to_hide_the_copies() -> None:
    """The same card and the same model: what the request asks for decides."""
    quick = tuple(replace(stage, work=stage.work.times(0.001), working_bytes=GB // 8) for stage in STAGES)
    rules = Rules((("text_encoder", "swapped"),))
    assert placed(choose(PARTS, quick, on(32), rules))["transformer"] == "swapped"
    assert placed(choose(PARTS, STAGES, on(32), rules))["transformer"] == "streamed"


def test_peaks_are_those_of_what_is_there() -> None:
    rules = Rules((("text_encoder", "swapped"), ("tokenizer", "resident"), ("transformer", "streamed")), "by hand")
    plan = choose(PARTS, STAGES, on(24), rules)
    resident = plan.resident_bytes
    peaks = {stage.name: stage.peak_bytes for stage in plan.stages}
    assert peaks["encode_text"] == resident + 16 * GB + GB
    assert peaks["denoise"] == resident + GB + 2 * (3 * GB // 4) + 5 * GB
    assert peaks["decode"] == resident + 7 * GB


def test_a_swapped_part_comes_while_the_stage_before_works() -> None:
    rules = Rules(tuple((group, "swapped") for group in ("guardrails", "text_encoder", "transformer", "tokenizer")))
    plan = choose(PARTS, STAGES, on(48), rules)
    encode = plan.stage("encode_media")
    assert encode is not None
    assert encode.fetched_ahead == (DIT.key,)
    assert encode.weights_bytes == VAE.size_bytes + DIT.size_bytes
    denoise = plan.stage("denoise")
    late = 28 * GB / 24e9 - encode.compute_seconds
    assert denoise is not None
    assert denoise.copy_seconds == pytest.approx(late)


def test_what_is_needed_next_is_not_copied_again() -> None:
    stages = (STAGES[2], replace(STAGES[4], name="decode"))
    rules = Rules((("tokenizer", "swapped"),))
    first, second = choose((VAE,), stages, on(24), rules).stages
    assert first.copy_seconds > 0
    assert second.copy_seconds == 0


def test_tiles_are_for_where_nothing_exact_fits() -> None:
    assert choose(PARTS, STAGES, on(8)).decode == "exact"
    plan = choose(PARTS, STAGES, on(7.7))
    assert plan.decode == "exact"  # streaming everything leaves room for the exact decoder
    crowded = tuple(replace(stage, working_bytes=9 * GB) if stage.name == "decode" else stage for stage in STAGES)
    plan = choose(PARTS, crowded, on(8))
    assert plan.decode == "tiled"
    decode = plan.stage("decode")
    assert decode is not None
    assert decode.working_bytes == 2 * GB


def test_where_the_host_is_small_parts_are_read_from_disk() -> None:
    plan = choose(PARTS, STAGES, on(18, host_gb=32))
    assert placed(plan)["text_encoder"] == "disk"
    assert placed(plan)["transformer"] == "streamed"
    assert plan.host_bytes <= 32 * GB
    with pytest.raises(NothingFits, match=r"host memory, which has|GiB of the device"):
        choose(PARTS, STAGES, on(18, host_gb=16))


def test_what_cannot_fit_is_refused_with_the_plan_that_lacks_least() -> None:
    with pytest.raises(NothingFits, match=r"at least 6\.98 GiB of the device in the stage denoise") as caught:
        choose(PARTS, STAGES, on(5))
    assert caught.value.closest.peak_bytes > 5 * GB
    assert "denoise" in caught.value.closest.table()


def test_parts_of_other_models_make_room() -> None:
    alone = choose(PARTS, STAGES, on(48))
    both = choose((*PARTS, OTHER), STAGES, on(48))
    assert both.seconds == alone.seconds
    assert placed(both)["model"] == "swapped"
    assert placed(choose((*PARTS, OTHER), STAGES, on(80)))["model"] == "resident"
    assert placed(choose((*PARTS, OTHER), STAGES, on(48, host_gb=10)))["model"] == "disk"


def test_the_ladder_goes_down_to_nothing() -> None:
    plans = [choose(PARTS, STAGES, on(80))]
    while plans[-1].peak_bytes > 10 * GB:
        plans.append(step_down(plans[-1], PARTS, STAGES, Rules()))
    peaks = [plan.peak_bytes for plan in plans]
    assert peaks == sorted(set(peaks), reverse=True)
    assert len(peaks) > 3
    assert {plan.machine for plan in plans} == {on(80)}
    with pytest.raises(NothingFits):
        step_down(choose(PARTS, STAGES, on(7.6)), PARTS, STAGES, Rules())


ROWS = {
    "none": (),
    "prompt_upsampler": (),
    "guardrails": ("classifier",),
    "text_encoder": ("classifier", "text_encoder"),
    "diffusion_decoder": ("classifier", "text_encoder"),  # of which there is none here
    "tokenizer": ("classifier", "text_encoder", "tokenizer"),
    "all": ("classifier", "text_encoder", "tokenizer", "transformer"),
}


@pytest.mark.parametrize("offload", ROWS)
def test_presets_are_the_rows_of_nvidias_tables(offload: str) -> None:
    wish = MemoryWish.model_validate({"offload": offload})
    plan = choose(PARTS, STAGES, on(80), rules_for(wish, PARTS))
    assert {name for name, where in placed(plan).items() if where != "resident"} == set(ROWS[offload])
    assert plan.offload == offload
    if offload == "all":
        assert (placed(plan)["transformer"], placed(plan)["text_encoder"]) == ("streamed", "streamed")


@pytest.mark.parametrize("has_decoder", [True, False])
def test_an_autoregressive_model_has_a_table_of_its_own(has_decoder: bool) -> None:
    decoder = PartSheet("m", "diffusion_decoder", "diffusion_decoder", 14 * GB, 28, GB // 2, GB // 4)
    model = replace(DIT, name="ar_model")
    parts = (GUARD, TEXT, decoder, VAE, model) if has_decoder else (GUARD, TEXT, VAE, model)
    stages = (*STAGES[:2], StageSheet("generate", (model.key,), GB), StageSheet("decode", (VAE.key,), GB))
    stages += (StageSheet("diffusion_decode", (decoder.key,), GB),) if has_decoder else ()
    away, rows = set(), ("guardrails", "text_encoder", "diffusion_decoder", "tokenizer", "all")
    for offload, part in zip(
        rows, ("classifier", "text_encoder", "diffusion_decoder", "tokenizer", "ar_model"), strict=True
    ):
        wish = MemoryWish.model_validate({"offload": offload})
        where = placed(choose(parts, stages, on(141), rules_for(wish, parts)))
        away |= {part} & where.keys()
        assert {name for name, place in where.items() if place != "resident"} == away
    # All at once for each code: to stream it would take seconds for every one.
    assert where["ar_model"] == "swapped"
    assert where["text_encoder"] == "streamed"
    assert where.get("diffusion_decoder", "streamed") == "streamed"


def test_single_parts_by_hand_go_before_presets_and_before_auto() -> None:
    wish = MemoryWish(offload="all", placement={"transformer": "swapped"})
    plan = choose(PARTS, STAGES, on(80), rules_for(wish, PARTS))
    assert placed(plan)["transformer"] == "swapped"
    assert plan.offload == "all, by hand"
    plan = choose(PARTS, STAGES, on(80), rules_for(MemoryWish(placement={"text_encoder": "disk"}), PARTS))
    assert placed(plan) == {**dict.fromkeys(placed(plan), "resident"), "text_encoder": "disk"}


def test_a_preset_that_does_not_fit_is_refused_and_not_changed() -> None:
    with pytest.raises(NothingFits):
        choose(PARTS, STAGES, on(24), rules_for(MemoryWish(offload="none"), PARTS))


GIGABYTES = st.floats(1, 141)


@settings(deadline=None, max_examples=150)
@given(
    device=GIGABYTES, more=st.floats(0, 60), host=st.floats(0, 128), more_host=st.floats(0, 128), link=st.floats(2, 60)
)
def test_more_memory_is_never_slower(device: float, more: float, host: float, more_host: float, link: float) -> None:
    small, large = (
        on(device_gb, host_gb, link_bytes_per_second=link * 1e9)
        for device_gb, host_gb in ((device, host), (device + more, host + more_host))
    )
    try:
        plan = choose(PARTS, STAGES, small)
    except NothingFits:
        return
    better = choose(PARTS, STAGES, large)
    assert plan.peak_bytes <= small.device_bytes
    assert plan.host_bytes <= small.host_bytes
    assert not (plan.decode == "exact" and better.decode == "tiled")
    if plan.decode == better.decode:
        assert better.seconds <= plan.seconds * (1 + 1e-6)


@settings(deadline=None, max_examples=100)
@given(device=GIGABYTES, host=st.floats(0, 128), share=st.floats(0.05, 1))
def test_a_smaller_request_never_needs_more(device: float, host: float, share: float) -> None:
    machine = on(device, host)
    smaller = tuple(
        replace(
            stage,
            working_bytes=int(stage.working_bytes * share),
            work=stage.work.times(share),
            tiled_working_bytes=None if stage.tiled_working_bytes is None else int(stage.tiled_working_bytes * share),
        )
        for stage in STAGES
    )
    try:
        choose(PARTS, STAGES, machine)
    except NothingFits:
        return
    assert choose(PARTS, smaller, machine).peak_bytes <= machine.device_bytes
