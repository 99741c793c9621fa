"""Texts by path, NIM's nested numbers, and what is echoed."""

import json
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.artifacts.negative_prompts import COSMOS3
from cosmos_handler.errors import InvalidField
from cosmos_handler.schemas.invocation import Invocation, parse
from cosmos_handler.schemas.served import Served
from cosmos_handler.schemas.upload import Upload

MODEL = Served("predict", (), "predict2.5", ("text2world", "image2world", "video2world"))
OMNI = Served("omni", (), "cosmos3", ("text2image", "text2video", "image2video", "video2video", "reasoner"))
TRANSFER = Served("transfer", (), "transfer2.5", ("transfer",))


def read(body: dict[str, Any], **uploads: bytes) -> Invocation:
    files = {name: Upload.of(data) for name, data in uploads.items()}
    return parse(body, models=(MODEL,), uploads=files)


def test_nims_numbers_are_fields_of_their_own() -> None:
    params = {"height": 64, "width": 96, "frames_count": 9, "frames_per_sec": 12}
    invocation = read({"prompt": "a", "video_params": params, "guidance_scale": 3, "steps": 2})
    request: Any = invocation.request
    assert (request.height, request.width, request.num_output_frames, request.fps) == (64, 96, 9, 12)
    assert (request.guidance, request.num_steps) == (3, 2)
    assert invocation.written("num_output_frames") == "video_params.frames_count"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"video_params": 3}, "video_params"),
        ({"video_params": {"frames": 3}}, "video_params.frames"),
        ({"video_params": {"frames_count": 0}}, "video_params.frames_count"),
        ({"video_params": {"height": 64}, "height": 64}, "video_params.height"),
        ({"video_params": {"frames_count": 5}, "num_output_frames": 5}, "video_params.frames_count"),
        ({"prompt_path": "a"}, "prompt_path"),
        ({"extra": 3}, "extra"),
        ({"extra": dict.fromkeys(map(str, range(101)))}, "extra"),
        ({"extra": {"notes": ["x" * 1000] * 66}}, "extra"),
        ({"name": "n" * 65}, "name"),
    ],
)
def test_a_fault_is_named_as_it_was_written(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        read({"prompt": "a", **body})
    assert refused.value.field == field


def test_texts_by_path() -> None:
    invocation = read({"prompt_path": "p", "negative_prompt_file": "n"}, p=b"\xef\xbb\xbf a robot\n", n=b"dark", m=b"x")
    request: Any = invocation.request
    assert (request.prompt, request.negative_prompt) == ("a robot", "dark")
    assert invocation.uploads == {"m": Upload.of(b"x")}


def test_a_caption_in_a_file_is_read_as_nvidias_framework_does() -> None:
    """However its lines are broken: NVIDIA's own negative prompt, sent along, is the default it is."""
    text = json.dumps(json.loads(COSMOS3), indent=2).encode()
    for path in ("neg_prompts.json", "../assets/Negative.JSON"):
        request: Any = parse(
            {"prompt": "a", "model_mode": "text2video", "negative_prompt_file": path},
            models=(OMNI,), uploads={path: Upload.of(text)},
        ).request  # fmt: skip
        assert request.negative_prompt == COSMOS3
    with pytest.raises(InvalidField, match=r"'p\.json', which is not JSON"):
        parse({"prompt_path": "p.json"}, models=(MODEL,), uploads={"p.json": Upload.of(b"a robot")})


def test_upsampling_that_is_off_may_be_said_to_any_model() -> None:
    body = {"prompt": "a", "edge": {}, "video_path": "v"}
    assert parse({**body, "prompt_upsampling": False}, models=(TRANSFER,)).task == "transfer"
    assert parse({**body, "prompt_upsampling": "false"}, models=(TRANSFER,), strict=False).task == "transfer"
    for value in (True, "false"):
        with pytest.raises(InvalidField, match="prompt_upsampling"):
            parse({**body, "prompt_upsampling": value}, models=(TRANSFER,))


@pytest.mark.parametrize("path", ["missing", 3, ["p"]])
def test_a_text_that_did_not_come(path: Any) -> None:
    with pytest.raises(InvalidField) as refused:
        read({"prompt_path": path})
    assert refused.value.field == "prompt_path"
    assert "multipart part" in str(refused.value)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe"])
def test_a_text_that_is_none(data: bytes) -> None:
    with pytest.raises(InvalidField) as refused:
        read({"prompt_path": "p"}, p=data)
    assert refused.value.field == "prompt_path"


def test_a_text_that_is_too_long_is_not_read() -> None:
    with pytest.raises(InvalidField, match="too long for a text"):
        parse({"prompt_path": "p"}, models=(MODEL,), uploads={"p": Upload(Path("/nowhere"), 2**30)})


def test_null_is_absence() -> None:
    body = {"prompt": "a", "prompt_path": None, "negative_prompt_file": None, "video_params": None, "extra": None}
    assert read({**body, "name": None}).echo == {}


def test_name_and_extra_come_back() -> None:
    invocation = read({"prompt": "a", "name": "n", "extra": {"psnr": 14.0}})
    assert invocation.echo == {"name": "n", "extra": {"psnr": 14.0}}
    assert read({"prompt": "a"}).echo == {}
