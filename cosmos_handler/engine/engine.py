"""The engine: everything that the faces may call, and nothing of HTTP."""

import asyncio
import contextlib
import logging
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from tempfile import mkdtemp

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.discover import discover
from cosmos_handler.artifacts.guardrail import find_guardrails
from cosmos_handler.artifacts.locate import locate
from cosmos_handler.engine.backlog import Backlog, Permit
from cosmos_handler.engine.delivery import Deliveries, order_for
from cosmos_handler.engine.foresight import Foresight
from cosmos_handler.engine.inbox import Inbox, taken_in
from cosmos_handler.engine.job import Job, Window, new_job_id
from cosmos_handler.engine.metrics import Metrics
from cosmos_handler.engine.options import EngineOptions
from cosmos_handler.engine.pool import Pool
from cosmos_handler.engine.tasks import build_task
from cosmos_handler.errors import (
    JobFailed,
    NotLoaded,
    NotLocated,
    OverWindow,
    SetupError,
    Stopping,
    WaitOverWindow,
    WillNotFit,
    WorkerFailed,
)
from cosmos_handler.memory.plan import Plan
from cosmos_handler.memory.usual import usual_task
from cosmos_handler.messages.tasks import Encoding, Task
from cosmos_handler.schemas.invocation import Invocation
from cosmos_handler.schemas.served import Served

log = logging.getLogger(__name__)

_MAX_DECODERS = 2


