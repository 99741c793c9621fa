"""From tasks to stages, and from checkpoints on disk to parts with blocks."""

from dataclasses import replace
from typing import Any

import pytest

from cosmos_handler.artifacts.blocks import blocks_of
from cosmos_handler.artifacts.checkpoint import Checkpoint, Lora
from cosmos_handler.artifacts.discover import discover
from cosmos_handler.artifacts.guardrail import NO_GUARDRAILS, Guardrails
from cosmos_handler.memory.catalogue import catalogue_models, guardrails_of_catalogue
from cosmos_handler.memory.planning import House, plan_for, plan_together
from cosmos_handler.memory.sheet import ALIGNMENT_BYTES
from cosmos_handler.memory.stages import part_sheets, stages_of
from cosmos_handler.memory.usual import usual_task
from cosmos_handler.messages.machine import MemoryWish
from cosmos_handler.messages.tasks import Answer, Generation, Piece, Transfer, Turn, Upsampling
from tests.fakes import CARD


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    """Tiny ones of every family."""
    from scripts.make_tiny import main

    folder = tmp_path_factory.mktemp("families")
    assert main(["all", "--out", str(folder)]) == 0
    return {checkpoint.name: checkpoint for checkpoint in discover(folder)}


def published(name: str) -> Checkpoint:
    checkpoint = catalogue_models()[name].checkpoint
    assert checkpoint is not None
    return checkpoint


def usual(name: str, **changes: Any) -> Any:
    return usual_task(published(name)).model_copy(update=changes)


def stages(name: str, guardrails: Guardrails = NO_GUARDRAILS, **changes: Any) -> dict[str, Any]:
    return {stage.name: stage for stage in stages_of(usual(name, **changes), published(name), guardrails)}


def test_a_block_is_what_has_a_number_in_an_outermost_list() -> None:
    sizes = {
        "embed.weight": 7,
        "model.layers.0.mlp.weight": 10,
        "model.layers.0.inner.blocks.0.weight": 5,
        "model.layers.1.mlp.weight": 11,
        "visual.blocks.0.weight": 3,
        "decoder.up_blocks.0.weight": 100,
        "stages.0.weight": 50,
    }
    found = blocks_of(sizes)
    assert (found.num_blocks, found.block_bytes, found.rest_bytes) == (3, 15, 157)


@pytest.mark.model
@pytest.mark.parametrize("name", ["predict2.5", "transfer2.5", "cosmos3", "reason1", "reason2"])
def test_blocks_on_disk_are_those_of_the_loaded_network(name: str, checkpoints: dict[str, Checkpoint]) -> None:
    from cosmos_handler.families.registry import family_class
    from cosmos_handler.memory.components import load_part
    from cosmos_handler.memory.layout import block_series, lay_out

    checkpoint = checkpoints[name]
    # What the library loads in float32, whatever it is stored in.
    sheets = {sheet.name: sheet for sheet in part_sheets([checkpoint], NO_GUARDRAILS, for_model=name)}
    for part in checkpoint.parts:
        assert part.config
        assert (part.num_blocks == 0) == (part.name == "tokenizer")
        module = load_part(checkpoint, part, family_class(checkpoint.family).PART_CLASSES[part.name])
        blocks = [block for series in block_series(module) for block in series]
        sizes = [sum(tensor.nbytes for tensor in block.parameters()) for block in blocks]
        assert len(blocks) == part.num_blocks
        assert max(sizes, default=0) == part.block_bytes
        rest = sum(tensor.nbytes for tensor in module.parameters()) - sum(sizes)
        assert rest <= sheets[part.name].rest_bytes <= rest + ALIGNMENT_BYTES * part.num_tensors
        assert lay_out(module).size_bytes <= sheets[part.name].size_bytes


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Cosmos-Predict2.5-2B", ["encode_text", "denoise", "decode"]),  # from words alone
        ("Cosmos-Transfer2.5-2B", ["encode_text", "encode_media", "denoise", "decode"]),
        ("Cosmos3-Nano", ["encode_media", "denoise", "decode"]),
    ],
)
def test_stages_are_those_of_the_families(name: str, expected: list[str]) -> None:
    made = stages_of(usual(name), published(name), guardrails_of_catalogue())
    assert list(dict.fromkeys(stage.name for stage in made)) == ["guard_prompt", *expected, "guard_frames"]


def test_a_long_video_reads_the_end_of_every_chunk() -> None:
    short, long = stages("Cosmos-Predict2.5-2B"), stages("Cosmos-Predict2.5-2B", num_chunks=3)
    assert "encode_media" not in short
    assert long["encode_media"].num_entries == 3


