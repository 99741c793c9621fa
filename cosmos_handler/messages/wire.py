"""The door: everything the serving process and a model process say to each other, and nothing else."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.guardrail import Guardrails
from cosmos_handler.messages.machine import Machine, MemoryWish
from cosmos_handler.messages.results import Output, Report, Verdict
from cosmos_handler.messages.tasks import Task, Value

# ── to the model process ──


class Setup(Value):
    """First of all: load these, and let every picture pass the guardrails.

    device is "cpu" or "cuda"; cpu_threads None leaves torch's own choice. host_files: for each part, by owner and name,
    the descriptor of the file for its weights where they lie in host memory, which all model processes share. margins:
    what processes before this one have learned of stages. warm_up_dir: where the files
    of a first run of each model may lie, which is made before being ready; None: none is made.
    """

    type: Literal["setup"] = "setup"
    checkpoints: tuple[Checkpoint, ...]
    guardrails: Guardrails
    device: str
    cpu_threads: int | None
    memory: MemoryWish = MemoryWish()
    host_files: Mapping[str, int] = {}
    margins: Mapping[str, float] = {}
    warm_up_dir: str | None = None


class Run(Value):
    """Do this; folder is the job's own and the only place to write to."""

    type: Literal["run"] = "run"
    job_id: str
    model: str
    task: Task
    folder: str


class RunTogether(Value):
    """Do these in one batch where their work is the same; each ends by itself."""

    type: Literal["run_together"] = "run_together"
    runs: tuple[Run, ...]


class Cancel(Value):
    """Stop this at the next step."""

    type: Literal["cancel"] = "cancel"
    job_id: str


class Shutdown(Value):
    """Stop what runs and end."""

    type: Literal["shutdown"] = "shutdown"


# ── from the model process ──


class Loading(Value):
    """A part of a model is in its place."""

    type: Literal["loading"] = "loading"
    model: str
    part: str
    size_bytes: int
    seconds: float


class Ready(Value):
    """Everything is loaded; jobs may come. plan is the table to log, machine what plans are held against."""

    type: Literal["ready"] = "ready"
    device: str
    plan: str
    machine: Machine | None = None


class Learned(Value):
    """A stage takes more of the device than was reckoned: margin times as much, beside the weights.

    stage: as `memory.planning.margin_name` has it, which tells batches apart.
    """

    type: Literal["learned"] = "learned"
    stage: str
    margin: float


class Fatal(Value):
    """The process cannot serve, and starting it again would not help."""

    type: Literal["fatal"] = "fatal"
    problem: str


class Progress(Value):
    """A step of a stage is done: step counts from 1 to num_steps, 0 when the stage has just begun."""

    type: Literal["progress"] = "progress"
    job_id: str
    stage: str
    step: int
    num_steps: int


class Token(Value):
    """The next words of an answer; reasoning where they stand between think tags."""

    type: Literal["token"] = "token"
    job_id: str
    text: str
    reasoning: bool


class Done(Value):
    """The job is complete."""

    type: Literal["done"] = "done"
    job_id: str
    output: Output
    report: Report


class Failed(Value):
    """The job failed. field, and where it can be said allowed, are set where the client can mend it.

    check, findings: where a guardrail stopped it, which one, and what each one that ran had found.
    """

    type: Literal["failed"] = "failed"
    job_id: str
    reason: Literal["request", "guardrail", "memory", "internal"]
    problem: str
    field: str | None = None
    allowed: str | None = None
    check: str | None = None
    findings: tuple[Verdict, ...] = ()


class Cancelled(Value):
    """The job stopped because it was told to; says how far it had come."""

    type: Literal["cancelled"] = "cancelled"
    job_id: str
    stage: str
    step: int


ToWorker = Setup | Run | RunTogether | Cancel | Shutdown
FromWorker = Loading | Ready | Learned | Fatal | Progress | Token | Done | Failed | Cancelled

# An error that goes to the log must not carry prompts or answers there.
_QUIET = ConfigDict(hide_input_in_errors=True)
_TO_WORKER: TypeAdapter[ToWorker] = TypeAdapter(Annotated[ToWorker, Field(discriminator="type")], config=_QUIET)
_FROM_WORKER: TypeAdapter[FromWorker] = TypeAdapter(Annotated[FromWorker, Field(discriminator="type")], config=_QUIET)


def encode(message: BaseModel) -> bytes:
    """One message as it travels: JSON."""
    return message.model_dump_json().encode()


def decode_to_worker(data: bytes) -> ToWorker:
    """What the model process hears."""
    return _TO_WORKER.validate_json(data)


def decode_from_worker(data: bytes) -> FromWorker:
    """What the serving process hears."""
    return _FROM_WORKER.validate_json(data)
