"""One job as a state machine: terminal is terminal, and whoever waits is registered before anything is sent."""

import asyncio
import enum
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from secrets import token_hex
from typing import Any, Literal

from cosmos_handler.engine.pace import Pace, main_stages
from cosmos_handler.errors import CosmosError, JobCancelled
from cosmos_handler.media.storing import Order, Stored
from cosmos_handler.messages.tasks import Task
from cosmos_handler.messages.wire import Done, Progress, Run, Token


class State(enum.Enum):
    """Where a job stands; the last three are terminal."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing can follow."""
        return self in (State.COMPLETED, State.FAILED, State.CANCELLED)


Event = Progress | Token
# What has to be within the time that requests have: the whole of a job; its own time, where the answer is still there
# for a caller who comes again; nothing, where nobody waits.
Window = Literal["whole", "own", "none"]


def new_job_id() -> str:
    """Sortable by time, unguessable in its second half."""
    return f"job-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{token_hex(6)}"


class Job:
    """One accepted piece of work. Its setters return whether they had an effect: after the end none has.

    echo: the client's own `name` and `extra`, handed back with every answer.
    predicted: stage → seconds, in their order; empty where nothing was known when it was taken. Where it is made with
        others, those of the stage that they share are for all of them.
    order: where its result is to be stored before it is complete. stored: what lies there then.
    window: what has to be within the time that requests have.
    """

    def __init__(
        self,
        job_id: str,
        *,
        model: str,
        task: Task,
        folder: Path,
        echo: Mapping[str, Any] | None = None,
        predicted: Mapping[str, float] | None = None,
        order: Order | None = None,
        window: Window = "none",
    ) -> None:
        self.id = job_id
        self.model = model
        self.task = task
        self.folder = folder
        self.echo = echo or {}
        self.predicted = predicted or {}
        self.order = order
        self.window: Window = window
        self.stored: Stored | None = None
        self.state = State.QUEUED
        self.cancel_requested = False
        self.created_at = time.time()
        self.started_at: float | None = None
        self.ended_at: float | None = None
        self.progress: Progress | None = None
        self.pace = Pace(main=main_stages(task))
        self.made: Done | None = None  # by the model process, which is free for the next job then
        self._released = asyncio.Event()
        self._done: Done | None = None
        self._error: CosmosError | None = None
        self._ended = asyncio.Event()
        self._listeners: list[asyncio.Queue[Event | None]] = []

    def message(self) -> Run:
        """What the model process is told."""
        return Run(job_id=self.id, model=self.model, task=self.task, folder=str(self.folder))

    def start(self) -> bool:
        """A model process takes it."""
        if self.state is not State.QUEUED:
            return False
        self.state = State.RUNNING
        self.started_at = time.time()
        return True

    def report(self, event: Event) -> bool:
        """A step or a token came."""
        if self.state is not State.RUNNING:
            return False
        if isinstance(event, Progress):
            self.progress = event
            self.pace.note(event)
        for listener in self._listeners:
            listener.put_nowait(event)
        return True

    def hand_over(self, done: Done) -> bool:
        """The model process has done its part: the job is complete, or runs on until its result is stored."""
        if self.state.is_terminal:
            return False
        self.made = done
        self._released.set()
        return True if self.order is not None else self.complete(done)

    def complete(self, done: Done, *, stored: Stored | None = None) -> bool:
        """The result is there, in S3 too where it was to be stored."""
        if not self.state.is_terminal:
            self._done, self.stored = done, stored
        return self._end(State.COMPLETED)

    def fail(self, error: CosmosError) -> bool:
        """It cannot be done."""
        self._error = error if not self.state.is_terminal else self._error
        return self._end(State.FAILED)

    def cancel(self) -> bool:
        """It has stopped because somebody wanted that."""
        if not self.state.is_terminal:
            self._error = JobCancelled(f"job {self.id} was cancelled")
        return self._end(State.CANCELLED)

    def _end(self, state: State) -> bool:
        if self.state.is_terminal:
            return False
        self.state = state
        self.ended_at = time.time()
        self._ended.set()
        self._released.set()
        for listener in self._listeners:
            listener.put_nowait(None)
        return True

    @property
    def error(self) -> CosmosError | None:
        """What it failed with, or that it was cancelled."""
        return self._error

    @property
    def done(self) -> Done | None:
        """Its result, when it is complete."""
        return self._done

    @property
    def seconds_running(self) -> float:
        """Since a model process took it."""
        return 0.0 if self.started_at is None else time.time() - self.started_at

    async def released(self) -> None:
        """Wait until no model process has to do with it any more."""
        await self._released.wait()

    async def ended(self) -> None:
        """Wait for a terminal state, whichever it is."""
        await self._ended.wait()

    async def result(self) -> Done:
        """Wait for the end; raises what the job failed with."""
        await self._ended.wait()
        if self._error is not None:
            raise self._error
        if self._done is None:
            raise AssertionError(f"job {self.id} ended as {self.state} without a result: this is a bug")
        return self._done

    def listen(self) -> "Listener":
        """Steps and tokens from this moment on; called before anything is awaited, it misses none."""
        listener = Listener(self)
        if self.state.is_terminal:
            listener.queue.put_nowait(None)
        else:
            self._listeners.append(listener.queue)
        return listener

    def stop_listening(self, listener: "Listener") -> None:
        """The listener is no longer read."""
        if listener.queue in self._listeners:
            self._listeners.remove(listener.queue)


class Listener:
    """A reader of one job's steps and tokens."""

    def __init__(self, job: Job) -> None:
        self.queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._job = job

    async def events(self, *, heartbeat_seconds: float) -> AsyncIterator[Event | None]:
        """Every event until the end of the job, and None whenever nothing has come for that long."""
        try:
            while True:
                try:
                    async with asyncio.timeout(heartbeat_seconds):
                        event = await self.queue.get()
                except TimeoutError:
                    yield None
                    continue
                if event is None:
                    return
                yield event
        finally:
            self._job.stop_listening(self)