def test_guidance_asks_the_network_twice() -> None:
    with_it, without = stages("Cosmos-Predict2.5-2B"), stages("Cosmos-Predict2.5-2B", guidance=1.0)
    assert with_it["denoise"].num_forwards == 2 * without["denoise"].num_forwards
    assert with_it["denoise"].working_bytes - without["denoise"].working_bytes == 512 * 100_352 * 2
    assert with_it["encode_text"].num_forwards == 2


def test_each_chunk_begins_anew() -> None:
    once, thrice = stages("Cosmos-Predict2.5-2B"), stages("Cosmos-Predict2.5-2B", num_chunks=3)
    assert thrice["denoise"].num_entries == thrice["decode"].num_entries == thrice["encode_media"].num_entries == 3
    assert thrice["denoise"].work.linear_flops == 3 * once["denoise"].work.linear_flops
    assert thrice["denoise"].working_bytes == once["denoise"].working_bytes


def test_a_transfer_holds_its_branch_and_what_it_gives() -> None:
    found = stages("Cosmos-Transfer2.5-2B", num_frames=185, num_output_frames=185, num_conditional_frames=1)
    assert found["denoise"].parts == ("Cosmos-Transfer2.5-2B/transformer", "Cosmos-Transfer2.5-2B/control_edge")
    assert found["denoise"].num_entries == 2
    assert found["encode_media"].num_entries == 4
    residuals = 4 * 24 * 44 * 80 * 2048 * 2
    alone = stages("Cosmos-Predict2.5-2B", num_frames=93)["denoise"].working_bytes
    assert found["denoise"].working_bytes > alone + residuals


def test_a_smaller_request_never_needs_more() -> None:
    for name in ("Cosmos-Predict2.5-14B", "Cosmos-Transfer2.5-2B", "Cosmos3-Nano"):
        task = usual(name)
        field = "num_frames_per_chunk" if isinstance(task, Transfer) else "num_frames"
        sizes = [(5, 256, 320), (9, 256, 320), (9, 480, 832), (45, 480, 832), (45, 704, 1280), (61, 704, 1280)]
        previous: dict[str, Any] = {}
        for frames, height, width in sizes:
            smaller = {field: frames, "height": height, "width": width, "num_output_frames": frames}
            found = stages(name, guardrails_of_catalogue(), **smaller)
            for stage, before in previous.items():
                assert found[stage].working_bytes >= before.working_bytes, (name, stage, frames, height)
                if before.num_entries == found[stage].num_entries:  # shorter chunks of a long video are more
                    assert found[stage].work.linear_flops >= before.work.linear_flops
            previous = found


def test_tiles_are_a_choice_where_a_picture_is_larger_than_one() -> None:
    large = stages("Cosmos-Predict2.5-2B")["decode"]
    assert large.tiled_working_bytes is not None
    assert large.tiled_working_bytes < large.working_bytes / 2
    assert stages("Cosmos-Predict2.5-2B", height=256, width=256)["decode"].tiled_working_bytes is None


def answer(text: str, **changes: Any) -> Answer:
    base = usual_task(published("Cosmos-Reason1-7B"))
    assert isinstance(base, Answer)
    return base.model_copy(update={"turns": (Turn(role="user", pieces=(Piece(text=text),)),), **changes})


def test_an_answer_takes_the_cache_of_all_its_tokens() -> None:
    checkpoint = published("Cosmos-Reason1-7B")
    short, long = (
        stages_of(answer("Why?", max_tokens=tokens), checkpoint, NO_GUARDRAILS)[0] for tokens in (100, 100_100)
    )
    per_token = 2 * 28 * 4 * 128 * 2
    assert long.working_bytes - short.working_bytes >= 99_000 * per_token
    assert (short.num_forwards, long.num_forwards) == (101, 100_101)
    whole = stages_of(answer("Why?", max_tokens=10**6), checkpoint, NO_GUARDRAILS)[0]
    assert whole.num_forwards <= 128_000
    known = stages_of(answer("Why?", max_tokens=100), checkpoint, NO_GUARDRAILS, prompt_tokens=50_000)[0]
    assert known.working_bytes > 50_000 * per_token


def test_a_clip_is_looked_at_before_it_is_read() -> None:
    checkpoint = published("Cosmos-Reason2-8B")
    task = usual_task(checkpoint)
    assert isinstance(task, Answer)
    with_clip = stages_of(task, checkpoint, NO_GUARDRAILS)[0]
    words = stages_of(answer("Why?", max_tokens=task.default_max_tokens), checkpoint, NO_GUARDRAILS)[0]
    assert with_clip.working_bytes > words.working_bytes + 10**9
    assert with_clip.work.linear_flops > 1.5 * words.work.linear_flops


