"""How long a job sent now would wait: what runs and what waits before it, over the model processes."""

import heapq
import itertools
from collections.abc import Iterable, Mapping, Sequence

from cosmos_handler.engine.group import Group
from cosmos_handler.engine.job import Job
from cosmos_handler.memory.autoregressive import SHARED_STAGE


def waiting_seconds(groups: Sequence[Group], queued: Iterable[Job]) -> float:
    """Until a model process is free for one more job, as far as that is known.

    A job of which nothing was predicted counts for nothing: it was taken before the machine was known. So does a
    process that is being started again, where no other is up.
    """
    up = [group for group in groups if group.ready]
    if not up:
        return 0.0
    free_at = [seconds_left(*group.jobs.values()) for group in up]
    heapq.heapify(free_at)
    for job in queued:
        heapq.heapreplace(free_at, free_at[0] + seconds_left(job))
    return free_at[0]


def seconds_left(*jobs: Job) -> float:
    """What is left of jobs that are made together, or of one: the stage that they share counts once."""
    left = [_stages_left(job, num_together=len(jobs)) for job in jobs]
    shared = max((stages.pop(SHARED_STAGE, 0.0) for stages in left), default=0.0)
    return shared + sum(sum(stages.values()) for stages in left)


def _stages_left(job: Job, *, num_together: int) -> dict[str, float]:
    """What is left of each stage: of the present one at its own pace where that is known, of the rest as predicted."""
    if job.cancel_requested or job.made is not None or job.state.is_terminal:
        return {}
    predicted = job.predicted
    if job.progress is None or job.progress.stage not in predicted:
        return _after(predicted, job.seconds_running / num_together)
    present = job.progress.stage
    at_this_pace = job.pace.seconds_left
    if at_this_pace is None:
        at_this_pace = max(0.0, predicted[present] - job.pace.seconds_in_stage)
    later = list(itertools.dropwhile(lambda name: name != present, predicted))[1:]
    left = {present: at_this_pace} | {name: predicted[name] for name in later}
    for name, share in job.pace.shares.items():
        if name not in left and 0 < share < 1:  # between two chunks
            left[name] = predicted.get(name, 0.0) * float(1 - share)
    return left


def _after(predicted: Mapping[str, float], seconds: float) -> dict[str, float]:
    """What is left of stages that come one after the other, after some time."""
    left = {}
    for stage, whole in predicted.items():
        left[stage] = max(0.0, whole - seconds)
        seconds = max(0.0, seconds - whole)
    return left
