"""Bodies are told by their shape; faults name the field in the client's own spelling."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos_handler.errors import InvalidField, RequestError
from cosmos_handler.schemas.generation import GenerationRequest
from cosmos_handler.schemas.invocation import Invocation, parse
from cosmos_handler.schemas.reasoning import ChatRequest, ReasoningRequest
from cosmos_handler.schemas.served import Served

PREDICT = (Served("predict", (), "predict2.5", ("text2world", "image2world", "video2world")),)
REASON = (Served("reason", (), "reason2", ("reasoner",)),)
BOTH = (*PREDICT, *REASON)


def shape(body: dict[str, Any], models: tuple[Served, ...] = BOTH) -> type:
    return type(parse(body, models=models).request)


def generation(**body: Any) -> GenerationRequest:
    request = parse({"prompt": "a robot", **body}, models=PREDICT).request
    assert isinstance(request, GenerationRequest)
    return request


def fault(body: dict[str, Any], models: tuple[Served, ...] = PREDICT, **options: Any) -> InvalidField:
    with pytest.raises(InvalidField) as caught:
        parse(body, models=models, **options)
    return caught.value


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"inference_type": "text2world", "prompt": "x"}, GenerationRequest),
        ({"prompt": "x", "num_steps": 3}, GenerationRequest),
        ({"prompt": "x", "num_inference_steps": 3}, GenerationRequest),
        ({"prompt": "x", "model": "predict"}, GenerationRequest),
        ({"prompt": "x", "model": "reason"}, ReasoningRequest),
        ({"prompt": "x", "max_tokens": 3}, ReasoningRequest),
        ({"prompt": "x", "inference_type": "reasoner"}, ReasoningRequest),
        ({"prompt": "x", "model_mode": "reasoner"}, ReasoningRequest),
        ({"messages": [{"role": "user", "content": "x"}]}, ChatRequest),
    ],
)
def test_the_shape_tells_what_is_meant(body: dict[str, Any], expected: type) -> None:
    assert shape(body) is expected


def test_a_bare_prompt_means_what_the_only_model_does() -> None:
    assert shape({"prompt": "x", "image": "y"}, PREDICT) is GenerationRequest
    assert shape({"prompt": "x", "image": "y"}, REASON) is ReasoningRequest
    assert fault({"prompt": "x", "image": "y"}, BOTH).field == "inference_type"


@pytest.mark.parametrize(
    ("alias", "value", "name"),
    [
        ("guidance_scale", 3.5, "guidance"),
        ("num_inference_steps", 4, "num_steps"),
        ("steps", 4, "num_steps"),
        ("num_frames", 9, "num_output_frames"),
        ("size", "1280x704", "resolution"),
        ("input_reference", "AAAA", "input_path"),
    ],
)
def test_aliases(alias: str, value: object, name: str) -> None:
    folded = generation(inference_type="image2world", **{alias: value})
    assert getattr(folded, name) == ("704,1280" if alias == "size" else value)


def test_one_idea_under_two_names_is_refused() -> None:
    error = fault({"prompt": "x", "guidance": 3, "guidance_scale": 3})
    assert error.field == "guidance_scale"
    assert "guidance" in error.problem


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": "  \n"}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"num_output_frames": 0}, "num_output_frames"),
        ({"num_output_frames": "12"}, "num_output_frames"),
        ({"num_output_frames": 12.5}, "num_output_frames"),
        ({"num_frames": True}, "num_frames"),
        ({"num_steps": 0}, "num_steps"),
        ({"steps": 201}, "steps"),
        ({"guidance": -1}, "guidance"),
        ({"guidance_scale": "high"}, "guidance_scale"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"fps": 0}, "fps"),
        ({"resolution": "720p"}, "resolution"),
        ({"size": "1280*704"}, "size"),
        ({"inference_type": "image2image"}, "inference_type"),
        ({"nmu_steps": 3}, "nmu_steps"),
        ({"image": "AAAA", "video": "AAAA"}, "video"),
        ({"image": "AAAA", "input_path": "AAAA"}, "image"),
        ({"name": "x" * 65}, "name"),
    ],
)
def test_faults_name_the_field_as_it_was_written(change: dict[str, Any], field: str) -> None:
    error = fault({"prompt": "x", "inference_type": "image2world", **change})
    assert error.field == field
    assert field in str(error)


def test_an_unknown_field_is_told_what_there_is() -> None:
    assert "num_steps" in (fault({"prompt": "x", "stepz": 3}).allowed or "")


def test_a_range_is_told() -> None:
    assert fault({"prompt": "x", "seed": -1}).allowed == "whole number, 0 to 4294967295"


def test_forms_carry_numbers_as_text() -> None:
    body = {"prompt": "x", "inference_type": "text2world", "num_steps": "3", "guidance": "2.5"}
    request = parse(body, models=BOTH, strict=False).request
    assert isinstance(request, GenerationRequest)
    assert (request.num_steps, request.guidance) == (3, 2.5)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"role": "robot", "content": "x"}, "messages.0.role"),
        ({"role": "user", "content": [{"type": "audio", "text": "x"}]}, "messages.0.content"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": 3}}]}, "messages.0.content"),
        ({"role": "user"}, "messages.0.content"),
    ],
)
def test_chat_faults_name_the_message(message: dict[str, Any], field: str) -> None:
    assert fault({"messages": [message]}, REASON).field.startswith(field)


def test_chat_knows_openais_names() -> None:
    body = {"messages": [{"role": "user", "content": "x"}], "max_completion_tokens": 5, "stream": True}
    request = parse(body, models=REASON).request
    assert isinstance(request, ChatRequest)
    assert (request.max_tokens, request.stream) == (5, True)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
known_names = st.sampled_from(
    sorted(GenerationRequest.model_fields | ReasoningRequest.model_fields | ChatRequest.model_fields)
)


@given(st.dictionaries(known_names | st.text(max_size=8), json_values, max_size=6), st.booleans())
def test_whatever_comes_is_parsed_or_refused(body: dict[str, Any], strict: bool) -> None:
    try:
        parsed = parse(body, models=BOTH, strict=strict)
    except RequestError:
        return
    assert isinstance(parsed, Invocation)