def test_an_upsampled_prompt_is_guarded_twice_and_written_by_its_reasoner() -> None:
    generator, reasoner = published("Cosmos-Predict2.5-2B"), published("Cosmos-Reason1-7B")
    task = usual_task(generator)
    assert isinstance(task, Generation)
    asked = task.model_copy(
        update={"upsampling": Upsampling(model=reasoner.name, field="prompt", question=answer("More!", max_tokens=512))}
    )
    made = stages_of(asked, generator, guardrails_of_catalogue(), reasoner)
    assert [stage.name for stage in made][:3] == ["guard_prompt", "upsample_prompt", "encode_text"]
    assert made[0].num_entries == 2
    assert made[1].parts == ("Cosmos-Reason1-7B/model",)
    sheets = part_sheets([generator, reasoner], guardrails_of_catalogue(), for_model=generator.name)
    groups = {sheet.key: sheet.group for sheet in sheets}
    assert groups["Cosmos-Reason1-7B/model"] == "prompt_upsampler"
    assert groups["Cosmos-Predict2.5-2B/tokenizer"] == "tokenizer"
    own = part_sheets([generator, reasoner], NO_GUARDRAILS, for_model=reasoner.name)
    assert {sheet.group for sheet in own if sheet.owner == reasoner.name} == {"transformer"}


def test_adapters_belong_to_the_transformer() -> None:
    plain = published("Cosmos-Predict2.5-2B")
    adapted = replace(plain, loras=(Lora("one", "one.safetensors", 1000), Lora("two", "two.safetensors", 500)))
    before, after = (
        {sheet.name: sheet for sheet in part_sheets([each], NO_GUARDRAILS, for_model=plain.name)}
        for each in (plain, adapted)
    )
    assert after["transformer"].size_bytes == before["transformer"].size_bytes + 1500
    assert after["transformer"].rest_bytes == before["transformer"].rest_bytes + 1500
    assert after["tokenizer"] == before["tokenizer"]


def test_upsampling_cannot_be_planned_without_its_reasoner() -> None:
    wish = Upsampling(model="x", field="prompt", question=answer("?"))
    task = usual("Cosmos-Predict2.5-2B", upsampling=wish)
    with pytest.raises(TypeError, match="without it"):
        stages_of(task, published("Cosmos-Predict2.5-2B"), NO_GUARDRAILS)


def test_a_batch_shares_the_drawing_of_codes_and_nothing_else() -> None:
    checkpoint, task = (
        published("Cosmos-Predict1-5B-Video2World"),
        usual("Cosmos-Predict1-5B-Video2World"),
    )
    one, four = (
        {each.name: each for each in stages_of(task, checkpoint, guardrails_of_catalogue(), batch_size=size)}
        for size in (1, 4)
    )
    assert one.keys() == four.keys()
    assert one.keys() > {"guard_prompt", "encode_text", "generate", "diffusion_decode", "guard_frames"}
    for name in one.keys() - {"generate"}:
        assert four[name].work == one[name].work.times(4)
        assert four[name].num_entries == 4 * one[name].num_entries
        assert four[name].num_forwards == 4 * one[name].num_forwards
        assert (
            one[name].working_bytes < four[name].working_bytes < one[name].working_bytes + 2**24
        )  # the others' codes and text
    drawn, together = one["generate"], four["generate"]
    assert together.num_entries == drawn.num_entries
    assert together.num_forwards == drawn.num_forwards + 3  # what is given is read one by one
    assert together.work.linear_flops == 4 * drawn.work.linear_flops
    assert together.work.memory_bytes < 2 * drawn.work.memory_bytes
    assert 2 * drawn.working_bytes < together.working_bytes < 4 * drawn.working_bytes


def test_what_shares_no_stage_has_no_batch() -> None:
    with pytest.raises(TypeError, match="a batch of generate"):
        stages_of(usual("Cosmos-Predict2.5-2B"), published("Cosmos-Predict2.5-2B"), NO_GUARDRAILS, batch_size=2)


def test_a_batch_is_planned_by_its_longest_prompt() -> None:
    checkpoint = published("Cosmos-Predict1-5B-Video2World")
    house = House((checkpoint,), guardrails_of_catalogue(), CARD, MemoryWish(), {})
    tasks = [usual_task(checkpoint).model_copy(update={"prompt": "word " * count}) for count in (1, 4000, 7)]
    plan = plan_together(tasks, checkpoint.name, house)
    assert plan == plan_for(tasks[1], checkpoint.name, house, batch_size=3)
    assert plan.seconds > plan_for(tasks[0], checkpoint.name, house, batch_size=3).seconds
