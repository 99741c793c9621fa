"""Guardrails of frames over HTTP: what is harmful is refused, what is broken blocks, what is missing ends the start."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import make_tiny, running_server
from tests.container.test_guardrails import ends_with

pytestmark = pytest.mark.model

SMALL = {"prompt": "A table.", "resolution": "64,96", "num_output_frames": 5, "num_steps": 1, "seed": 7}
CLASSIFIER = "guardrails/video_content_safety_filter/safety_filter.pt"
FACES = "guardrails/face_blur_filter/Resnet50_Final.pth"


@pytest.fixture(scope="module")
def predict(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny("predict2.5", tmp_path_factory.mktemp("guarded") / "predict2.5")


@pytest.fixture
def model(predict: Path, tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return Path(shutil.copytree(predict, tmp_path / "model"))


def change(path: Path, how: Callable[[dict[str, Any]], None]) -> None:
    import torch

    content = torch.load(path, weights_only=True)
    how(content.get("model", content))
    torch.save(content, path)


def everything_is_violence(state: dict[str, Any]) -> None:
    state["network.layers.6.bias"][2] = 1e6


def no_numbers(state: dict[str, Any]) -> None:
    state["body.conv1.weight"].fill_(float("nan"))


def test_harmful_frames_are_refused_and_another_check_is_not_asked(model: Path, tmp_path: Path) -> None:
    change(model / CLASSIFIER, everything_is_violence)
    with running_server(model, tmp_path / "work") as server:
        server.wait_until_ready()
        response = server.invoke({**SMALL, "inference_type": "text2world"})
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert (error["type"], error["check"]) == ("guardrail", "content_filter")
    assert "Violence: first in frame 0 of 5" in error["message"]
    said = {verdict["check"]: verdict["state"] for verdict in error["guardrails"]}
    assert said == {"blocklist": "passed", "text_classifier": "passed", "content_filter": "blocked"}


def test_weights_that_give_no_numbers_block(model: Path, tmp_path: Path) -> None:
    change(model / FACES, no_numbers)
    with running_server(model, tmp_path / "work", COSMOS_GUARDRAILS="video") as server:
        server.wait_until_ready()
        response = server.invoke({**SMALL, "inference_type": "text2world"})
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert (error["type"], error["check"]) == ("guardrail", "face_blur")
    said = {verdict["check"]: verdict["state"] for verdict in error["guardrails"]}
    assert said == {
        "content_filter": "passed", "face_blur": "error", "blocklist": "off", "text_classifier": "off"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        (CLASSIFIER, "safety_filter.pt is missing"),
        (FACES, "Resnet50_Final.pth is missing"),
        ("guardrails/siglip-so400m-patch14-384", "SigLIP is missing"),
    ],
)
def test_missing_files_end_the_start_in_one_line(model: Path, tmp_path: Path, gone: str, told: str) -> None:
    place = model / gone
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    log = ends_with(3, model, tmp_path / "work")
    (line,) = [line for line in log.splitlines() if "cannot serve" in line]
    assert told in line
