"""`scripts/invoke.py` against the real server: NVIDIA's files in, results in a folder."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Server, sample
from tests.container.media import clip, frames_of_mp4, png

pytestmark = pytest.mark.model

TINY = ["--set", "num_steps=1", "--set", "num_output_frames=5", "--set", "resolution=64,96"]


def invoke(server: Server, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    url = f"{server.client.base_url}/invocations"
    command = [sys.executable, ROOT / "scripts" / "invoke.py", "--url", url, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd="/")


def test_nvidias_samples_with_their_files(server: Server, tmp_path: Path) -> None:
    for name in ("image2world.json", "robot_welding.txt", "robot_welding.jpg"):
        shutil.copy(sample(f"predict2.5/{name}"), tmp_path)
    ran = invoke(server, tmp_path / "image2world.json", "--out", tmp_path / "out", *TINY)
    # The other sample's files are not there: its job fails and the first one's result stays.
    assert ran.returncode == 1, ran.stderr
    assert "[1/2] robot_welding: denoise" in ran.stderr
    assert "[2/2] bus_terminal: failed: bus_terminal.txt is neither" in ran.stderr
    frames, *_ = frames_of_mp4((tmp_path / "out" / "robot_welding.mp4").read_bytes())
    assert frames.shape == (5, 64, 96, 3)
    told = json.loads((tmp_path / "out" / "robot_welding.json").read_text())
    assert told["name"] == "robot_welding"
    assert "video" not in told
    assert "neither" in json.loads((tmp_path / "out" / "bus_terminal.json").read_text())["error"]


def test_lines_with_questions_videos_and_media_elsewhere(server: Server, tmp_path: Path) -> None:
    (media := tmp_path / "media").mkdir()
    clip(media / "robot.mp4")
    (tmp_path / "photo.png").write_bytes(png())
    jobs = [
        {"model_mode": "reasoner", "prompt": "What moves?", "vision_path": "https://example.com/in/robot.mp4"},
        {"inference_type": "image2world", "prompt": "a robot", "input_path": "photo.png", "name": "a/b"},
        {"inference_type": "text2world", "prompt": "a robot", "name": "a/b", "extra": {"golden_path": "none.mp4"}},
    ]
    for job in jobs:
        small = {"num_steps": 1, "num_output_frames": 5, "resolution": "64,64"}
        job |= {"max_tokens": 3} if job.get("model_mode") else small  # type: ignore[dict-item]
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, jobs)))
    ran = invoke(server, tmp_path / "jobs.jsonl", "--out", tmp_path / "out", "--media", media)
    assert ran.returncode == 0, ran.stderr
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a_b-2.json", "a_b-2.mp4", "a_b.json", "a_b.mp4", "jobs-1.json", "jobs-1.txt"]


def test_the_servers_refusal_is_told(server: Server, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps({"prompt": "a robot", "stepz": 1, "num_steps": 1}))
    ran = invoke(server, tmp_path / "job.json", "--out", tmp_path / "out")
    assert ran.returncode == 1
    assert "400: stepz: is not a field of this request" in ran.stderr


@pytest.mark.parametrize("content", ["{", "3", "[]", '{"samples": 1}', None])
def test_a_file_with_nothing_to_send(server: Server, tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "job.json").write_text(content)
    ran = invoke(server, tmp_path / "job.json", "--out", tmp_path / "out")
    assert ran.returncode == 2
    assert "job.json: " in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_manual() -> None:
    shown = subprocess.run(
        [sys.executable, ROOT / "scripts" / "invoke.py", "--help"], capture_output=True, text=True, check=True
    )
    for word in ("--url", "--media", "--fetch", "--set", "NAME.json"):
        assert word in shown.stdout
