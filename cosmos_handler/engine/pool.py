"""One model process per GPU group: kept up, fed from the backlog, and its job failed the moment it dies."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.guardrail import Guardrails
from cosmos_handler.engine.backlog import Backlog
from cosmos_handler.engine.child import WORKER, Child
from cosmos_handler.engine.group import Group
from cosmos_handler.engine.host_files import HostFiles
from cosmos_handler.engine.job import Job
from cosmos_handler.errors import (
    Blocked,
    CosmosError,
    InvalidField,
    JobFailed,
    OutOfMemory,
    Stopping,
    WorkerDied,
    WorkerFailed,
    WorkerStuck,
)
from cosmos_handler.messages.machine import Machine, MemoryWish
from cosmos_handler.messages.wire import (
    Cancel,
    Cancelled,
    Done,
    Failed,
    Fatal,
    FromWorker,
    Learned,
    Loading,
    Progress,
    Ready,
    Setup,
    Shutdown,
    Token,
)

log = logging.getLogger(__name__)

# A process that dies this often in a row before it is ready will not come up the next time either.
_MAX_FAILED_STARTS = 3
_SHUTDOWN_SECONDS = 3.0
_MAX_LOOK_SECONDS = 5.0

_DIED = "the process that held the model ended in the middle of the job"
_STUCK = "the job came to a standstill and was given up"


class Pool:
    """All groups. `run` lives as long as the server does."""

    def __init__(
        self,
        groups: Sequence[Group],
        backlog: Backlog,
        *,
        environment: Mapping[str, str],
        cpu_threads: int | None,
        warm_up_dir: Path | None = None,
        stuck_seconds: float | None = None,
        memory: MemoryWish = MemoryWish(),  # noqa: B008 - a frozen value
        command: tuple[str, ...] = WORKER,
        restart_delay: Callable[[int], float] = lambda failures: 0.5 * 2**failures,
    ) -> None:
        self.groups = tuple(groups)
        self._backlog = backlog
        self._environment = environment
        self._cpu_threads = cpu_threads
        self._command = command
        self._warm_up_dir = None if warm_up_dir is None else str(warm_up_dir)
        self._stuck_seconds = stuck_seconds
        self.memory = memory
        self._restart_delay = restart_delay
        self._closing = False

    @property
    def is_ready(self) -> bool:
        """Whether a job sent now would run."""
        return any(group.ready for group in self.groups)

    @property
    def machine(self) -> Machine | None:
        """What the smallest group has to work with, for any of them may get a job; None before one was ready."""
        machines = [group.machine for group in self.groups if group.machine is not None]
        return min(machines, key=lambda machine: (machine.device_bytes, machine.host_bytes), default=None)

    @property
    def margins(self) -> Mapping[str, float]:
        """What any group has learned of the memory that stages take."""
        learned: dict[str, float] = {}
        for group in self.groups:
            for stage, margin in group.margins.items():
                learned[stage] = max(margin, learned.get(stage, 1.0))
        return learned

    @property
    def num_running(self) -> int:
        """How many jobs run."""
        return sum(group.job is not None for group in self.groups)

    async def run(self, checkpoints: tuple[Checkpoint, ...], guardrails: Guardrails) -> None:
        """Keep a process up for every group, until cancelled. Raises SetupError when that is hopeless."""
        files = HostFiles(checkpoints, guardrails)
        try:
            async with asyncio.TaskGroup() as tasks:
                for group in self.groups:
                    tasks.create_task(self._tend(group, checkpoints, guardrails, files))
        finally:
            files.close()

    async def cancel(self, job: Job) -> None:
        """Stop a job: at once when it waits, at its next step when it runs. Harmless when it has ended."""
        job.cancel_requested = True
        if self._backlog.withdraw(job):
            job.cancel()
            log.info("job %s cancelled while it waited", job.id)
            return
        if job.made is not None and job.cancel():
            log.info("job %s cancelled while its result was stored", job.id)
            return
        for group in self.groups:
            if group.job is job and group.child is not None:
                await group.child.send(Cancel(job_id=job.id))

    async def shut_down(self) -> None:
        """Give up what runs and end every process: by asking, then by force."""
        self._closing = True
        for group in self.groups:
            if group.job is not None:
                group.job.fail(Stopping("the server is shutting down", retry_after_seconds=30))
        await asyncio.gather(*(_end(group.child) for group in self.groups if group.child is not None))

    async def _tend(
        self, group: Group, checkpoints: tuple[Checkpoint, ...], guardrails: Guardrails, files: HostFiles
    ) -> None:
        failures = 0
        while not self._closing:
            inherited = files.descriptors.values()
            child = group.child = Child(self._command, group.environment(self._environment), inherited=inherited)
            log.info("model process %d started for %s", child.pid, ",".join(group.devices))
            try:
                setup = Setup(
                    checkpoints=checkpoints,
                    guardrails=guardrails,
                    device=group.device,
                    cpu_threads=self._cpu_threads,
                    memory=self.memory,
                    host_files=files.descriptors,
                    margins=self.margins,
                    warm_up_dir=self._warm_up_dir,
                )
                await child.send(setup)
                if await self._became_ready(child, group):
                    failures = 0
                    await self._serve(child, group)
                else:
                    failures += 1
            finally:
                group.ready, group.child = False, None
                child.kill()
                ending = await asyncio.shield(child.wait())
                self._fail_job(group, ending)
            log.log(
                logging.INFO if self._closing else logging.ERROR, "model process %d ended with %s", child.pid, ending
            )
            if failures >= _MAX_FAILED_STARTS:
                raise WorkerFailed(f"the model process ended {failures} times before it was ready, last with {ending}")
            await asyncio.sleep(self._restart_delay(failures) if failures else 0)

    async def _became_ready(self, child: Child, group: Group) -> bool:
        while (message := await child.inbox.get()) is not None:
            if isinstance(message, Ready):
                log.info("model process %d is ready on %s\n%s", child.pid, message.device, message.plan)
                group.ready, group.machine = True, message.machine or group.machine
                return True
            if isinstance(message, Fatal):
                raise WorkerFailed(message.problem)
            if isinstance(message, Loading):
                gib = message.size_bytes / 2**30
                log.info("loaded %s of %s: %.2f GiB in %.1f s", message.part, message.model, gib, message.seconds)
        return False

    async def _serve(self, child: Child, group: Group) -> None:
        async with asyncio.TaskGroup() as tasks:  # feeding cannot end unnoticed: no job would ever be taken again
            others = [tasks.create_task(self._feed(child, group)), tasks.create_task(self._watch(child, group))]
            while (message := await child.inbox.get()) is not None:
                group.heard_at = asyncio.get_running_loop().time()
                _apply(message, group)
            for other in others:
                other.cancel()

    async def _watch(self, child: Child, group: Group) -> None:
        """End a process that says nothing of its job for too long; its end is then told as any other."""
        most = self._stuck_seconds
        while most is not None:
            await asyncio.sleep(min(most / 4, _MAX_LOOK_SECONDS))
            if group.job is not None and asyncio.get_running_loop().time() - group.heard_at > most:
                log.error("job %s: nothing heard for %g s; its process is ended", group.job.id, most)
                group.is_stuck, group.ready = True, False
                child.kill()
                return

    async def _feed(self, child: Child, group: Group) -> None:
        while True:
            await self._backlog.wait()
            job = self._backlog.take()
            if job is None:
                continue
            group.job, group.heard_at = job, asyncio.get_running_loop().time()
            job.start()
            log.info("job %s starts on %s", job.id, ",".join(group.devices))
            try:
                await child.send(job.message())
            except ValueError:  # not to be put into JSON; a fault of ours, but of this job alone
                log.exception("job %s cannot be told to a process", job.id)
                job.fail(JobFailed("the task could not be handed to the model process"))
            await job.released()
            group.job = None

    def _fail_job(self, group: Group, ending: str) -> None:
        job, group.job = group.job, None
        is_stuck, group.is_stuck = group.is_stuck, False
        if job is None:
            return
        # A cancel that the process did not live to confirm is still what the caller wanted.
        if job.cancel_requested and job.cancel():
            log.info("job %s cancelled; its process ended with %s", job.id, ending)
        elif job.fail(WorkerStuck(_STUCK) if is_stuck else WorkerDied(_DIED)):
            log.error("job %s failed: its process ended with %s", job.id, ending)


async def _end(child: Child) -> None:
    try:
        async with asyncio.timeout(_SHUTDOWN_SECONDS):
            await child.send(Shutdown())  # waits where the pipe is full and nobody reads
            await child.wait()
    except TimeoutError:
        child.kill()


def _apply(message: FromWorker, group: Group) -> None:
    job = group.job
    if isinstance(message, Learned):
        group.margins[message.stage] = max(message.margin, group.margins.get(message.stage, 1.0))
        return
    if isinstance(message, Loading | Ready | Fatal):
        raise WorkerFailed(f"the model process said {message.type} in the middle of its work: this is a bug")
    if job is None or job.id != message.job_id:
        log.warning("a late %s for job %s was dropped", message.type, message.job_id)
    elif isinstance(message, Progress | Token):
        job.report(message)
    elif isinstance(message, Done):
        group.job = None  # whatever becomes of the process now is not this job's end
        job.hand_over(message)
        log.info("job %s %s: %s", job.id, "made" if job.order else "completed", message.report.stage_seconds)
    elif isinstance(message, Cancelled):
        job.cancel()
        log.info("job %s cancelled in %s after step %d", job.id, message.stage, message.step)
    else:
        job.fail(_error(message))
        log.warning("job %s failed (%s)", job.id, message.reason)


def _error(failed: Failed) -> CosmosError:
    if failed.reason == "request":
        return InvalidField(failed.field or "body", failed.problem, allowed=failed.allowed)
    if failed.reason == "guardrail":
        return Blocked(
            failed.check or "guardrail", failed.problem, findings=[verdict.told() for verdict in failed.findings]
        )
    if failed.reason == "memory":
        return OutOfMemory(failed.problem)
    return JobFailed(failed.problem)
