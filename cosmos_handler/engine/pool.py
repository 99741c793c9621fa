"""One model process per GPU group: kept up, fed from the backlog, and its jobs failed the moment it dies."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.guardrail import Guardrails
from cosmos_handler.engine.backlog import Backlog
from cosmos_handler.engine.child import WORKER, Child
from cosmos_handler.engine.gathering import Gathering
from cosmos_handler.engine.group import Group
from cosmos_handler.engine.host_files import HostFiles
from cosmos_handler.engine.job import Job
from cosmos_handler.errors import JobFailed, Stopping, WorkerFailed
from cosmos_handler.memory.planning import House, can_share
from cosmos_handler.messages.machine import Machine, MemoryWish
from cosmos_handler.messages.wire import Cancel, Fatal, Loading, Ready, Run, RunTogether, Setup, Shutdown, encode

log = logging.getLogger(__name__)

# A process that dies this often in a row before it is ready will not come up the next time either.
_MAX_FAILED_STARTS = 3
_SHUTDOWN_SECONDS = 3.0
_MAX_LOOK_SECONDS = 5.0


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
        gathering: Gathering = Gathering(),  # noqa: B008 - likewise
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
        self._gathering = gathering
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

    def house(
        self, checkpoints: tuple[Checkpoint, ...], guardrails: Guardrails, machine: Machine | None
    ) -> House | None:
        """What plans for a machine of a group, or for the smallest, are held against; None while it is not known."""
        if machine is None:
            return None
        # The margins of all: a process begins with what the others have learned.
        return House(checkpoints, guardrails, machine, self.memory, self.margins)

    @property
    def num_running(self) -> int:
        """How many jobs run."""
        return sum(len(group.jobs) for group in self.groups)

    def max_running(self, checkpoints: Sequence[Checkpoint]) -> int:
        """How many jobs for some models can run at the same time, where they are alike."""
        is_shared = any(can_share(checkpoint) for checkpoint in checkpoints)
        return len(self.groups) * (self._gathering.max_batch_size if is_shared else 1)

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
            if group.jobs.get(job.id) is job and group.child is not None:
                await group.child.send(Cancel(job_id=job.id))

    async def shut_down(self) -> None:
        """Give up what runs and end every process: by asking, then by force."""
        self._closing = True
        for group in self.groups:
            for job in group.jobs.values():
                job.fail(Stopping("the server is shutting down", retry_after_seconds=30))
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
                    await self._serve(child, group, lambda: self.house(checkpoints, guardrails, group.machine))
                else:
                    failures += 1
            finally:
                group.ready, group.child = False, None
                child.kill()
                ending = await asyncio.shield(child.wait())
                group.fail_jobs(ending)
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

    async def _serve(self, child: Child, group: Group, house: Callable[[], House | None]) -> None:
        async with asyncio.TaskGroup() as tasks:  # feeding cannot end unnoticed: no job would ever be taken again
            others = [tasks.create_task(self._feed(child, group, house)), tasks.create_task(self._watch(child, group))]
            while (message := await child.inbox.get()) is not None:
                group.heard_at = asyncio.get_running_loop().time()
                group.hear(message)
            for other in others:
                other.cancel()

    async def _watch(self, child: Child, group: Group) -> None:
        """End a process that says nothing of its jobs for too long; its end is then told as any other."""
        most = self._stuck_seconds
        while most is not None:
            await asyncio.sleep(min(most / 4, _MAX_LOOK_SECONDS))
            if group.jobs and asyncio.get_running_loop().time() - group.heard_at > most:
                log.error("nothing heard of %s for %g s; its process is ended", ", ".join(group.jobs), most)
                group.is_stuck, group.ready = True, False
                child.kill()
                return

    async def _feed(self, child: Child, group: Group, house: Callable[[], House | None]) -> None:
        while True:
            await self._backlog.wait()
            num_idle = sum(each.is_idle for each in self.groups)
            jobs = await self._gathering.take(self._backlog, house(), num_idle=num_idle)
            if not jobs:
                continue
            group.begin(jobs, now=asyncio.get_running_loop().time())
            runs = [run for job in jobs if (run := _told(job)) is not None]
            if runs:
                await child.send(runs[0] if len(runs) == 1 else RunTogether(runs=tuple(runs)))
            for job in jobs:
                await job.released()
            group.jobs = {}


def _told(job: Job) -> Run | None:
    """What its process is told; None where that cannot be put into JSON: a fault of ours, and it fails alone."""
    run = job.message()
    try:
        encode(run)
    except ValueError:
        log.exception("job %s cannot be told to a process", job.id)
        job.fail(JobFailed("the task could not be handed to the model process"))
        return None
    return run


async def _end(child: Child) -> None:
    try:
        async with asyncio.timeout(_SHUTDOWN_SECONDS):
            await child.send(Shutdown())  # waits where the pipe is full and nobody reads
            await child.wait()
    except TimeoutError:
        child.kill()
