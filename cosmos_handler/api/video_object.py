"""OpenAI's video object, with what it does not know added: stage, step, place in the line, seconds left."""

from typing import Any

from cosmos_handler.api.errors import body_of
from cosmos_handler.api.render import facts
from cosmos_handler.engine.job import State
from cosmos_handler.engine.jobstore import KeptJob
from cosmos_handler.messages.tasks import Generation

# "cancelled" is our own: OpenAI's jobs cannot end that way.
_STATUS = {State.RUNNING: "in_progress"}


def video_object(kept: KeptJob, *, queue_position: int | None) -> dict[str, Any]:
    """One job as it stands."""
    job = kept.job
    progress = job.progress
    running = job.state is State.RUNNING
    seconds_left = job.pace.seconds_left if running else None
    return {
        "id": job.id,
        "object": "video",
        "status": _STATUS.get(job.state, job.state.value),
        "progress": 100 if job.state is State.COMPLETED else job.pace.percent,
        "stage": progress.stage if running and progress else None,
        "step": progress.step if running and progress else None,
        "num_steps": progress.num_steps if running and progress else None,
        "queue_position": queue_position,
        "seconds_left": None if seconds_left is None else round(seconds_left, 1),
        "model": job.model,
        **_request(job.task),
        **job.echo,
        "created_at": int(job.created_at),
        "started_at": _whole(job.started_at),
        "completed_at": _whole(job.ended_at) if job.state is State.COMPLETED else None,
        "ended_at": _whole(job.ended_at),
        "expires_at": _whole(kept.expires_at),
        "error": _error(kept),
        "cosmos": facts(job, job.done) if job.done else None,
    }


def _request(task: Any) -> dict[str, Any]:
    if not isinstance(task, Generation):
        raise TypeError(f"a job of the store is not for pictures but {type(task).__name__}: this is a bug")
    seconds = round(task.num_output_frames / task.fps, 3)
    return {"prompt": task.prompt, "size": f"{task.width}x{task.height}", "seconds": f"{seconds:g}"}


def _error(kept: KeptJob) -> dict[str, Any] | None:
    error = kept.job.error
    if error is None or kept.job.state is State.CANCELLED:
        return None
    told: dict[str, Any] = body_of(error, job_id=kept.job.id)["error"]
    return {"code": told.pop("type"), **told}


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)
