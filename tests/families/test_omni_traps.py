"""What diffusers' pipeline does by itself where this server refuses or does otherwise: should it change, so may we."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from scripts import make_tiny
from tests.container.library import call_omni, load_omni
from tests.container.media import Frames

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("cosmos3")
    make_tiny.write_checkpoint("cosmos3", folder, say=lambda line: None)
    return load_omni(folder)


def call(pipeline: Any, **arguments: Any) -> Frames:
    return call_omni(pipeline, **{"prompt": "a robot", "negative_prompt": "", "num_inference_steps": 1, **arguments})


def clip(num_frames: int) -> list[Image.Image]:
    frames = np.random.default_rng(0).integers(0, 256, (num_frames, 64, 96, 3), dtype=np.uint8)
    return [Image.fromarray(frame) for frame in frames]


def test_a_list_of_prompts_is_cut_to_its_first(pipeline: Any) -> None:
    np.testing.assert_array_equal(call(pipeline, prompt=["a robot", "a car"]), call(pipeline))


def test_frames_between_the_vaes_counts_are_lost(pipeline: Any) -> None:
    assert len(call(pipeline, num_frames=8)) == 5


def test_with_every_frame_kept_nothing_is_made(pipeline: Any) -> None:
    kept = {"video": clip(5), "condition_frame_indexes_vision": [0, 1]}
    np.testing.assert_array_equal(call(pipeline, **kept), call(pipeline, **kept, prompt="a car"))


def test_the_image_of_a_single_frame_is_forgotten(pipeline: Any) -> None:
    np.testing.assert_array_equal(call(pipeline, num_frames=1, image=clip(1)[0]), call(pipeline, num_frames=1))


def test_a_clip_of_another_shape_is_squeezed(pipeline: Any) -> None:
    wide = [Image.new("RGB", (192, 64), "red") for _ in range(5)]
    for frame in wide:
        frame.paste("blue", (0, 0, 48, 64))  # outside the middle, so that a crop would not show it
    cropped = [frame.crop((48, 0, 144, 64)) for frame in wide]
    assert not np.array_equal(call(pipeline, video=wide, num_frames=9), call(pipeline, video=cropped, num_frames=9))


def test_an_interrupt_still_decodes(pipeline: Any) -> None:
    def interrupt(pipe: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        pipe._interrupt = True
        return {}

    assert len(call(pipeline, num_inference_steps=3, callback_on_step_end=interrupt)) == 5


def test_a_missing_negative_prompt_is_none_of_nvidias(pipeline: Any) -> None:
    np.testing.assert_array_equal(call(pipeline, negative_prompt=None), call(pipeline, negative_prompt=""))


def test_the_published_schedule_is_karras_and_not_nvidias(pipeline: Any) -> None:
    from diffusers import UniPCMultistepScheduler

    published = UniPCMultistepScheduler(
        use_karras_sigmas=True,
        use_flow_sigmas=True,
        prediction_type="flow_prediction",
        sigma_max=200.0,
        sigma_min=0.147,
    )
    schedules = []
    for shift in (3.0, 10.0):
        shifted = UniPCMultistepScheduler.from_config(published.config, flow_shift=shift)
        shifted.set_timesteps(4)
        schedules.append(shifted.sigmas.tolist())
    assert schedules[0] == schedules[1]  # with Karras's sigmas a shift changes nothing
