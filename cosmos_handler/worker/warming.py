"""The first run of every model, made before anybody asks: libraries load their kernels in it, and faults show."""

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.errors import WorkerFailed
from cosmos_handler.media.clip import MediaFile
from cosmos_handler.memory.usual import smallest_task
from cosmos_handler.messages.tasks import Answer, Continue, Task, Transfer
from cosmos_handler.messages.wire import Failed, Run

log = logging.getLogger(__name__)

_PROMPT = "A red cube lies on a table."

# Runs a task; the function hears what the run says.
Runner = Callable[[Run, Callable[[BaseModel], None]], None]


def warm_up(checkpoint: Checkpoint, run: Runner, work_dir: str) -> None:
    """Run the least that can be asked of a model. work_dir: where its files lie meanwhile.

    Raises WorkerFailed where it comes to nothing.
    """
    heard: list[Failed] = []

    def hear(message: BaseModel) -> None:
        if isinstance(message, Failed):
            heard.append(message)

    with tempfile.TemporaryDirectory(prefix="warm-up-", dir=work_dir) as folder:
        task = _task(checkpoint, Path(folder))
        run(Run(job_id="warm-up", model=checkpoint.name, task=task, folder=folder), hear)
    for failed in heard:
        if failed.reason != "guardrail":
            raise WorkerFailed(f"{checkpoint.name} does not run: {failed.problem}")
        log.info("%s: the guardrail %s stopped the warm-up, as it may", checkpoint.name, failed.check)
    log.info("%s is warm", checkpoint.name)


def _task(checkpoint: Checkpoint, folder: Path) -> Task:
    task = smallest_task(checkpoint)
    if isinstance(task, Answer):
        return task
    if isinstance(task, Continue):  # with a prompt and with steps only where those are anything to it
        image = grey_clip(folder / "input.npy", 1, task.height, task.width, None)
        return task.model_copy(update={"media": image, "prompt": _PROMPT if task.prompt else ""})
    update: dict[str, object] = {"prompt": _PROMPT, "num_steps": 1}
    if isinstance(task, Transfer):
        frames = task.num_frames_per_chunk
        clip = grey_clip(folder / "input.npy", frames, task.height, task.width, task.fps)
        update |= {"video": clip, "control_media": clip, "num_frames": frames, "num_output_frames": frames}
        update |= {"output_height": task.height, "output_width": task.width}
    return task.model_copy(update=update)


def grey_clip(path: Path, frames: int, height: int, width: int, fps: float | None) -> MediaFile:
    """What stands for a decoded input, written to a .npy file; an image where it has no rate."""
    np.save(path, np.full((frames, height, width, 3), 128, np.uint8))
    return MediaFile(
        kind="image" if fps is None else "video",
        path=str(path),
        num_frames=frames,
        height=height,
        width=width,
        source_fps=fps,
        source_num_frames=frames,
        indices=tuple(range(frames)),
    )
