"""NIM's routes, by requests as its clients send them."""

import base64
from pathlib import Path

import pytest

from cosmos_handler import __version__
from tests.conftest import Server
from tests.container.media import clip, frames_of_mp4, png

pytestmark = pytest.mark.model

BODY = {
    "prompt": "a robot",
    "negative_prompt": "dark",
    "seed": 4,
    "guidance_scale": 7.5,
    "steps": 2,
    "prompt_upsampling": False,
    "video_params": {"height": 64, "width": 96, "frames_count": 7, "frames_per_sec": 12},
}


def test_health_and_metadata(server: Server) -> None:
    assert server.client.get("/v1/health/live").json()["status"] == "live"
    ready = server.client.get("/v1/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert ready.json()["description"]
    told = server.client.get("/v1/metadata").json()
    assert told["version"] == __version__
    assert {model["shortName"] for model in told["modelInfo"]} == {"predict2.5", "reason2"}


@pytest.mark.parametrize("route", ["/v1/infer", "/invocations"])
def test_a_video_from_text(server: Server, route: str) -> None:
    answer = server.client.post(route, json=BODY).json()
    frames, fps, _, _ = frames_of_mp4(base64.b64decode(answer["b64_video"]))
    assert frames.shape == (7, 64, 96, 3)
    assert fps == 12
    assert answer["seed"] == 4
    assert answer["upsampled_prompt"] is None
    assert answer["cosmos"]["num_frames_generated"] == 9


def test_image_and_video_as_base64(server: Server, tmp_path: Path) -> None:
    picture, video = (base64.b64encode(data).decode() for data in (png(), clip(tmp_path / "clip.mp4")))
    for medium in ({"image": picture}, {"video": video}):
        response = server.client.post("/v1/infer", json={**BODY, **medium})
        assert response.json().get("b64_video"), response.text


def test_a_prompt_alone_is_no_question_here(server: Server) -> None:
    body = {"prompt": "a robot", "seed": 1, "video_params": {"height": 64, "width": 64, "frames_count": 1}, "steps": 1}
    assert server.client.post("/v1/infer", json=body).json()["b64_video"]
    refused = server.client.post("/v1/infer", json={"prompt": "what is this?", "model": "reason2"})
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, "model")


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"frames_count": 10_000}, "video_params.frames_count", "1 to 509"),
        ({"height": 65}, "video_params.height", "multiples of 16"),
        ({"frames_per_sec": "fast"}, "video_params.frames_per_sec", "1 to 120"),
        ({"depth": 3}, "video_params.depth", "frames_count"),
    ],
)
def test_a_fault_is_told_in_nims_words(server: Server, change: dict[str, object], field: str, says: str) -> None:
    response = server.client.post("/v1/infer", json={**BODY, "video_params": {**BODY["video_params"], **change}})  # type: ignore[dict-item]
    assert response.status_code == 400
    assert response.json()["error"]["field"] == field
    assert says in response.json()["error"]["message"]


def test_a_prompt_given_twice(server: Server) -> None:
    response = server.client.post("/v1/infer", json={**BODY, "prompt_path": "a.txt"})
    assert response.status_code == 400
    assert response.json()["error"]["field"] == "prompt_path"
