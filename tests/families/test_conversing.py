"""The pieces of a conversation, each by itself: room, sampling, grammar, places, time stamps, budget."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmos_handler.errors import InvalidField
from cosmos_handler.media.clip import MediaFile
from cosmos_handler.memory.shapes.language import Language
from cosmos_handler.messages.tasks import Answer, Piece, Schema, Turn, Vision
from tests.conftest import make_tiny
from tests.fakes import question

pytestmark = pytest.mark.model


def medium(
    path: Path, *, height: int = 90, width: int = 120, num_frames: int = 6, fps: float | None = 8.0
) -> MediaFile:
    """Noise in a file; with a rate it is a video."""
    frames = np.random.default_rng(0).integers(0, 256, (num_frames, height, width, 3), dtype=np.uint8)
    np.save(path, frames)
    kind: Any = "image" if fps is None else "video"
    return MediaFile(kind, str(path), num_frames, height, width, fps, num_frames, tuple(range(num_frames)))


def asked(*media: MediaFile, **changes: object) -> Answer:
    pieces = tuple(Piece(media=each) for each in media)
    return question("Where?").model_copy(update={"turns": (Turn(role="user", pieces=pieces),), **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reasoners")
    for name in ("reason1", "reason2"):
        make_tiny(name, folder / name)
    return folder


# ── room ──


def test_the_smaller_limit_holds_and_both_are_said() -> None:
    from cosmos_handler.families.conversing.room import Room, longest_answer

    task = question("x").model_copy(update={"max_tokens": 50})
    assert longest_answer(task, 50, Room(100, 1000)) == 50
    for room in (Room(90, 1000), Room(1000, 90)):
        with pytest.raises(InvalidField) as caught:
            longest_answer(task, 50, room)
        assert (caught.value.field, caught.value.allowed) == ("max_tokens", "1 to 40")
        assert "the model holds" in caught.value.problem
        assert str(room.model_tokens) in caught.value.problem
        assert str(room.memory_tokens) in caught.value.problem
        with pytest.raises(InvalidField, match="prompt: has 90 tokens with its media"):
            longest_answer(task, 90, room)


@pytest.mark.parametrize("pieces", [(Piece(text="x", field="messages.2.content.0.text"),), ()])
def test_a_conversation_that_is_too_long_is_called_by_its_name(pieces: tuple[Piece, ...]) -> None:
    from cosmos_handler.families.conversing.room import Room, longest_answer

    task = question("x").model_copy(update={"turns": (Turn(role="user", pieces=pieces),)})
    with pytest.raises(InvalidField, match="messages: has 90 tokens"):
        longest_answer(task, 90, Room(90, 90))


def test_the_default_length_gives_way() -> None:
    from cosmos_handler.families.conversing.room import Room, longest_answer

    task = question("x").model_copy(update={"max_tokens": None})
    assert longest_answer(task, 100, Room(None, 100_000)) == 4096
    assert longest_answer(task, 100, Room(None, 1000)) == 900
    assert longest_answer(task.model_copy(update={"default_max_tokens": 7}), 100, Room(None, 1000)) == 7


@pytest.mark.parametrize("name", ["reason1", "reason2"])
def test_the_cache_takes_what_is_reckoned(folder: Path, name: str) -> None:
    import torch
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(folder / name, dtype=torch.bfloat16)
    kept = model(input_ids=torch.arange(10)[None], use_cache=True).past_key_values
    held_bytes = sum(tensor.nbytes for layer in kept.layers for tensor in (layer.keys, layer.values))
    assert Language.from_config(model.config.to_dict(), "bfloat16").cache_bytes_per_token * 10 == held_bytes


@pytest.mark.parametrize("name", ["reason1", "reason2"])
def test_the_memory_beside_the_weights_says_how_long_a_conversation_may_be(folder: Path, name: str) -> None:
    import torch
    from transformers import AutoModelForImageTextToText

    from cosmos_handler.families.conversing.room import measure

    model = AutoModelForImageTextToText.from_pretrained(folder / name, dtype=torch.bfloat16)
    assert measure(model, model_tokens=5, free_bytes=-1).memory_tokens == 0
    tokens = [measure(model, model_tokens=5, free_bytes=mib * 2**20).memory_tokens for mib in (1, 8, 64)]
    assert 0 <= tokens[0] < tokens[1] < tokens[2]
    language = Language.from_config(model.config.to_dict(), "bfloat16")
    assert language.read_bytes(tokens[2]) <= 64 * 2**20 < language.read_bytes(tokens[2]) * 1.2


def test_a_prompt_for_which_there_is_no_memory_is_refused_before_anything_is_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from cosmos_handler.families.base import Context
    from cosmos_handler.families.conversing import converse
    from tests.placed import at_rest

    model = AutoModelForImageTextToText.from_pretrained(folder / "reason2", dtype=torch.bfloat16)
    processor = AutoProcessor.from_pretrained(folder / "reason2")
    monkeypatch.setattr(model, "generate", None)  # may not be called
    parts = at_rest({"model": model})
    context = Context(
        parts, lambda: False, lambda stage, step, steps: None, lambda text, reasoning: None, spare_bytes=50 * 1024
    )
    with pytest.raises(InvalidField, match=r"the model holds 262144, the memory that is free has room for \d+\)"):
        converse.converse(model, processor, question("word " * 40), context, context_tokens=262_144)


@pytest.mark.parametrize("name", ["reason1", "reason2"])
@pytest.mark.parametrize("vision", [Vision(), Vision(max_pixels=100 * 100), Vision(total_pixels=80 * 80 * 2)])
def test_media_are_counted_before_they_are_read(folder: Path, tmp_path: Path, name: str, vision: Vision) -> None:
    from transformers import AutoProcessor

    from cosmos_handler.families.conversing.looking import num_tokens
    from cosmos_handler.families.conversing.prompt import prepare
    from cosmos_handler.families.conversing.room import Room

    processor = AutoProcessor.from_pretrained(folder / name)
    vision = vision.model_copy(update={"timestamps": name == "reason1"})
    media = [medium(tmp_path / "a.npy", num_frames=5), medium(tmp_path / "b.npy", num_frames=1, fps=None, width=200)]
    task = asked(*media, vision=vision)
    counted = sum(num_tokens(processor, each, vision) for each in media)
    ids = prepare(processor, task, Room(None, 1000)).inputs["input_ids"][0].tolist()
    tokenizer = processor.tokenizer
    pads = [tokenizer.convert_tokens_to_ids(token) for token in ("<|image_pad|>", "<|video_pad|>")]
    assert sum(ids.count(pad) for pad in pads) == counted
    for each in media:
        Path(each.path).unlink()  # so that reading them would fail
    with pytest.raises(InvalidField, match=rf"makes {counted} tokens with the media before it \(the memory"):
        prepare(processor, task, Room(None, counted))


# ── sampling ──


def test_presence_counts_once_and_never_the_prompt() -> None:
    import torch

    from cosmos_handler.families.conversing.sampling import PresencePenalty

    ids = torch.tensor([[1, 2, 3, 4, 4, 5]])
    scores = PresencePenalty(1.5, prompt_tokens=3)(ids, torch.zeros(1, 7))
    assert scores.tolist() == [[0, 0, 0, 0, -1.5, -1.5, 0]]
    assert PresencePenalty(1.5, prompt_tokens=6)(ids, torch.zeros(1, 7)).abs().sum() == 0


# ── grammar ──


def drawn(folder: Path, text: str, *, thinks: bool = False, open_already: bool = False) -> list[str]:
    """What may follow each token of a text; fails where the text itself is not allowed."""
    import torch
    from transformers import AutoTokenizer

    from cosmos_handler.families.conversing.grammar import JsonAnswer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    schema = Schema(text=json.dumps({"enum": ["yes", "no"]}), field="guided_json")
    ends = frozenset({tokenizer.eos_token_id})
    rule = JsonAnswer(schema, tokenizer, ends=ends, thinks=thinks, open_already=open_already)
    ids = [0]
    followers = []
    for token in [*tokenizer(text).input_ids, None]:
        scores = rule(torch.tensor([ids]), torch.zeros(1, 640))[0]
        allowed = [index for index in range(640) if scores[index] == 0]
        followers.append(tokenizer.decode(allowed))
        if token is not None:
            assert token in allowed, (tokenizer.decode(ids[1:]), tokenizer.decode([token]))
            ids.append(token)
    return followers


@pytest.mark.parametrize("name", ["reason1", "reason2"])
def test_only_the_schema_can_be_drawn(folder: Path, name: str) -> None:
    followers = drawn(folder / name, '"yes"')
    assert followers[0].startswith('"')
    assert followers[-1] == "<|im_end|>"


@pytest.mark.parametrize("name", ["reason1", "reason2"])
def test_thoughts_are_free_and_the_answer_after_them_is_not(folder: Path, name: str) -> None:
    followers = drawn(folder / name, '<think>\nno "thing" < {}\n</think>\n\n"no"', thinks=True)
    assert '"' not in followers[0]
    assert followers[-1] == "<|im_end|>"
    assert drawn(folder / name, 'so\n</think>\n\n"no"', open_already=True)[-1] == "<|im_end|>"
    with pytest.raises(AssertionError):
        drawn(folder / name, '<think>so</think>\n\n"maybe"', thinks=True)
    with pytest.raises(AssertionError):
        drawn(folder / name, '"yes"', thinks=True)


# ── places ──


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ('[{"bbox_2d": [0, 0, 500, 1000], "label": "a"}, {"bbox_2d": [1, 2, 3, 4], "label": "b"}]', ["a", "b"]),
        ('Here:\n```json\n{"bbox_2d": [0, 0, 500, 1000], "label": "a"}\n```\nDone {not json}.', ["a"]),
        ('{"objects": [{"bbox_2d": [0, 0, 500, 1000]}]}', [None]),
        ('[{"bbox_2d": [0, 0, 500, 1000], "label": "a"}, {"bbox_2d": [1, 2', ["a"]),
        ('{"bbox_2d": [0, 0, 500, 1001]} {"bbox_2d": [0, 0, 5]} {"bbox_2d": "0 0"} {"bbox_2d": [0, 0, 5, true]}', []),
        ("nothing to see", []),
        ('{"a":' * 5000, []),
    ],
)
def test_boxes_are_found_wherever_they_stand(tmp_path: Path, text: str, labels: list[str | None]) -> None:
    from cosmos_handler.families.conversing.grounding import find

    found = find(text, asked(medium(tmp_path / "a.npy"), grounding="boxes"))
    assert [each.label for each in found] == labels
    if found:
        assert found[0].position == (0, 0, 500, 1000)
        assert found[0].pixels == (0, 0, 60, 90)


def test_points_are_x_then_y(tmp_path: Path) -> None:
    from cosmos_handler.families.conversing.grounding import find

    task = asked(medium(tmp_path / "a.npy"), grounding="points")
    (point,) = find('{"point_2d": [500, 100], "label": "tip", "bbox_2d": [1, 2, 3, 4]}', task)
    assert (point.position, point.pixels) == ((500, 100), (60, 9))


def test_places_of_several_sizes_are_refused(tmp_path: Path) -> None:
    from cosmos_handler.families.conversing.grounding import shown_size

    one, same = medium(tmp_path / "a.npy"), medium(tmp_path / "b.npy", fps=None, num_frames=1)
    assert shown_size(asked(one, same)) == (90, 120)
    with pytest.raises(InvalidField, match="several sizes"):
        shown_size(asked(one, medium(tmp_path / "c.npy", width=60)))


# ── time stamps ──


def test_time_is_written_below_by_turns_left_and_in_the_middle() -> None:
    import torch

    from cosmos_handler.families.conversing.timestamps import with_timestamps

    frames = torch.full((3, 3, 56, 168), 77, dtype=torch.uint8)
    stamped = with_timestamps(frames, [0.0, 0.25, 12.5])
    assert stamped.shape == (3, 3, 84, 168)
    assert (stamped[:, :, :56] == 77).all()
    strip = stamped[:, :, 56:]
    assert strip.amax() == 255
    assert (strip[:, 0] == strip[:, 1]).all()  # white on black
    written = [strip[number, 0].amax(dim=0).nonzero().flatten() for number in range(3)]
    assert [columns.min() < 20 for columns in written] == [True, False, True]
    assert written[1].min() >= 84
    assert len(written[2]) > len(written[0])  # "12.50s" is longer than "0.00s"
    assert not torch.equal(strip[0], with_timestamps(frames[:1], [0.01])[0, :, 56:])


# ── budget ──


@pytest.mark.parametrize("name", ["reason1", "reason2"])
@pytest.mark.parametrize(
    ("vision", "least", "most"),
    [
        (Vision(max_pixels=60 * 60), 1, 60 * 60),
        (Vision(min_pixels=300 * 300), 300 * 300, 400 * 400),
        (Vision(total_pixels=90 * 90 * 3), 1, 90 * 90),  # six frames are three pairs
        (Vision(resized_height=224, resized_width=448), 224 * 448, 224 * 448),
    ],
)
def test_frames_fit_the_budget(folder: Path, tmp_path: Path, name: str, vision: Vision, least: int, most: int) -> None:
    from transformers import AutoProcessor

    from cosmos_handler.families.conversing.looking import as_seen

    processor = AutoProcessor.from_pretrained(folder / name)
    seen = as_seen(processor, medium(tmp_path / "a.npy"), vision)
    assert least <= seen.shape[2] * seen.shape[3] <= most
    factor = processor.video_processor.patch_size * 2
    assert (seen.shape[2] % factor, seen.shape[3] % factor) == (0, 0)


def test_time_does_not_fit_below_frames_of_other_patches(folder: Path, tmp_path: Path) -> None:
    from transformers import AutoProcessor

    from cosmos_handler.families.conversing.looking import as_seen

    with pytest.raises(InvalidField, match="timestamps: cannot be shown"):
        as_seen(AutoProcessor.from_pretrained(folder / "reason2"), medium(tmp_path / "a.npy"), Vision(timestamps=True))
