"""From a finished job to a body: raw file, JSON, or the last event of a stream."""

import base64
import json
from pathlib import Path
from typing import Any

from cosmos_handler.engine.job import Job
from cosmos_handler.media.storing import Stored
from cosmos_handler.messages.machine import StageReport
from cosmos_handler.messages.results import ImageOutput, TextOutput, VideoOutput
from cosmos_handler.messages.wire import Done

# SageMaker's asynchronous endpoints fail when all headers together pass 4,096 bytes.
_MAX_RESULT_HEADER_BYTES = 2048


def facts(job: Job, done: Done) -> dict[str, Any]:
    """What every answer carries, whatever its form."""
    report = done.report
    carried: dict[str, Any] = {
        "job_id": job.id,
        "model": report.model,
        "revision": report.revision,
        "seed": report.seed,
        "plan": report.plan,
        "offload": report.offload,
        "decode": report.decode,
        "stage_seconds": {stage: round(seconds, 4) for stage, seconds in report.stage_seconds.items()},
        "device": report.device,
        "peak_device_bytes": report.peak_device_bytes,
        "predicted_peak_bytes": report.predicted_peak_bytes,
        "predicted_seconds": _rounded(report.predicted_seconds),
        "batch_size": report.batch_size,
        "guardrails": [verdict.told() for verdict in report.guardrails],
    }
    if report.retried:
        carried["retried"] = True
    if report.guidance_usual is not None:
        carried["guidance_usual"] = report.guidance_usual
    if report.upsampled_prompt is not None:
        carried["upsampled_prompt"] = report.upsampled_prompt
    carried |= job.echo
    carried |= _stored(job.stored)
    if isinstance(done.output, VideoOutput):
        video = done.output
        carried |= {
            "num_output_frames": video.num_frames,
            "num_frames_generated": video.num_frames_generated,
            "height": video.height,
            "width": video.width,
            "fps": video.fps,
        }
    elif isinstance(done.output, ImageOutput):
        carried |= {"height": done.output.height, "width": done.output.width}
    carried["stages"] = [_told(stage) for stage in report.stages]
    return carried


def _stored(stored: Stored | None) -> dict[str, Any]:
    """Where the result lies, and the link to it that was asked for."""
    if stored is None:
        return {}
    told = {"s3_uri": stored.s3_uri, "size_bytes": stored.size_bytes, "sha256": stored.sha256}
    if stored.url is None:
        return told
    return told | {"url": stored.url, "url_expires_seconds": stored.url_expires_seconds}


def _told(stage: StageReport) -> dict[str, Any]:
    return {
        "stage": stage.stage,
        "predicted_peak_bytes": stage.predicted_peak_bytes,
        "measured_peak_bytes": stage.measured_peak_bytes,
        "predicted_seconds": _rounded(stage.predicted_seconds),
        "copy_seconds": _rounded(stage.copy_seconds),
        "seconds": _rounded(stage.seconds),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def headers(job: Job, done: Done) -> dict[str, str]:
    """The same for a binary answer: the job id, and the facts as one line of JSON, with stages as rows of values."""
    carried = facts(job, done)
    carried["stages"] = [list(stage.values()) for stage in carried["stages"]]
    result = _line(carried)
    # First goes what the file has as metadata, then what the caller knows already, then a long prompt and other
    # things that the file has too.
    # A link is longer than everything else, and who reads this has the file.
    parts = ({"stages"}, job.echo.keys(), {"url", "url_expires_seconds"}, {"upsampled_prompt"}, {"plan"})
    for dispensable in (*parts, {"stage_seconds"}, {"s3_uri"}):
        if len(result) > _MAX_RESULT_HEADER_BYTES:
            carried = {key: value for key, value in carried.items() if key not in dispensable}
            result = _line(carried)
    return {"X-Cosmos-Job-Id": job.id, "X-Cosmos-Result": result}


def _line(carried: dict[str, Any]) -> str:
    return json.dumps(carried, separators=(",", ":"))  # ASCII only, as headers must be


def as_json(job: Job, done: Done) -> dict[str, Any]:
    """The whole answer as one JSON object; reads the file, so call it off the event loop."""
    if isinstance(done.output, VideoOutput):
        video = done.output
        return {**facts(job, done), "media_type": video.media_type, **_content(job, "video", video)}
    if isinstance(done.output, ImageOutput):
        image = done.output
        return {**facts(job, done), "media_type": image.media_type, **_content(job, "image", image)}
    text = done.output
    return {
        **facts(job, done),
        "text": text.text,
        "reasoning": text.reasoning,
        "finish_reason": text.finish_reason,
        "usage": usage(text),
        **found(text),
    }


def found(text: TextOutput) -> dict[str, Any]:
    """Boxes or points, where they were asked for: as the model gave them, and in pixels of the medium."""
    if text.found is None:
        return {}
    entries = [{"label": each.label, "position": each.position, "pixels": each.pixels} for each in text.found]
    return {"found": entries}


def usage(text: TextOutput) -> dict[str, int]:
    """Token counts under OpenAI's names."""
    return {
        "prompt_tokens": text.prompt_tokens,
        "completion_tokens": text.completion_tokens,
        "total_tokens": text.prompt_tokens + text.completion_tokens,
    }


def _content(job: Job, name: str, output: VideoOutput | ImageOutput) -> dict[str, str]:
    """The file itself, unless it can be had from S3."""
    return {} if job.stored is not None else {name: base64_of(output)}


def base64_of(output: VideoOutput | ImageOutput) -> str:
    """The file, as JSON can carry it."""
    return base64.b64encode(Path(output.path).read_bytes()).decode("ascii")
