"""Prompts as NVIDIA's framework joins them."""

import json
from typing import Any

import pytest

from cosmos_handler.families.cosmos3.prompts import read_negative_prompt, read_prompt
from cosmos_handler.messages.tasks import Metadata, Omni

SENTENCES = Metadata(
    duration="It lasts {duration:.1f} seconds at {fps:.0f} FPS.",
    resolution="It is {height}x{width}.",
    negative="same",
    inverse_duration="It does not last {duration:.1f} seconds.",
    inverse_resolution="It is not {height}x{width}.",
    aspect_ratio="16,9",
)


def omni(prompt: str, metadata: dict[str, Any] | None = None, **changes: Any) -> Omni:
    values: dict[str, Any] = {
        "mode": "text2video",
        "prompt": prompt,
        "negative_prompt": "",
        "media": None,
        "condition_frames": (),
        "seed": 0,
        "guidance": 6.0,
        "shift": 10.0,
        "num_steps": 35,
        "num_frames": 189,
        "num_output_frames": 189,
        "height": 720,
        "width": 1280,
        "fps": 24.0,
        "metadata": SENTENCES.model_copy(update=metadata or {}),
        "use_system_prompt": False,
        "encoding": "mp4",
    }
    return Omni(**{**values, **changes})


@pytest.mark.parametrize("prompt", ["A robot", "A robot.", "A robot...", " A robot. "])
def test_sentences_follow_a_text(prompt: str) -> None:
    assert read_prompt(omni(prompt)) == "A robot. It lasts 7.9 seconds at 24 FPS. It is 720x1280."


def test_a_sentence_may_be_left_out() -> None:
    assert read_prompt(omni("A robot", {"duration": None})) == "A robot. It is 720x1280."
    assert read_prompt(omni("A robot.", {"duration": None, "resolution": None})) == "A robot."
    assert read_prompt(omni("A robot", num_frames=1)) == "A robot. It is 720x1280."


def test_a_caption_holds_the_numbers_itself() -> None:
    caption = {"subjects": ["a robot"], "fps": 5, "duration": "1s", "resolution": "small", "note": "é"}
    read = read_prompt(omni(json.dumps(caption)))
    assert json.loads(read) == {
        "subjects": ["a robot"],
        "fps": 24.0,
        "duration": "7s",
        "resolution": {"H": 720, "W": 1280},
        "note": "é",
        "aspect_ratio": "16,9",
    }
    assert list(json.loads(read)) == ["subjects", "fps", "duration", "resolution", "note", "aspect_ratio"]
    assert "\\u00e9" in read  # as json.dumps writes it, which is what the model was trained on


def test_a_caption_may_be_fenced() -> None:
    assert read_prompt(omni('```json\n{"a": 1}\n```')) == read_prompt(omni('{"a": 1}'))


def test_the_caption_of_a_picture_has_no_time() -> None:
    read = read_prompt(omni('{"a": 1, "fps": 5, "duration": "1s"}', {"aspect_ratio": None}, num_frames=1))
    assert json.loads(read) == {"a": 1, "resolution": {"H": 720, "W": 1280}}


@pytest.mark.parametrize("prompt", ["[1]", "7", '"text"', "{open", "[" * 100_000])
def test_other_json_is_text(prompt: str) -> None:
    assert read_prompt(omni(prompt)).endswith(". It is 720x1280.")


def test_the_negative_prompt_has_none_the_same_or_the_inverse() -> None:
    def read(mode: str, text: str = "dark.", **changes: Any) -> str:
        return read_negative_prompt(omni("x", {"negative": mode}, negative_prompt=text, **changes))

    assert read("none") == "dark."
    assert read("same") == "dark. It lasts 7.9 seconds at 24 FPS. It is 720x1280."
    assert read("inverse") == "dark. It does not last 7.9 seconds. It is not 720x1280."
    assert read("same", "") == "It lasts 7.9 seconds at 24 FPS. It is 720x1280."
    assert read("same", "", num_frames=1) == "It is 720x1280."
    assert read("inverse", "", num_frames=1) == "It does not last 0.0 seconds. It is not 720x1280."
    assert read("same", '{"a": 1}') == '{"a": 1}. It lasts 7.9 seconds at 24 FPS. It is 720x1280.'
