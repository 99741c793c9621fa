"""What every answer carries, and that it fits where SageMaker puts it."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cosmos_handler.api.render import as_json, headers
from cosmos_handler.engine.job import Job
from cosmos_handler.media.storing import Stored
from cosmos_handler.messages.machine import StageReport
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
    update = {"model": model, "stage_seconds": stages, "peak_device_bytes": 2**47, "stages": STAGES, "retried": True}
    update |= {"predicted_peak_bytes": 2**47, "predicted_seconds": seconds, "batch_size": 64}
    report = REPORT.model_copy(update=update)
    shown = headers(video_job(name), video_done(report))["X-Cosmos-Result"]
    assert len(shown.encode("ascii")) <= 2048
    assert json.loads(shown)["model"] == model
    assert (json.loads(shown)["num_output_frames"], json.loads(shown)["num_frames_generated"]) == (7, 9)


STAGES = tuple(
    StageReport(
        stage=stage,
        predicted_peak_bytes=2**34,
        measured_peak_bytes=2**34 - 1,
        predicted_seconds=12.345678,
        copy_seconds=0.0,
        seconds=12.3,
    )
    for stage in ("guard_prompt", "encode_text", "denoise", "decode", "guard_frames")
)


def test_an_answer_says_what_was_planned_and_what_came_of_it(tmp_path: Path) -> None:
    (tmp_path / "video.mp4").write_bytes(b"")
    planned = {
        "stages": STAGES,
        "predicted_peak_bytes": 2**34,
        "predicted_seconds": 60.00004,
        "retried": True,
        "batch_size": 5,
    }
    report = REPORT.model_copy(update=planned | {"decode": "tiled", "offload": "all"})
    shown = as_json(video_job(None), video_done(report, str(tmp_path / "video.mp4")))
    assert (shown["decode"], shown["offload"], shown["retried"]) == ("tiled", "all", True)
    assert (shown["predicted_peak_bytes"], shown["predicted_seconds"]) == (2**34, 60.0)
    assert shown["stages"][2] == {
        "stage": "denoise",
        "predicted_peak_bytes": 2**34,
        "measured_peak_bytes": 2**34 - 1,
        "predicted_seconds": 12.3457,
        "copy_seconds": 0.0,
        "seconds": 12.3,
    }
    assert shown["batch_size"] == 5
    plain = as_json(job(), done())
    assert plain["batch_size"] == 1
    assert "retried" not in plain
    assert (plain["decode"], plain["stages"], plain["predicted_seconds"]) == ("exact", [], None)


def test_the_header_has_the_stages_as_rows_and_drops_them_first() -> None:
    report = REPORT.model_copy(update={"stages": STAGES})
    shown = json.loads(headers(video_job("mine"), video_done(report))["X-Cosmos-Result"])
    assert shown["stages"][2] == ["denoise", 2**34, 2**34 - 1, 12.3457, 0.0, 12.3]
    crowded = REPORT.model_copy(update={"stages": STAGES * 6})
    shown = json.loads(headers(video_job("mine"), video_done(crowded))["X-Cosmos-Result"])
    assert "stages" not in shown
    assert (shown["name"], shown["plan"]) == ("mine", {"transformer": "resident"})


def test_a_file_is_base64_in_json(tmp_path: Path) -> None:
    (tmp_path / "video.mp4").write_bytes(b"\x00\x01")
    shown = as_json(video_job("mine"), video_done(REPORT, str(tmp_path / "video.mp4")))
    assert (shown["video"], shown["media_type"], shown["name"]) == ("AAE=", "video/mp4", "mine")


def test_text_has_its_counts() -> None:
    shown = as_json(job(), done(text="so"))
    assert (shown["text"], shown["finish_reason"], shown["usage"]["total_tokens"]) == ("so", "stop", 3)
    assert "name" not in shown


def test_the_header_drops_a_link_and_keeps_the_place_while_it_fits() -> None:
    each = video_job("mine")
    each.stored = Stored("s3://results/a.mp4", 9, "0a" * 32, f"https://results/a.mp4?{'x' * 1900}", 60)
    shown = json.loads(headers(each, video_done(REPORT))["X-Cosmos-Result"])
    assert (shown["s3_uri"], shown["size_bytes"], "url" in shown) == ("s3://results/a.mp4", 9, False)
    assert as_json(each, video_done(REPORT))["url"].endswith("x")  # without reading the file, which is nowhere
    each.stored = Stored(f"s3://results/{'é' * 500}.mp4", 9, "0a" * 32)
    line = headers(each, video_done(REPORT))["X-Cosmos-Result"]
    assert len(line) <= 2048
    assert "s3_uri" not in json.loads(line)
