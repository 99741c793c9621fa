"""Which waiting jobs a model process is given together, to be made in one batch."""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cosmos_handler.engine.backlog import Backlog
from cosmos_handler.engine.job import Job
from cosmos_handler.memory.autoregressive import SHARED_STAGE
from cosmos_handler.memory.plan import NothingFits, Plan
from cosmos_handler.memory.planning import House, plan_together
from cosmos_handler.messages.tasks import Continue, Generation, Task

# What the videos of a batch may take of the host's memory, all of which grow together: what the longest takes alone.
_MOST_VIDEO_BYTES = 4 * 2**30
# What of a task neither its plan's stages nor the number of its steps depend on; in all else, tasks that are made
# together are equal. The longest prompt is reckoned with for all.
_OWN = (
    "prompt", "negative_prompt", "seed", "temperature", "top_p", "media", "inference_type", "fps", "encoding",
)  # fmt: skip


@dataclass(frozen=True)
class Gathering:
    """How jobs are brought together.

    max_batch_size: most that are; 1: every job is made by itself. window_seconds: until an answer must be there, for
    those jobs of which that is asked; None: any time.
    """

    max_batch_size: int = 1
    window_seconds: float | None = None

    async def take(self, backlog: Backlog, house: House | None, *, num_idle: int = 1) -> tuple[Job, ...]:
        """Take the job that is next, with as many of those behind it as are best made with it.

        None are taken before their plans are made, and of those that are gone by then, none at all. house: None where
        nothing is known of the machine. num_idle: how many processes wait for work, among which a line is shared out.
        """
        if house is None or self.max_batch_size == 1:
            return _one_of(backlog)
        num_idle = max(num_idle, 1)
        alike = backlog.first_alike(goes_with, most=self.max_batch_size * num_idle)
        most = math.ceil(len(alike) / num_idle)
        if most < 2:
            return _one_of(backlog)
        plans = await asyncio.to_thread(self._plans, alike[:most], house)
        size = min(plans, key=lambda size: plans[size].seconds / size, default=1)
        jobs = backlog.take_first_of(alike[:size])
        if len(jobs) > 1:
            predicted = _for_each(plans[len(jobs)], len(jobs))  # fewer where some have left meanwhile
            for job in jobs:
                job.predicted = predicted
        return jobs

    def _plans(self, jobs: Sequence[Job], house: House) -> Mapping[int, Plan]:
        """The plan for the first so many of them together, for each number that the machine has room and time for."""
        plans: dict[int, Plan] = {}
        for size in range(1, len(jobs) + 1):
            try:
                plan = plan_together([job.task for job in jobs[:size]], jobs[0].model, house)
            except NothingFits:
                break
            if size > 1 and size * _video_bytes(jobs[0].task) > _MOST_VIDEO_BYTES:
                break
            if size > 1 and plan.seconds > min(self._seconds_left(job) for job in jobs[:size]):
                break
            plans[size] = plan
        return plans

    def _seconds_left(self, job: Job) -> float:
        """Of the time in which its answer must be there; what it was accepted for holds in a batch too."""
        if self.window_seconds is None or job.window == "none":
            return math.inf
        return self.window_seconds - (time.time() - job.created_at if job.window == "whole" else 0.0)


def goes_with(first: Job, other: Job) -> bool:
    """Whether two jobs can be made in one batch."""
    if first.model != other.model or not isinstance(first.task, Continue) or not isinstance(other.task, Continue):
        return False
    return other.task.model_copy(update={name: getattr(first.task, name) for name in _OWN}) == first.task


def _one_of(backlog: Backlog) -> tuple[Job, ...]:
    job = backlog.take()
    return () if job is None else (job,)


def _video_bytes(task: Task) -> int:
    """Of the frames of a task, uint8 RGB."""
    return task.num_output_frames * task.height * task.width * 3 if isinstance(task, Generation) else 0


def _for_each(plan: Plan, batch_size: int) -> Mapping[str, float]:
    """The seconds of each stage as they are predicted of one job of the batch: of the shared stage, all of them."""
    return {
        stage: seconds if stage == SHARED_STAGE else seconds / batch_size
        for stage, seconds in plan.stage_seconds.items()
    }
