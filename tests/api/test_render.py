"""What every answer carries, and that it fits where SageMaker puts it."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cosmos_handler.api.render import as_json, headers
from cosmos_handler.engine.job import Job
from cosmos_handler.messages.results import Report, VideoOutput
from cosmos_handler.messages.wire import Done
from tests.fakes import REPORT, done, job, video_task


def video_job(name: str | None) -> Job:
    return Job("job-1", model="predict", task=video_task(), folder=Path("/nowhere"), echo={"name": name})


def video_done(report: Report, path: str = "/nowhere/video.mp4") -> Done:
    output = VideoOutput(
        path=path, media_type="video/mp4", num_frames=7, num_frames_generated=9, height=64, width=96, fps=16.0
    )
    return Done(job_id="job-1", output=output, report=report)


@given(st.text(max_size=64), st.text(max_size=85), st.floats(0, 1e9))
def test_the_header_is_ascii_json_of_at_most_2048_bytes(name: str, model: str, seconds: float) -> None:
    stages = {"encode_text": seconds, "denoise": seconds, "decode": seconds, "encode_video": seconds}
    report = REPORT.model_copy(update={"model": model, "stage_seconds": stages, "peak_device_bytes": 2**47})
    shown = headers(video_job(name), video_done(report))["X-Cosmos-Result"]
    assert len(shown.encode("ascii")) <= 2048
    assert json.loads(shown)["model"] == model
    assert (json.loads(shown)["num_output_frames"], json.loads(shown)["num_frames_generated"]) == (7, 9)


def test_a_file_is_base64_in_json(tmp_path: Path) -> None:
    (tmp_path / "video.mp4").write_bytes(b"\x00\x01")
    shown = as_json(video_job("mine"), video_done(REPORT, str(tmp_path / "video.mp4")))
    assert (shown["video"], shown["media_type"], shown["name"]) == ("AAE=", "video/mp4", "mine")


def test_text_has_its_counts() -> None:
    shown = as_json(job(), done(text="so"))
    assert (shown["text"], shown["finish_reason"], shown["usage"]["total_tokens"]) == ("so", "stop", 3)
    assert "name" not in shown
