"""What a family made, as the output that is answered with: words, or a file in the job's folder."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosmos_handler.families.base import Context, Frames, Words
from cosmos_handler.media.npz import write_npz
from cosmos_handler.media.picture import write_png
from cosmos_handler.media.video import write_mp4
from cosmos_handler.messages.results import ImageOutput, Output, Report, TextOutput, VideoOutput
from cosmos_handler.messages.tasks import MEDIA_TYPES, Encoding, Generation
from cosmos_handler.messages.wire import Run

_FILE_NAMES: Mapping[Encoding, str] = {"mp4": "video.mp4", "png": "image.png", "npz": "frames.npz"}


def words_output(words: Words) -> Output:
    """An answer in words."""
    return TextOutput(
        text=words.text,
        reasoning=words.reasoning,
        finish_reason=words.finish_reason,
        prompt_tokens=words.prompt_tokens,
        completion_tokens=words.completion_tokens,
        found=words.found,
    )


def file_output(
    message: Run, task: Generation, made: Frames, frames: NDArray[np.uint8], context: Context, report: Report
) -> Output:
    """Frames as the file that the task asks for, with the report in it. frames: those that the guardrails let out."""
    comment = json.dumps({"job_id": message.job_id, **report.model_dump(mode="json")})
    path, media_type = Path(message.folder) / _FILE_NAMES[task.encoding], MEDIA_TYPES[task.encoding]
    if task.encoding == "npz":
        with context.stage("write_frames"):
            write_npz(path, {"frames": frames})
    elif task.encoding == "png":
        with context.stage("encode_image"):
            write_png(path, frames[0], metadata={"comment": comment})
    else:
        with context.stage("encode_video"):
            write_mp4(path, frames, fps=made.fps, metadata={"comment": comment})
    if task.makes_picture:
        return ImageOutput(path=str(path), media_type=media_type, height=frames.shape[1], width=frames.shape[2])
    return VideoOutput(
        path=str(path),
        media_type=media_type,
        num_frames=len(frames),
        num_frames_generated=len(made.frames),
        height=frames.shape[1],
        width=frames.shape[2],
        fps=made.fps,
    )
