"""What diffusers' pipeline does with a request that is a little off, and what the server does with it."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import CPU_THREADS, Server, data_url, setup_of
from tests.container.library import PROMPT, call_predict, load_predict
from tests.container.media import Frames, clip, frames_of_mp4, frames_served, png

pytestmark = pytest.mark.model

SMALL = {"model": "predict2.5", "prompt": PROMPT, "resolution": "64,96", "num_output_frames": 5, "num_steps": 3,
         "seed": 7}  # fmt: skip
SECRET = "An otter named Zymurgy balances on a xylophone."


@pytest.fixture(scope="module")
def folder(tiny_models: Path) -> Path:
    return tiny_models / "predict2.5"


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    import torch

    torch.set_num_threads(CPU_THREADS)
    return load_predict(folder)


def served(server: Server, **body: Any) -> Frames:
    return frames_served(server, {**SMALL, "inference_type": "text2world", **body})


def refused(server: Server, **body: Any) -> dict[str, Any]:
    response = server.invoke({**SMALL, **body})
    assert response.status_code == 400, response.text
    error: dict[str, Any] = response.json()["error"]
    return error


def distinct(frames: Frames) -> int:
    return len(np.unique(frames.reshape(len(frames), -1), axis=0))


def images(frames: Frames) -> list[Image.Image]:
    return [Image.fromarray(frame) for frame in frames]


def test_a_frame_count_between_two_latents(server: Server, pipeline: Any) -> None:
    stuttering = call_predict(pipeline, num_frames=12)
    assert (len(stuttering), distinct(stuttering)) == (12, 3)  # each held four times
    frames = served(server, num_output_frames=12)
    assert (len(frames), distinct(frames)) == (12, 12)
    np.testing.assert_array_equal(frames, call_predict(pipeline, num_frames=13)[:12])


def test_a_tensor_is_no_image_and_a_picture_is_always_rgb(server: Server, pipeline: Any, tmp_path: Path) -> None:
    import torch

    with pytest.raises(TypeError):
        call_predict(pipeline, image=torch.zeros(3, 64, 96))
    picture = Image.open(io.BytesIO(png(64, 96))).convert("RGBA")
    with pytest.raises(RuntimeError):
        call_predict(pipeline, image=picture)
    picture.save(tmp_path / "input.png")
    url = data_url((tmp_path / "input.png").read_bytes(), "image/png")
    frames = served(server, inference_type="image2world", image=url)
    np.testing.assert_array_equal(frames, call_predict(pipeline, image=picture.convert("RGB")))


def test_a_clip_as_long_as_the_video_leaves_nothing_to_make(server: Server, pipeline: Any, tmp_path: Path) -> None:
    data = clip(tmp_path / "clip.mp4", num_frames=5)
    source, *_ = frames_of_mp4(data)
    here, there = (
        call_predict(pipeline, video=images(source), num_frames=5, prompt=prompt) for prompt in (PROMPT, SECRET)
    )
    np.testing.assert_array_equal(here, there)  # whatever the prompt says, the clip comes back
    video = data_url(data, "video/mp4")
    assert refused(server, inference_type="video2world", video=video)["field"] == "num_output_frames"
    body = {"inference_type": "video2world", "video": video, "num_output_frames": 9}
    assert not np.array_equal(served(server, **body), served(server, **body, prompt=SECRET))


def test_guidance_is_added_to_the_conditional(server: Server, pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    seen: list[Any] = []
    followed: list[Any] = []
    step: Callable[..., Any] = pipeline.scheduler.step

    def look(noise: Any, *arguments: Any, **options: Any) -> Any:
        followed.append(noise)
        return step(noise, *arguments, **options)

    monkeypatch.setattr(pipeline.scheduler, "step", look)
    hook = pipeline.transformer.register_forward_hook(lambda module, inputs, output: seen.append(output[0]))
    call_predict(pipeline, guidance_scale=3.0, num_inference_steps=1)
    hook.remove()
    with_prompt, without = (output.float() for output in seen)
    assert torch.equal(followed[0], with_prompt + 3.0 * (with_prompt - without))
    assert not torch.allclose(followed[0], without + 3.0 * (with_prompt - without))
    response = server.invoke({**SMALL, "inference_type": "text2world", "guidance": 3.0}, accept="video/mp4")
    assert json.loads(response.headers["x-cosmos-result"])["guidance_usual"] == 4.0
    off = server.invoke({**SMALL, "inference_type": "text2world", "guidance": 0.5}).json()
    assert off["guidance_usual"] == 1.0
    assert refused(server, guidance_usual=4.0)["field"] == "guidance_usual"


def test_an_interrupt_still_decodes_and_a_cancel_does_not(
    folder: Path, pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers.models.autoencoders.autoencoder_kl_wan import WanDecoder3d

    from cosmos_handler.artifacts.discover import discover
    from cosmos_handler.messages.wire import Cancelled, Done, Progress, Run
    from cosmos_handler.worker.session import Session
    from tests.engine.test_generation import task

    decoded = []
    forward = WanDecoder3d.forward

    def decode(*arguments: Any, **options: Any) -> Any:
        decoded.extend([1] if options.get("first_chunk") else [])
        return forward(*arguments, **options)

    monkeypatch.setattr(WanDecoder3d, "forward", decode)

    def interrupt(pipe: Any, index: int, timestep: Any, tensors: Any) -> dict[str, Any]:
        pipe._interrupt = True
        return {}

    call_predict(pipeline, callback_on_step_end=interrupt)
    assert decoded == [1]

    said: list[Any] = []
    session = Session(setup_of(folder), send=said.append)
    wanted = task(resolution="64,96", num_output_frames=5, num_steps=3)
    name = discover(folder)[0].name
    session.run(
        Run(job_id="job", model=name, task=wanted, folder="/nowhere"),
        is_cancelled=lambda: any(isinstance(each, Progress) and each.step == 1 for each in said),
    )
    assert isinstance(said[-1], Cancelled)
    assert (said[-1].stage, said[-1].step) == ("denoise", 1)
    assert not any(isinstance(each, Done) for each in said)
    assert decoded == [1]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prompt": [PROMPT, SECRET]}, "prompt"),
        ({"num_videos_per_prompt": 2}, "num_videos_per_prompt"),
        ({"num_videos": 2}, "num_videos"),
    ],
)
def test_several_prompts_and_several_videos(server: Server, pipeline: Any, body: dict[str, Any], field: str) -> None:
    import torch

    with pytest.raises(RuntimeError):
        pipeline(
            prompt=[PROMPT, SECRET], num_videos_per_prompt=2, height=64, width=96, num_frames=5, num_inference_steps=1,
            generator=torch.Generator("cpu").manual_seed(7),
        )  # fmt: skip
    assert refused(server, **body)["field"].startswith(field)


class Judge:
    """A checker that says no to everything, but is not of the class that the pipeline looks for."""

    def __init__(self, *, text: bool) -> None:
        self.text = text

    def to(self, device: object) -> None:
        pass

    def check_text_safety(self, text: str) -> bool:
        return self.text

    def check_video_safety(self, frames: Frames) -> None:
        raise AssertionError("it was asked after all")


def test_the_checker_that_is_none_or_of_another_class(server: Server, pipeline: Any) -> None:
    checker = pipeline.safety_checker
    try:
        pipeline.safety_checker = None
        with pytest.raises(ValueError, match="disabled the safety checker"):
            call_predict(pipeline)
        pipeline.safety_checker = Judge(text=True)
        assert len(call_predict(pipeline)) == 5  # the video went out although its judge was never asked
        pipeline.safety_checker = Judge(text=False)
        with pytest.raises(ValueError, match=SECRET):
            call_predict(pipeline, prompt=SECRET)
    finally:
        pipeline.safety_checker = checker
    answer = server.invoke({**SMALL, "inference_type": "text2world"}).json()
    ran = [verdict["check"] for verdict in answer["guardrails"] if verdict["state"] == "passed"]
    assert ran == ["blocklist", "text_classifier", "content_filter", "face_blur"]


def test_embeddings_pass_by_the_checker_of_texts(
    server: Server, pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    asked = []
    monkeypatch.setattr(pipeline.safety_checker, "check_text_safety", lambda text: asked.append(text) or False)
    embeds, negative = pipeline.encode_prompt(prompt=SECRET, device=torch.device("cpu"))
    frames = call_predict(pipeline, prompt=None, prompt_embeds=embeds, negative_prompt_embeds=negative)
    assert not asked
    # The server goes the same way, so that its checks stand around the pipeline; nobody can send it embeddings.
    np.testing.assert_array_equal(frames, served(server, prompt=SECRET))
    assert refused(server, prompt_embeds=[[0.0]])["field"] == "prompt_embeds"


def test_nothing_of_a_prompt_is_repeated(server: Server, tmp_path: Path) -> None:
    short = data_url(clip(tmp_path / "short.mp4", num_frames=3), "video/mp4")
    refusals = [
        refused(server, prompt=SECRET, inference_type="video2world", video=short, num_output_frames=9),
        refused(server, prompt=SECRET, inference_type="text2world", num_steps=0),
        refused(server, prompt=SECRET * 1000),
        refused(server, prompt=[SECRET]),
    ]
    served(server, prompt=SECRET)
    for said in (json.dumps(refusals), server.log):
        assert "Zymurgy" not in said
        assert "xylophone" not in said


@pytest.mark.parametrize("length", [2, 3, 4])
def test_a_clip_of_a_few_frames(server: Server, pipeline: Any, tmp_path: Path, length: int) -> None:
    data = clip(tmp_path / "clip.mp4", num_frames=length)
    source, *_ = frames_of_mp4(data)
    with pytest.raises(ValueError, match="requires at least 5 frames"):
        call_predict(pipeline, video=images(source), num_frames=9)
    body = {"inference_type": "video2world", "video": data_url(data, "video/mp4"), "num_output_frames": 9}
    assert refused(server, **body)["field"] == "video"
    frames = served(server, **body, num_input_frames=1)
    expected = call_predict(pipeline, video=images(source), num_frames=9, num_latent_conditional_frames=1)
    np.testing.assert_array_equal(frames, expected)
