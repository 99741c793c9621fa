"""NVIDIA's fields of a Transfer 2.5 request: what is taken, what is refused by name, what others call it."""

from typing import Any

import pytest

from cosmos_handler.errors import InvalidField
from cosmos_handler.schemas.invocation import Invocation, parse
from cosmos_handler.schemas.served import Served
from cosmos_handler.schemas.transfer import TransferRequest

TRANSFER = Served("transfer", (), "transfer2.5", ("transfer",))
PREDICT = Served("predict", (), "predict2.5", ("text2world", "image2world", "video2world"))
EVERY = ("edge", "vis", "depth", "seg")


def parsed(body: dict[str, Any]) -> tuple[TransferRequest, Invocation]:
    invocation = parse({"prompt": "a robot", **body}, models=[PREDICT, TRANSFER])
    assert isinstance(invocation.request, TransferRequest)
    return invocation.request, invocation


def fault_of(body: dict[str, Any]) -> InvalidField:
    with pytest.raises(InvalidField) as caught:
        parsed(body)
    return caught.value


def test_nvidias_whole_json() -> None:
    request, invocation = parsed(
        {
            "name": "robot_edge",
            "negative_prompt": "dark",
            "video_path": "assets/robot_input.mp4",
            "seed": 1,
            "guidance": 3,
            "num_steps": 4,
            "resolution": "480",
            "sigma_max": None,
            "num_conditional_frames": 2,
            "num_video_frames_per_chunk": 93,
            "max_frames": 100,
            "context_frame_index": None,
            "image_context_path": None,
            "keep_input_resolution": False,
            "show_control_condition": True,
            "show_input": True,
            "guided_generation_mask": None,
            "guided_generation_step_threshold": 25,
            "guided_generation_foreground_labels": None,
            "edge": {
                "control_path": None,
                "control_weight": 1,
                "mask_path": None,
                "mask_prompt": None,
                "preset_edge_threshold": "low",
            },
            "vis": None,
        }
    )
    assert (invocation.task, request.guidance, request.resolution) == ("transfer", 3, "480")
    name, control = request.one_control(spelling={}, available=EVERY)
    assert (name, control.preset, control.control_weight) == ("edge", "low", 1.0)


def test_other_names_for_the_same() -> None:
    request, _ = parsed(
        {
            "input_video_path": "a.mp4",
            "guidance_scale": 2.5,
            "num_inference_steps": 8,
            "size": "96x64",
            "num_frames": 12,
            "blur": {"input_control": "b.mp4", "weight": 0.5},
        }
    )
    assert (request.video_path, request.guidance, request.num_steps) == ("a.mp4", 2.5, 8)
    assert (request.resolution, request.max_frames) == ("64,96", 12)
    assert request.vis is not None
    assert (request.vis.control_path, request.vis.control_weight) == ("b.mp4", 0.5)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("context_frame_index", 3),
        ("image_context_path", "sunset.jpg"),
        ("guided_generation_mask", "mask.mp4"),
        ("guided_generation_step_threshold", 30),
        ("guided_generation_foreground_labels", [1]),
    ],
)
def test_what_the_pipeline_cannot_do_is_refused_by_name(field: str, value: Any) -> None:
    error = fault_of({"edge": {}, field: value})
    assert error.field == field
    assert "is not possible here" in str(error)
    assert "allowed: " in str(error)


@pytest.mark.parametrize("value", [None, "200", 200, 200.0])
def test_pure_noise_is_what_is_begun_from(value: Any) -> None:
    assert parsed({"edge": {}, "sigma_max": value})[0] == parsed({"edge": {}})[0]


@pytest.mark.parametrize("value", ["80", 0, "", True])
def test_less_noise_is_refused_with_what_there_is(value: Any) -> None:
    error = fault_of({"edge": {}, "sigma_max": value})
    assert error.field == "sigma_max"
    assert 'allowed: "200"' in str(error)


@pytest.mark.parametrize(
    ("control", "body", "field"),
    [
        ("edge", {"mask_path": "m.mp4"}, "edge.mask_path"),
        ("depth", {"mask_prompt": "car"}, "depth.mask_prompt"),
        ("seg", {"control_prompt": "car tree"}, "seg.control_prompt"),
        ("edge", {"preset_blur_strength": "low"}, "edge.preset_blur_strength"),
        ("vis", {"preset_blur_strength": "none"}, "vis.preset_blur_strength"),
        ("blur", {"control_weight": 1.5}, "blur.control_weight"),
        ("edge", {"weight": 1, "control_weight": 1}, "edge"),
        ("edge", 3, "edge"),
    ],
)
def test_what_a_control_cannot_say(control: str, body: Any, field: str) -> None:
    assert fault_of({control: body}).field == field


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"guidance": 7.5}, "guidance"),
        ({"num_conditional_frames": 3}, "num_conditional_frames"),
        ({"resolution": "wide"}, "resolution"),
        ({"resolution": "64,64,64"}, "resolution"),
        ({"fps": 30}, "fps"),
        ({"video": "x", "video_path": "y"}, "video_path"),
        ({"prompt": ""}, "prompt"),
    ],
)
def test_faults(body: dict[str, Any], field: str) -> None:
    assert fault_of({"edge": {}, **body}).field == field


def test_one_control_of_those_that_are_there() -> None:
    request, invocation = parsed({"blur": {}, "edge": {}})
    with pytest.raises(InvalidField, match="one control at a time") as caught:
        request.one_control(spelling=invocation.spelling, available=EVERY)
    assert caught.value.field == "blur"
    request, _ = parsed({"seg": {}})
    with pytest.raises(InvalidField, match=r"no branch for \(allowed: edge, vis\)") as caught:
        request.one_control(spelling={}, available=("edge", "vis"))
    assert caught.value.field == "seg"
    bare = TransferRequest(prompt="a robot")
    with pytest.raises(InvalidField, match="is needed") as caught:
        bare.one_control(spelling={}, available=("depth",))
    assert caught.value.field == "depth"
