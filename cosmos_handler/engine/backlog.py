"""The bounded waiting line: a permit before any work, then first come, first served."""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Container
from types import TracebackType

from cosmos_handler.engine.job import Job, State
from cosmos_handler.errors import BacklogFull


class Permit:
    """The right to have one job in the house; given back exactly once, however often it is closed."""

    def __init__(self, backlog: "Backlog") -> None:
        self._backlog: Backlog | None = backlog

    def close(self) -> None:
        """Give it back."""
        backlog, self._backlog = self._backlog, None
        if backlog is not None:
            backlog.taken -= 1

    def __enter__(self) -> "Permit":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Backlog:
    """Jobs that wait, and permits for all that wait or run."""

    def __init__(self, max_jobs: int) -> None:
        self.max_jobs = max_jobs
        self.taken = 0
        self._waiting: deque[Job] = deque()
        self._something = asyncio.Event()

    def acquire(self) -> Permit:
        """A permit at once, or BacklogFull."""
        if self.taken >= self.max_jobs:
            raise BacklogFull(f"all {self.max_jobs} places for jobs are taken", retry_after_seconds=10)
        self.taken += 1
        return Permit(self)

    def put(self, job: Job) -> None:
        """Line up."""
        self._waiting.append(job)
        self._something.set()

    def withdraw(self, job: Job) -> bool:
        """Leave the line; False where the job is not in it any more."""
        try:
            self._waiting.remove(job)
        except ValueError:
            return False
        return True

    def position(self, job: Job) -> int | None:
        """1 for the job that is next; None for one that is not in the line."""
        try:
            return self._waiting.index(job) + 1
        except ValueError:
            return None

    @property
    def waiting(self) -> tuple[Job, ...]:
        """Who stands in the line, the next one first."""
        return tuple(self._waiting)

    @property
    def num_waiting(self) -> int:
        """How many stand in the line."""
        return len(self._waiting)

    async def wait(self) -> None:
        """Until there may be something to take. Takes nothing itself, so that giving up waiting loses no job."""
        while not self._waiting:
            self._something.clear()
            await self._something.wait()

    def take(self) -> Job | None:
        """The job that waited longest and still wants to run."""
        while self._waiting:
            job = self._waiting.popleft()
            if job.state is State.QUEUED:
                return job
        return None

    def first_alike(self, goes_with: Callable[[Job, Job], bool], *, most: int) -> tuple[Job, ...]:
        """The job that is next and those right behind it that go with it. Takes nothing, and passes nobody over.

        most: at least 1; whoever stands behind so many is not looked at.
        """
        queued = (job for job in self._waiting if job.state is State.QUEUED)
        first = next(queued, None)
        if first is None:
            return ()
        return first, *itertools.takewhile(lambda job: goes_with(first, job), itertools.islice(queued, most - 1))

    def take_first_of(self, wanted: Container[Job]) -> tuple[Job, ...]:
        """Those jobs at the head of the line that are wanted; what is behind one that is not stays where it is."""
        taken = []
        while self._waiting and (self._waiting[0].state is not State.QUEUED or self._waiting[0] in wanted):
            job = self._waiting.popleft()
            if job.state is State.QUEUED:
                taken.append(job)
        return tuple(taken)

    def drain(self) -> list[Job]:
        """Everything that waits; the line is empty afterwards."""
        jobs = list(self._waiting)
        self._waiting.clear()
        return jobs
