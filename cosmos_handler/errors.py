"""Everything that can go wrong, as one tree of plain classes; `api/errors.py` says what each looks like over HTTP.

CosmosError
├── RequestError              the client can mend it
│   ├── InvalidBody           not JSON, not an object, not a form
│   ├── InvalidField          one field is wrong; names it and what would be right
│   │   └── UnknownModel      no loaded model has that name, or none can do the task
│   ├── MediaError            the bytes are not the image or video they should be
│   ├── TooLarge              the body or a medium is over a limit
│   ├── UnknownJob            no job has that id, or not any more
│   ├── NotDone               the job has no result to fetch
│   ├── Unauthorized          the server asks for a key, and the request shows none or another
│   ├── OverWindow            it is predicted to take longer than requests may
│   ├── TooSlow               the body took too long to come
│   ├── RepeatDiffers         an inference id that was used for another request
│   ├── NotShared             a job face where the next request may reach another instance
│   ├── Blocked               a guardrail does not allow it, or could not say whether it does
│   ├── UnsupportedMediaType  a Content-Type that is not read here
│   └── NotAcceptable         an Accept that cannot be met
├── Unavailable               come back later
│   ├── NotLocated            the model files are still being fetched
│   ├── NotLoaded             no model process has said yet what it has to work with
│   ├── BacklogFull           every permit is taken
│   ├── JobsUnreachable       S3, where the shared jobs are kept, does not do what is asked
│   ├── BodiesFull            the requests in the house have all the memory that bodies may take
│   └── Stopping              the server is shutting down
├── JobCancelled              the caller went away or took it back
├── WillNotFit                no plan finds room for the job; says which smaller one would do
├── OutOfMemory               the device ran out of memory in the middle of the job
├── JobFailed                 our own fault; the log has the rest under the job id
│   ├── WorkerDied            the process that held the weights ended in the middle of the job
│   ├── WorkerStuck           it said nothing for too long
│   ├── InstanceLost          the instance that had a shared job is gone
│   ├── StoreFailed           the result could not be written to S3
│   └── DecoderFailed         the short-lived decoding process ended without an answer
└── SetupError                the server cannot start
    ├── SettingsError         environment variables, every fault listed
    ├── CheckpointError       the model folder: nothing there, unknown, unsupported, incomplete
    ├── GuardrailsIncomplete  a guardrail that is wanted is missing or not whole
    ├── DoesNotFit            the parts are larger than the device
    └── WorkerFailed          the model process could not be brought up
"""

from collections.abc import Mapping, Sequence
from typing import Any


class CosmosError(Exception):
    """The root; nothing raises it itself."""


class RequestError(CosmosError):
    """The client can mend the request."""


class InvalidBody(RequestError):
    """The body as a whole cannot be read."""


class InvalidField(RequestError):
    """One field is wrong.

    field: the name as the client wrote it, dotted for nested ones.
    allowed: what would have been right, in words, where that can be said.
    """

    def __init__(self, field: str, problem: str, *, allowed: str | None = None) -> None:
        super().__init__(f"{field}: {problem}" + (f" (allowed: {allowed})" if allowed else ""))
        self.field = field
        self.problem = problem
        self.allowed = allowed


class UnknownModel(InvalidField):
    """No loaded model has that name, or none of them can do the task."""


