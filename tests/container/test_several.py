"""Files of several jobs over HTTP: NVIDIA's samples, lists, JSON lines, with their media beside them by path."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conftest import SAMPLES, Server, sample
from tests.container.media import clip, png

pytestmark = pytest.mark.model

TINY = {"resolution": "64,96", "num_output_frames": 9, "num_steps": 1}


def send(
    server: Server, content: Any, files: dict[str, bytes] | None = None, *, accept: str = "application/json"
) -> httpx2.Response:
    parts: dict[str, Any] = {"request": ("jobs.json", json.dumps(content).encode(), "application/json")}
    for path, data in (files or {}).items():
        parts[path] = (Path(path).name, data, "application/octet-stream")
    return server.client.post("/invocations", files=parts, headers={"Accept": accept})


@pytest.mark.parametrize("kind", ["text2world", "image2world", "video2world"])
def test_nvidias_samples(server: Server, kind: str, tmp_path: Path) -> None:
    """A sample whose files are not beside the checkout has an error in its place; the clip is a stand-in of ours."""
    file = json.loads(sample(f"predict2.5/{kind}.json").read_text())
    files = {}
    for each in file["samples"].values():
        for path in each.values():
            if (SAMPLES / "predict2.5" / path).exists():
                files[path] = (SAMPLES / "predict2.5" / path).read_bytes()
    if kind == "video2world":
        files["robot_pouring.mp4"] = clip(tmp_path / "clip.mp4")
    answers = send(server, {**file, **TINY, "extra": {"shelf": 3}}, files).json()
    assert [each["name"] for each in answers] == list(file["samples"])
    for name, answer in zip(file["samples"], answers, strict=True):
        paths = file["samples"][name].values()
        assert answer["extra"] == {"shelf": 3}
        if files.keys() >= set(paths):
            assert answer["num_output_frames"] == 9
            assert answer["media_type"] == "video/mp4"
        else:
            assert answer["error"]["field"] in ("prompt_path", "input_path")
    assert sum("video" in answer for answer in answers) == 1


def test_a_bad_job_costs_only_its_own_place(server: Server) -> None:
    jobs = [
        {"prompt": "a robot", **TINY, "name": "first"},
        {"prompt": "a robot", **TINY, "name": "second", "stepz": 3},
        "no object",
        {"prompt": "Say something.", "model": "reason2", "max_tokens": 2, "temperature": 0, "name": "fourth"},
        {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 2},
        {"prompt": "a robot", **TINY, "inference_type": "image2world", "image": "data:image/png;base64,aGVsbG8="},
    ]
    response = server.client.post("/invocations", json=jobs)
    assert response.status_code == 200
    answers = response.json()
    assert len(answers) == 6
    assert answers[0]["video"]
    assert (answers[1]["error"]["field"], answers[1]["name"]) == ("stepz", "second")
    assert answers[2]["error"]["type"] == "invalid_body"
    assert answers[3]["text"]
    assert answers[4]["object"] == "chat.completion"
    assert answers[5]["error"]["field"] == "image"


def test_json_lines_in_and_out(server: Server) -> None:
    lines = [json.dumps({"prompt": "a robot", **TINY, "name": name}) for name in ("a", "b")]
    body = "\n".join([lines[0], "{not json", "", lines[1]]).encode()
    kinds = {"Content-Type": "application/jsonlines", "Accept": "application/jsonlines"}
    response = server.client.post("/invocations", content=body, headers=kinds)
    assert response.headers["content-type"].startswith("application/jsonlines")
    answers = [json.loads(line) for line in response.text.splitlines()]
    assert [answer.get("name") for answer in answers] == ["a", None, "b"]
    assert "line 2" in answers[1]["error"]["message"]
    assert answers[2]["video"]


def test_paths_and_addresses_name_their_parts(server: Server) -> None:
    address = "https://example.com/inputs/photo.png"
    jobs = [
        {"prompt_path": "../a/prompt.txt", "inference_type": "image2world", "input_path": address, **TINY},
        {"prompt_path": "../b/prompt.txt", "negative_prompt_file": "n.txt", "inference_type": "text2world", **TINY},
    ]
    files = {"../a/prompt.txt": b"a robot", "../b/prompt.txt": b"two robots", "n.txt": b"dark", address: png()}
    answers = send(server, jobs, files).json()
    assert all("video" in answer for answer in answers), answers


def test_a_file_that_nothing_mentions_is_refused(server: Server) -> None:
    response = send(server, [{"prompt": "a robot", **TINY}], {"photo.png": png()})
    assert response.status_code == 400
    assert "photo.png" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("content", "says"), [([], "no jobs"), ({"samples": []}, "samples"), ([1, {"samples": {"a": 1}}], "samples.a")]
)
def test_what_means_no_job(server: Server, content: Any, says: str) -> None:
    answer = server.client.post("/invocations", json=content).text
    assert says in answer
    assert "video" not in json.loads(answer)


def test_only_invocations_takes_several(server: Server) -> None:
    response = server.client.post("/v1/videos", json=[{"prompt": "a robot", **TINY}])
    assert response.status_code == 400
    assert "/invocations" in response.json()["error"]["message"]


def test_a_caller_who_hangs_up_cancels_the_rest(server: Server) -> None:
    mark = len(server.log)
    long = {"prompt": "a robot", "resolution": "128,192", "num_output_frames": 17, "num_steps": 150}
    kinds = {"Accept": "application/jsonlines", "X-Amzn-SageMaker-Forwarded-Api": "InvokeEndpointWithResponseStream"}
    jobs = [{"prompt": "a robot", **TINY}, *[long] * 4]
    with server.client.stream("POST", "/invocations", json=jobs, headers=kinds) as response:
        assert next(line for line in response.iter_lines() if line)  # an empty one says that it is at work
    again = server.client.post("/invocations", json={"prompt": "a robot", **TINY})
    assert again.status_code == 200
    assert server.log.count("accepted for", mark) <= 5
    assert server.log.count(" completed:", mark) == 2
