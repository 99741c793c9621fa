"""A reasoner writes the prompt, and the generator beside it makes the video of it."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cosmos_handler.engine.upsampling import _WISH as WISH
from tests.conftest import Server, data_url
from tests.container.library import PROMPT, answered, call_predict, load_predict, load_reason2, whole_clip
from tests.container.media import clip, frames_of_mp4, frames_of_npz, png
from tests.container.stream import streamed

pytestmark = pytest.mark.model

ASKED = {"prompt": PROMPT, "resolution": "64,96", "num_output_frames": 5, "num_steps": 3, "seed": 7,
         "model": "predict2.5", "prompt_upsampling": True}  # fmt: skip


@pytest.fixture(scope="module")
def direct(tiny_models: Path) -> Any:
    """A function that has transformers write the prompt."""
    import torch

    processor, model = load_reason2(tiny_models / "reason2")

    def write(*content: dict[str, str], **media: Any) -> str:
        words = f"{WISH}\n\nThe short description:\n{PROMPT}"
        turns = [
            {"role": "system", "content": [{"type": "text", "text": "You are a helpful assistant."}]},
            {"role": "user", "content": [*content, {"type": "text", "text": words}]},
        ]
        torch.manual_seed(7)
        return answered(processor, model, turns, drawn={"max_new_tokens": 512}, **media).strip()

    return write


@pytest.fixture(scope="module")
def pipeline(tiny_models: Path) -> Any:
    return load_predict(tiny_models / "predict2.5")


def test_the_longer_prompt_is_used_and_given_back(server: Server, direct: Any, pipeline: Any) -> None:
    response = server.invoke({**ASKED, "inference_type": "text2world"}, accept="application/json")
    assert response.status_code == 200, response.text
    answer = response.json()
    expected = direct()
    assert len(expected) > len(PROMPT)
    assert answer["upsampled_prompt"] == expected
    stages = {"guard_prompt", "upsample_prompt", "encode_text", "denoise", "decode", "guard_frames", "encode_video"}
    assert set(answer["stage_seconds"]) == stages
    asked = [verdict["detail"] for verdict in answer["guardrails"] if verdict["check"] == "text_classifier"]
    assert asked == ["the prompt: Safe", "the upsampled prompt: Safe"]
    raw = server.invoke({**ASKED, "inference_type": "text2world"}, accept="application/x-npz")
    assert len(raw.headers["x-cosmos-result"]) <= 2048
    np.testing.assert_array_equal(frames_of_npz(raw.content), call_predict(pipeline, prompt=expected))
    *_, metadata = frames_of_mp4(base64.b64decode(answer["video"]))
    assert json.loads(metadata["comment"])["upsampled_prompt"] == expected


def test_the_reasoner_sees_the_picture(server: Server, direct: Any, tmp_path: Path) -> None:
    (tmp_path / "input.png").write_bytes(png(100, 180))
    picture = data_url((tmp_path / "input.png").read_bytes(), "image/png")
    answer = server.invoke({**ASKED, "image": picture}).json()
    image = Image.open(tmp_path / "input.png").convert("RGB")
    assert answer["upsampled_prompt"] == direct({"type": "image"}, images=[image])


def test_the_reasoner_sees_the_clip(server: Server, direct: Any, tmp_path: Path) -> None:
    data = clip(tmp_path / "clip.mp4", num_frames=24)
    answer = server.invoke({**ASKED, "num_output_frames": 9, "video": data_url(data, "video/mp4")}).json()
    assert answer["upsampled_prompt"] == direct({"type": "video"}, **whole_clip(data))


def test_nothing_of_it_without_being_asked(server: Server) -> None:
    answer = server.invoke({**ASKED, "prompt_upsampling": False, "inference_type": "text2world"}).json()
    assert "upsampled_prompt" not in answer
    assert "upsample_prompt" not in answer["stage_seconds"]


def test_cancelled_while_the_prompt_is_written(server: Server) -> None:
    body = {**ASKED, "inference_type": "text2world"}
    job_id = ""
    with streamed(server, body) as events:
        for _, data in events:
            job_id = data["job_id"]
            if data.get("step", 0) >= 3:
                assert (data["stage"], data["num_steps"]) == ("upsample_prompt", 512)
                break
    deadline = time.monotonic() + 60
    while f"job {job_id} cancelled in upsample_prompt after step" not in server.log:
        assert time.monotonic() < deadline, server.log[-2000:]
        time.sleep(0.05)
