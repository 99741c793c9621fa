"""The devices of one model process, and how it stands with it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cosmos_handler.engine.child import Child
from cosmos_handler.engine.job import Job
from cosmos_handler.errors import (
    Blocked,
    CosmosError,
    InvalidField,
    JobFailed,
    OutOfMemory,
    WorkerDied,
    WorkerFailed,
    WorkerStuck,
)
from cosmos_handler.messages.machine import Machine
from cosmos_handler.messages.wire import (
    Cancelled,
    Done,
    Failed,
    Fatal,
    FromWorker,
    Learned,
    Loading,
    Progress,
    Ready,
    Token,
)

log = logging.getLogger(__name__)

# Parts of gigabytes come and go: without it, what they leave would be of no use to others of another size.
_ALLOCATOR = {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}

_DIED = "the process that held the model ended in the middle of the job"
_STUCK = "the job came to a standstill and was given up"


@dataclass
class Group:
    """The devices of one model process, and what it is doing.

    devices: ("cpu",) or indices of GPUs. machine: what it has to work with; None before it has been ready for once.
    jobs: those that its process has to do with, by their ids; several where they are made together.
    heard_at: when its process last said something of its jobs, on the clock of the event loop.
    is_stuck: whether it was ended because it had not for too long.
    margins: for a stage, how many times the reckoned memory it takes, where that was learned.
    """

    devices: tuple[str, ...]
    child: Child | None = None
    ready: bool = False
    jobs: dict[str, Job] = field(default_factory=dict)
    machine: Machine | None = None
    heard_at: float = 0.0
    is_stuck: bool = False
    margins: dict[str, float] = field(default_factory=dict)

    @property
    def device(self) -> str:
        """The kind of device, in torch's word."""
        return "cpu" if self.devices == ("cpu",) else "cuda"

    @property
    def is_idle(self) -> bool:
        """Whether its process waits for work."""
        return self.ready and not self.jobs

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """The process sees its own devices only."""
        visible = "" if self.device == "cpu" else ",".join(self.devices)
        return {**_ALLOCATOR, **base, "CUDA_VISIBLE_DEVICES": visible}

    def begin(self, jobs: Sequence[Job], *, now: float) -> None:
        """Its process takes these on."""
        self.jobs, self.heard_at = {job.id: job for job in jobs}, now
        for job in jobs:
            job.start()
        ids = ", ".join(self.jobs)
        if len(jobs) > 1:
            log.info("jobs %s start together on %s", ids, ",".join(self.devices))
        else:
            log.info("job %s starts on %s", ids, ",".join(self.devices))

    def hear(self, message: FromWorker) -> None:
        """Its process said something. Raises WorkerFailed for what has no place in the middle of its work."""
        if isinstance(message, Learned):
            self.margins[message.stage] = max(message.margin, self.margins.get(message.stage, 1.0))
            return
        if isinstance(message, Loading | Ready | Fatal):
            raise WorkerFailed(f"the model process said {message.type} in the middle of its work: this is a bug")
        job = self.jobs.get(message.job_id)
        if job is None:
            log.info("a late %s for job %s was dropped", message.type, message.job_id)
        elif isinstance(message, Progress | Token):
            job.report(message)
        else:
            del self.jobs[job.id]  # whatever becomes of the process now is not this job's end
            _end(job, message)

    def fail_jobs(self, ending: str) -> None:
        """Its process has ended, and with it all that it had to do with."""
        jobs, self.jobs = self.jobs, {}
        is_stuck, self.is_stuck = self.is_stuck, False
        for job in jobs.values():
            # A cancel that the process did not live to confirm is still what the caller wanted.
            if job.cancel_requested and job.cancel():
                log.info("job %s cancelled; its process ended with %s", job.id, ending)
            elif job.fail(WorkerStuck(_STUCK) if is_stuck else WorkerDied(_DIED)):
                log.error("job %s failed: its process ended with %s", job.id, ending)


def _end(job: Job, message: Done | Failed | Cancelled) -> None:
    """As its process says; one that has ended already stays as it is."""
    if isinstance(message, Done):
        if job.hand_over(message):
            how = "made" if job.order else "completed"
            log.info("job %s %s: %s", job.id, how, message.report.stage_seconds)
    elif isinstance(message, Cancelled):
        if job.cancel():
            log.info("job %s cancelled in %s after step %d", job.id, message.stage, message.step)
    elif job.fail(_error(message)):
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