class MediaError(RequestError):
    """The bytes behind a media field are not a readable image or video, or not a suitable one."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class TooLarge(RequestError):
    """The body or a medium in it is over a limit. field: as in InvalidField, or None for the body."""

    def __init__(self, problem: str, *, field: str | None = None) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem


class UnknownJob(RequestError):
    """No job has that id: it never had one, was deleted, or has been kept long enough."""


class NotDone(RequestError):
    """The job has no result that could be fetched: not yet, or not at all."""


class Unauthorized(RequestError):
    """The server asks for a key, and the request shows none, or another one."""


class TooSlow(RequestError):
    """The body did not come in the time that is given."""


class RepeatDiffers(RequestError):
    """The inference id is known, and what was asked under it was something else."""


class NotShared(RequestError):
    """Jobs are known to one instance only, and the platform may send the next request to another one."""


class OverWindow(RequestError):
    """The job is predicted to take longer than requests may take.

    nearest: field → value of the nearest request that would be done in time; empty where there is none.
    """

    def __init__(
        self, problem: str, *, nearest: Mapping[str, Any], predicted_seconds: float, window_seconds: float
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.nearest = nearest
        self.predicted_seconds = predicted_seconds
        self.window_seconds = window_seconds


class Blocked(RequestError):
    """A guardrail does not allow the job, or failed and so cannot allow it. Never holds words of the prompt.

    check: the guardrail's name. findings: what each one that ran had found by then, as answers report it.
    """

    def __init__(self, check: str, problem: str, *, findings: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(problem)
        self.check = check
        self.problem = problem
        self.findings = tuple(findings)


class UnsupportedMediaType(RequestError):
    """The Content-Type of the request is not one that is read here."""


class NotAcceptable(RequestError):
    """Nothing in the Accept header can be produced for this request."""


class Unavailable(CosmosError):
    """Not now; retry_after_seconds says when it is worth asking again."""

    def __init__(self, problem: str, *, retry_after_seconds: int) -> None:
        super().__init__(problem)
        self.retry_after_seconds = retry_after_seconds


class NotLocated(Unavailable):
    """The model files are still being fetched, so that nothing is known of the models yet."""


class NotLoaded(Unavailable):
    """No model process has said yet what it has to work with, so that nothing can be planned."""


class BacklogFull(Unavailable):
    """Every permit of the backlog is taken."""


class JobsUnreachable(Unavailable):
    """S3, where the shared jobs are kept, cannot be reached or does not do what is asked."""


class BodiesFull(Unavailable):
    """The bodies of the requests in the house take all the memory that is theirs."""


class Stopping(Unavailable):
    """The server is shutting down and takes no more work."""


class JobCancelled(CosmosError):
    """The job was cancelled before it was done."""


class WillNotFit(CosmosError):
    """No plan finds room for the job, neither on the device nor in host memory; refused before any work.

    table: the plan that came nearest, for a person to read.
    nearest: field → value of the nearest request that would fit; empty where there is none.
    """

    def __init__(self, problem: str, *, table: str, nearest: Mapping[str, Any]) -> None:
        super().__init__(problem)
        self.problem = problem
        self.table = table
        self.nearest = nearest


class OutOfMemory(CosmosError):
    """The device ran out of memory in the middle of the job; a smaller request may fit."""


class JobFailed(CosmosError):
    """The job failed through no fault of the client. job_id: for one that ended before anybody had heard of it."""

    job_id: str | None = None


class WorkerDied(JobFailed):
    """The process that held the weights ended in the middle of the job."""


class WorkerStuck(JobFailed):
    """The process that held the weights said nothing of the job for too long, and was ended."""


class InstanceLost(JobFailed):
    """Nothing was heard for too long of the instance that had the job."""


class StoreFailed(JobFailed):
    """The result could not be written to S3, or it showed before any work that it could not be."""


class DecoderFailed(JobFailed):
    """The short-lived decoding process ended without an answer."""


class SetupError(CosmosError):
    """The server cannot start; the message is meant for the person who deploys it."""


class SettingsError(SetupError):
    """The environment variables do not make a configuration. faults: one sentence each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(
            "the environment is not a valid configuration:\n" + "\n".join(f"  - {fault}" for fault in faults)
        )
        self.faults = tuple(faults)


class CheckpointError(SetupError):
    """The model folder holds nothing that can be served, or something incomplete."""


class GuardrailsIncomplete(SetupError):
    """The files of a guardrail that is wanted are missing or not whole."""


class DoesNotFit(SetupError):
    """The parts of the models are larger than the memory they would have to lie in."""


class WorkerFailed(SetupError):
    """The model process ended before it was ready."""
