"""The door: everything the serving process and a model process say to each other, and nothing else."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.media.clip import MediaFile


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# ── tasks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Generate(_Value):
    """Make a video. Sizes in pixels; num_frames is one the VAE can make, num_output_frames of them are handed on."""

    kind: Literal["generate"] = "generate"
    inference_type: Literal["text2world", "image2world", "video2world"]
    prompt: str
    negative_prompt: str | None
    media: MediaFile | None
    num_latent_conditional_frames: int
    seed: int
    guidance: float
    num_steps: int
    num_frames: int
    num_output_frames: int
    height: int
    width: int
    fps: float
    encoding: Literal["mp4", "npz"]


class Piece(_Value):
    """Words, or a decoded image or video, inside a turn. `field` is what a complaint about it should name."""

    text: str | None = None
    media: MediaFile | None = None
    field: str = "prompt"


class Turn(_Value):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    pieces: tuple[Piece, ...]


class Answer(_Value):
    """Continue a conversation. None means: as the checkpoint's generation_config.json says."""

    kind: Literal["answer"] = "answer"
    turns: tuple[Turn, ...]
    max_tokens: int | None
    do_sample: bool | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    repetition_penalty: float | None
    seed: int


Task = Annotated[Generate | Answer, Field(discriminator="kind")]


# ── results ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Verdict(_Value):
    """What one guardrail said of one job. state: off, passed, blocked or error."""

    check: str
    state: Literal["off", "passed", "blocked", "error"]


class Report(_Value):
    """What every answer carries, besides its job id."""

    model: str
    revision: str
    seed: int
    device: str
    plan: dict[str, str]
    stage_seconds: dict[str, float]
    peak_device_bytes: int | None
    guardrails: tuple[Verdict, ...]


class VideoOutput(_Value):
    """A finished file in the job's folder. num_frames_generated counts before the trim to num_frames."""

    kind: Literal["video"] = "video"
    path: str
    media_type: Literal["video/mp4", "application/x-npz"]
    num_frames: int
    num_frames_generated: int
    height: int
    width: int
    fps: float


class TextOutput(_Value):
    """An answer in words; reasoning is what stood between think tags."""

    kind: Literal["text"] = "text"
    text: str
    reasoning: str | None
    finish_reason: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int


Output = Annotated[VideoOutput | TextOutput, Field(discriminator="kind")]


# ── to the model process ─────────────────────────────────────────────────────────────────────────────────────────────


class Setup(_Value):
    """First of all: load these. device is "cpu" or "cuda"; cpu_threads None leaves torch's own choice."""

    type: Literal["setup"] = "setup"
    checkpoints: tuple[Checkpoint, ...]
    device: str
    cpu_threads: int | None


class Run(_Value):
    """Do this; folder is the job's own and the only place to write to."""

    type: Literal["run"] = "run"
    job_id: str
    model: str
    task: Task
    folder: str


class Cancel(_Value):
    """Stop this at the next step."""

    type: Literal["cancel"] = "cancel"
    job_id: str


class Shutdown(_Value):
    """Stop what runs and end."""

    type: Literal["shutdown"] = "shutdown"


# ── from the model process ───────────────────────────────────────────────────────────────────────────────────────────


class Loading(_Value):
    """A part of a model is in its place."""

    type: Literal["loading"] = "loading"
    model: str
    part: str
    size_bytes: int
    seconds: float


class Ready(_Value):
    """Everything is loaded; jobs may come. plan is the table to log."""

    type: Literal["ready"] = "ready"
    device: str
    plan: str


class Fatal(_Value):
    """The process cannot serve, and starting it again would not help."""

    type: Literal["fatal"] = "fatal"
    problem: str


class Progress(_Value):
    """A step of a stage is done: step counts from 1 to num_steps, 0 when the stage has just begun."""

    type: Literal["progress"] = "progress"
    job_id: str
    stage: str
    step: int
    num_steps: int


class Token(_Value):
    """The next words of an answer; reasoning where they stand between think tags."""

    type: Literal["token"] = "token"
    job_id: str
    text: str
    reasoning: bool


class Done(_Value):
    """The job is complete."""

    type: Literal["done"] = "done"
    job_id: str
    output: Output
    report: Report


class Failed(_Value):
    """The job failed. field is set where the client can mend it."""

    type: Literal["failed"] = "failed"
    job_id: str
    reason: Literal["request", "memory", "internal"]
    problem: str
    field: str | None = None


class Cancelled(_Value):
    """The job stopped because it was told to; says how far it had come."""

    type: Literal["cancelled"] = "cancelled"
    job_id: str
    stage: str
    step: int


ToWorker = Annotated[Setup | Run | Cancel | Shutdown, Field(discriminator="type")]
FromWorker = Annotated[
    Loading | Ready | Fatal | Progress | Token | Done | Failed | Cancelled, Field(discriminator="type")
]

_TO_WORKER: TypeAdapter[Setup | Run | Cancel | Shutdown] = TypeAdapter(ToWorker)
_FROM_WORKER: TypeAdapter[Loading | Ready | Fatal | Progress | Token | Done | Failed | Cancelled] = TypeAdapter(
    FromWorker
)


def encode(message: BaseModel) -> bytes:
    """One message as it travels: JSON."""
    return message.model_dump_json().encode()


def decode_to_worker(data: bytes) -> Setup | Run | Cancel | Shutdown:
    """What the model process hears."""
    return _TO_WORKER.validate_json(data)


def decode_from_worker(data: bytes) -> Loading | Ready | Fatal | Progress | Token | Done | Failed | Cancelled:
    """What the serving process hears."""
    return _FROM_WORKER.validate_json(data)
