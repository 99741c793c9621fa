"""How long a job sent now would wait: what runs and what waits before it, over the model processes."""

import heapq
import itertools
from collections.abc import Iterable, Sequence

from cosmos_handler.engine.group import Group
from cosmos_handler.engine.job import Job


def waiting_seconds(groups: Sequence[Group], queued: Iterable[Job]) -> float:
    """Until a model process is free for one more job, as far as that is known.

    A job of which nothing was predicted counts for nothing: it was taken before the machine was known. So does a
    process that is being started again, where no other is up.
    """
    up = [group for group in groups if group.ready]
    if not up:
        return 0.0
    free_at = [seconds_left(group.job) if group.job is not None else 0.0 for group in up]
    heapq.heapify(free_at)
    for job in queued:
        heapq.heapreplace(free_at, free_at[0] + seconds_left(job))
    return free_at[0]


def seconds_left(job: Job) -> float:
    """What is left of a job: of the present stage at its own pace where that is known, of the rest as predicted."""
    if job.cancel_requested or job.made is not None or job.state.is_terminal:
        return 0.0
    predicted = job.predicted
    if job.progress is None or job.progress.stage not in predicted:
        return max(0.0, sum(predicted.values()) - job.seconds_running)
    present = job.progress.stage
    at_this_pace = job.pace.seconds_left
    if at_this_pace is None:
        at_this_pace = max(0.0, predicted[present] - job.pace.seconds_in_stage)
    later = list(itertools.dropwhile(lambda name: name != present, predicted))[1:]
    left = at_this_pace + sum(predicted[name] for name in later)
    for name, share in job.pace.shares.items():
        if name != present and name not in later and 0 < share < 1:  # between two chunks
            left += predicted.get(name, 0.0) * float(1 - share)
    return left
