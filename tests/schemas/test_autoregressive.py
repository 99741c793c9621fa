"""NVIDIA's words for an autoregressive model, others' names, and which model and task they mean."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos_handler.errors import InvalidField, RequestError
from cosmos_handler.schemas.autoregressive import ALIASES, ContinueRequest
from cosmos_handler.schemas.generation import GenerationRequest
from cosmos_handler.schemas.invocation import Invocation, parse
from cosmos_handler.schemas.reasoning import ReasoningRequest
from cosmos_handler.schemas.samples import expand
from cosmos_handler.schemas.served import Served
from cosmos_handler.schemas.upload import Upload
from tests.schemas.test_invocation import json_values

CONTINUE = Served("continue", ("ar",), "autoregressive", ("image2world", "video2world"))
PREDICT = Served("predict", (), "predict2.5", ("text2world", "image2world", "video2world"))
REASON = Served("reason", (), "reason2", ("reasoner",))


def request(*models: Served, **body: Any) -> ContinueRequest:
    parsed = parse(body, models=models or (CONTINUE,)).request
    assert isinstance(parsed, ContinueRequest)
    return parsed


def fault(*models: Served, **body: Any) -> InvalidField:
    with pytest.raises(InvalidField) as caught:
        parse(body, models=models or (CONTINUE,))
    return caught.value


@pytest.mark.parametrize(
    ("body", "task"),
    [
        ({"image": "AAAA"}, "image2world"),
        ({"video": "AAAA"}, "video2world"),
        ({"input_image_or_video_path": "assets/autoregressive/input.jpg"}, "image2world"),
        ({"input_image_or_video_path": "assets/autoregressive/input.mp4"}, "video2world"),
        ({"visual_input": "assets/autoregressive/batch_inputs/0.mp4", "prompt": "A road."}, "video2world"),
        ({"model_mode": "image2video", "input_path": "AAAA"}, "image2world"),
        ({}, "video2world"),
    ],
)
def test_the_medium_tells_the_task(body: dict[str, Any], task: str) -> None:
    assert parse(body, models=[CONTINUE]).task == task
    assert parse({**body, "model": "ar"}, models=[PREDICT, REASON, CONTINUE]).task == task


def test_what_kind_a_medium_is_has_to_be_told_somehow() -> None:
    assert fault(input_image_or_video_path="AAAA").field == "inference_type"
    assert fault(inference_type="text2world").field == "inference_type"


def test_the_model_decides_where_several_go_on_from_a_video() -> None:
    body = {"video": "AAAA", "prompt": "A road."}
    assert fault(PREDICT, CONTINUE, **body).field == "model"
    assert isinstance(parse({**body, "model": "predict"}, models=[PREDICT, CONTINUE]).request, GenerationRequest)
    assert request(PREDICT, CONTINUE, **body, model="continue", num_input_frames=9).num_input_frames == 9
    assert fault(PREDICT, CONTINUE, **body, model="predict", num_input_frames=9).field == "num_input_frames"
    assert fault(PREDICT, CONTINUE, **body, model="predict", temperature=0.5).field == "temperature"


def test_how_tokens_are_drawn_is_no_sign_of_a_question() -> None:
    drawn = request(REASON, CONTINUE, video="AAAA", decoder="tokenizer", temperature=0.5, top_p=0.5)
    assert (drawn.temperature, drawn.top_p) == (0.5, 0.5)
    assert request(REASON, CONTINUE, video="AAAA", model="continue", temperature=0.5).temperature == 0.5
    assert fault(REASON, CONTINUE, video="AAAA", prompt="What?", temperature=0.5).field == "inference_type"


def test_without_such_a_model_it_is() -> None:
    asked = parse({"video": "AAAA", "prompt": "What?", "temperature": 0.5}, models=[PREDICT, REASON])
    assert isinstance(asked.request, ReasoningRequest)
    other = parse({"video": "AAAA", "prompt": "What?", "max_tokens": 5}, models=[REASON, CONTINUE])
    assert isinstance(other.request, ReasoningRequest)


@pytest.mark.parametrize("size", ["640,1024", "1024x640", [640, 1024], "[640, 1024]", ["640", "1024"]])
def test_a_size_as_anybody_writes_it(size: object) -> None:
    assert request(video="AAAA", data_resolution=size).resolution == "640,1024"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"num_input_frames": 0}, "num_input_frames"),
        ({"num_input_frames": 5}, "num_input_frames"),
        ({"num_input_frames": True}, "num_input_frames"),
        ({"num_input_frames": "9"}, "num_input_frames"),
        ({"data_resolution": [640]}, "data_resolution"),
        ({"data_resolution": [640.0, 1024]}, "data_resolution"),
        ({"data_resolution": [640, [1024]]}, "data_resolution"),
        ({"resolution": "720"}, "resolution"),
        ({"top_p": 0}, "top_p"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": 0.00001}, "temperature"),
        ({"decoder": "vae"}, "decoder"),
        ({"negative_prompt": "x"}, "negative_prompt"),
        ({"prompt": "x" * 20_001}, "prompt"),
        ({"visual_input": "0.mp4"}, "video"),
    ],
)
def test_faults_name_the_field_as_it_was_written(change: dict[str, Any], field: str) -> None:
    assert fault(**{"video": "AAAA", **change}).field == field


def test_latent_frames_are_not_what_is_counted() -> None:
    said = str(fault(video="AAAA", num_input_frames=2))
    assert said == "num_input_frames: is 2, and counts frames here, not latent frames (allowed: 1 or 9)"


def test_a_form_carries_numbers_as_text() -> None:
    body = {"video": "AAAA", "num_input_frames": "9", "top_p": "0.5", "disable_diffusion_decoder": "true"}
    parsed = parse(body, models=[CONTINUE], strict=False).request
    assert isinstance(parsed, ContinueRequest)
    assert (parsed.num_input_frames, parsed.top_p, parsed.disable_diffusion_decoder) == (9, 0.5, True)


def test_nvidias_lines_name_their_videos_by_their_paths() -> None:
    paths = [f"assets/autoregressive/batch_inputs/{number}.mp4" for number in range(2)]
    lines = [{"prompt": "A road.", "visual_input": path} for path in paths]
    uploads = {path: Upload.of(b"video") for path in paths}
    for path, body in zip(paths, expand(lines), strict=True):
        assert isinstance(body, dict)
        parsed = parse(body, models=[CONTINUE], uploads=uploads)
        assert (parsed.task, getattr(parsed.request, "input_path", None)) == ("video2world", path)
        assert parsed.written("input_path") == "visual_input"


names = st.sampled_from(sorted({*ContinueRequest.model_fields, *ALIASES}))


@given(st.dictionaries(names | st.text(max_size=8), json_values, max_size=6), st.booleans())
def test_whatever_comes_is_parsed_or_refused(body: dict[str, Any], strict: bool) -> None:
    try:
        parsed = parse(body, models=(PREDICT, CONTINUE, REASON), strict=strict)
    except RequestError:
        return
    assert isinstance(parsed, Invocation)