class Engine:
    """Jobs in, results out. One for the life of the server."""

    def __init__(
        self,
        options: EngineOptions,
        *,
        backlog: Backlog,
        pool: Pool,
        on_failure: Callable[[], None],
        metrics: Metrics | None = None,
    ) -> None:
        self._options = options
        self._backlog = backlog
        self._pool = pool
        self._on_failure = on_failure
        self._decoders = asyncio.Semaphore(_MAX_DECODERS)
        self._deliveries = Deliveries(options.storing)
        self._life: asyncio.Task[None] | None = None
        self._kept: set[asyncio.Task[None]] = set()
        self._checkpoints: tuple[Checkpoint, ...] | None = None
        self._foresight: Foresight | None = None
        self._stopping = False
        self.failure: SetupError | None = None
        self.metrics = metrics or Metrics()
        self.metrics.watch(running=lambda: pool.num_running, waiting=lambda: backlog.num_waiting)

    @property
    def is_ready(self) -> bool:
        """Whether weights are loaded and a job sent now would run."""
        return self._pool.is_ready and not self._stopping

    @property
    def is_fetching(self) -> bool:
        """Whether the models are not found yet."""
        return self._checkpoints is None and self.failure is None

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """The models of this server. Raises NotLocated while they are being fetched."""
        if self._checkpoints is None:
            raise NotLocated("the model files are still being fetched", retry_after_seconds=10)
        return self._checkpoints

    @property
    def served(self) -> tuple[Served, ...]:
        """The models of this server as requests can name them. Raises NotLocated while they are being fetched."""
        return tuple(Served(each.name, each.aliases, each.family, each.tasks) for each in self.checkpoints)

    def start(self) -> None:
        """Begin to find and load the models; returns at once."""
        self._life = asyncio.create_task(self._live())
        self._life.add_done_callback(self._life_ended)

    def stop_accepting(self) -> None:
        """Refuse new jobs and turn those away that have not begun; the running ones go on."""
        self._stopping = True
        for job in self._backlog.drain():
            job.fail(Stopping("the server is shutting down", retry_after_seconds=30))

    def stop_running(self) -> None:
        """Give the running jobs up."""
        self._deliveries.give_up()
        self._keep(self._pool.shut_down())

    async def close(self) -> None:
        """End everything that still runs."""
        self.stop_accepting()
        self._deliveries.give_up()
        await self._pool.shut_down()
        if self._life is not None:
            self._life.cancel()
            await asyncio.wait({self._life})
        if self._kept:
            await asyncio.wait(self._kept)

    @contextlib.asynccontextmanager
    async def submit(
        self,
        invocation: Invocation,
        encoding: Encoding,
        *,
        window: Window = "whole",
        results_uri: str | None = None,
    ) -> AsyncIterator[Job]:
        """A job for a request; leaving the block before it has ended cancels it.

        window: what has to be within the time that requests have.
        results_uri: the prefix in S3 for a result that neither the request nor the deployer names a place for.
        Raises RequestError and WillNotFit before any weight moves, and Unavailable when there is no place, or no time.
        """
        self._refuse_when_stopping()
        checkpoint = self._checkpoint(invocation.model.name)
        permit = self._backlog.acquire()
        left = asyncio.Event()
        folder: Path | None = None
        job_id = new_job_id()
        try:
            order = order_for(invocation, encoding, job_id, self._options.storing, results_uri=results_uri)
            folder = self._new_folder(job_id)
            task = await self._task(invocation, checkpoint, folder, encoding)
            foresight = self._foresight
            plan = await foresight.refuse_impossible(task, checkpoint.name, window=window) if foresight else None
            if order is not None:
                await self._options.storing.try_out(order)
            self._refuse_when_stopping()  # once more: the line was emptied at the signal, and decoding takes its time
            if foresight is not None and plan is not None and window == "whole":
                foresight.refuse_late(plan, self._backlog.waiting)
        except BaseException as error:
            permit.close()
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, JobFailed):
                _name(error, job_id)
            if isinstance(error, WillNotFit | OverWindow | WaitOverWindow):
                self.metrics.refused(checkpoint.name, error)
            raise
        job = Job(
            job_id, model=checkpoint.name, task=task, folder=folder, echo=invocation.echo, order=order, window=window,
            predicted=None if plan is None else plan.stage_seconds,
        )  # fmt: skip
        if order is not None:
            self._keep(self._deliveries.deliver(job, order))
        self._keep(self._retire(job, permit, left))
        self._backlog.put(job)
        log.info("job %s accepted for %s: %s", job.id, checkpoint.name, task.kind)
        del invocation  # its media are in the folder now, and a kept job stays in this block for a day
        try:
            yield job
        finally:
            left.set()
            if not job.state.is_terminal:
                # On its own, because the one who leaves may be in the middle of being cancelled himself.
                self._keep(self._pool.cancel(job))

    async def plan(self, invocation: Invocation, encoding: Encoding) -> Plan:
        """How a request would be done here, and what it would take; nothing of it is run.

        Raises as submit does where the request would be refused at any time, and NotLoaded while nothing can be said.
        """
        self._refuse_when_stopping()
        checkpoint = self._checkpoint(invocation.model.name)
        foresight = self._known()
        job_id = new_job_id()
        order_for(invocation, encoding, job_id, self._options.storing)
        folder = self._new_folder(job_id)
        try:
            task = await self._task(invocation, checkpoint, folder, encoding)
        except JobFailed as error:
            _name(error, job_id)
            raise
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return await foresight.plan(task, checkpoint.name)

    async def usual_plan(self, model: str) -> Plan:
        """The same for a model's usual request, by the model's own name."""
        self._refuse_when_stopping()
        checkpoint = self._checkpoint(model)
        return await self._known().plan(usual_task(checkpoint), checkpoint.name)

    async def cancel(self, job: Job) -> None:
        """Stop a job: at once when it waits, at its next step when it runs. Harmless when it has ended."""
        await self._pool.cancel(job)

    @property
    def max_running(self) -> int:
        """How many jobs can run at the same time."""
        return min(self._pool.max_running(self._checkpoints or ()), self._backlog.max_jobs)

    def refuse_when_full(self) -> None:
        """Raise Unavailable where a job sent now would find no place."""
        self._refuse_when_stopping()
        self._backlog.acquire().close()

    def queue_position(self, job: Job) -> int | None:
        """1 for the job that is next; None for one that does not wait."""
        return self._backlog.position(job)

    def _checkpoint(self, name: str) -> Checkpoint:
        return next(each for each in self.checkpoints if each.name == name)

    def _known(self) -> Foresight:
        if self._foresight is None:
            raise NotLoaded("the models are still being loaded", retry_after_seconds=10)
        return self._foresight

    def _new_folder(self, job_id: str) -> Path:
        return Path(mkdtemp(prefix=f"{job_id}-{self._options.owner}-", dir=self._options.work_dir))

    async def _task(self, invocation: Invocation, checkpoint: Checkpoint, folder: Path, encoding: Encoding) -> Task:
        options = self._options
        async with taken_in(invocation.uploads, folder) as uploads:
            inbox = Inbox(folder, uploads, options.media_limits, self._decoders, options.fetching)
            return await build_task(invocation, checkpoint, self.checkpoints, inbox, encoding)

    def _refuse_when_stopping(self) -> None:
        if self._stopping:
            raise Stopping("the server is shutting down", retry_after_seconds=30)

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)

    async def _live(self) -> None:
        located = await asyncio.to_thread(locate, self._options.source)
        self._checkpoints = await asyncio.to_thread(
            discover,
            located.folder,
            revision=located.revision,
            name=located.name,
            aliases=located.aliases,
            elsewhere=self._options.elsewhere,
        )
        for checkpoint in self._checkpoints:
            gib = sum(part.size_bytes for part in checkpoint.parts) / 2**30
            log.info("found %s (%s, %.2f GiB) in %s", checkpoint.name, checkpoint.family, gib, checkpoint.path)
        guardrails = await asyncio.to_thread(
            find_guardrails, self._options.guardrails, located.folder, self._checkpoints
        )
        if guardrails.checks:
            log.info("guardrails: %s, from %s", ", ".join(guardrails.checks), guardrails.path)
        seconds = self._options.window_seconds
        self._foresight = Foresight(self._pool, self._checkpoints, guardrails, window_seconds=seconds)
        await self._pool.run(self._checkpoints, guardrails)

    def _life_ended(self, life: asyncio.Task[None]) -> None:
        error = None if life.cancelled() else life.exception()
        if error is None:
            return
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, SetupError):
            self.failure = error
            log.critical("cannot serve: %s", error)
        else:
            self.failure = WorkerFailed("a fault of the server itself; the log above has it")
            log.critical("cannot serve", exc_info=error)
        self.stop_accepting()
        self._on_failure()

    async def _retire(self, job: Job, permit: Permit, left: asyncio.Event) -> None:
        """Give the permit back when the job has ended, and its folder when its caller has read it."""
        await job.ended()
        permit.close()
        self.metrics.ended(job)
        await left.wait()
        await asyncio.to_thread(shutil.rmtree, job.folder, ignore_errors=True)


def _name(error: JobFailed, job_id: str) -> None:
    """Give a fault before there is a job an id that the log knows."""
    error.job_id = job_id
    log.error("job %s failed before it could wait: %s", job_id, error)
