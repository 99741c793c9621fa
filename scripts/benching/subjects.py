"""What is measured: a model's networks, the request, and what NVIDIA publishes of its memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cosmos_handler.artifacts.checkpoint import Checkpoint, Part
from cosmos_handler.artifacts.guardrail import Guardrails
from cosmos_handler.memory.catalogue import catalogue_models, guardrails_of_catalogue
from cosmos_handler.memory.making import Networks, Wanted, making_stages
from cosmos_handler.memory.plan import Plan
from cosmos_handler.memory.presets import rules_for
from cosmos_handler.memory.reserves import device_bytes_of_card
from cosmos_handler.memory.search import choose
from cosmos_handler.memory.sheet import PartSheet, StageSheet
from cosmos_handler.memory.stages import part_sheets, part_sheets_of, stages_of
from cosmos_handler.memory.usual import usual_task
from cosmos_handler.messages.machine import Machine, MemoryWish
from cosmos_handler.messages.tasks import Continue, Generate
from cosmos_handler.worker.warming import grey_clip

# The guardrails see words and finished frames, and are no rivals' work: their weights lie there, and that is all.
_MEASURED = ("encode_text", "encode_media", "denoise", "generate", "diffusion_decode", "decode")
# A row of one kind of model alone: others make of it what is left, which is a row that they have as well.
_OWN_ROWS = ("diffusion_decoder",)
_PROMPT = "A robotic arm picks up a red cube in a bright kitchen and places it into a box beside the sink. " * 12


@dataclass(frozen=True)
class Subject:
    """One model with one request.

    name: the owner of its parts in plans. checkpoint: of a model that is served; None for Predict 1 by diffusion.
    auto_device_bytes: the budget for which "auto" is tried.
    published_gigabytes: for a preset NVIDIA's peak in GB of 1e9 bytes. published_note: what is to be known of them.
    """

    name: str
    parts: tuple[Part, ...]
    checkpoint: Checkpoint | None
    guardrails: Guardrails
    task: Generate | Continue
    auto_device_bytes: int
    published_gigabytes: Mapping[str, float] = field(default_factory=dict)
    published_note: str = "nothing"

    @property
    def size_bytes(self) -> int:
        """Of the networks that are measured."""
        return sum(part.size_bytes for part in self.parts)

    @property
    def has_rivals(self) -> bool:
        """Whether diffusers has a pipeline of it."""
        return isinstance(self.task, Generate)

    def has_row(self, preset: str) -> bool:
        """Whether a preset is a row of this model's table."""
        return preset not in _OWN_ROWS or any(part.name == preset for part in self.parts)

    def sheets(self) -> tuple[tuple[PartSheet, ...], tuple[StageSheet, ...]]:
        """The parts, and those of a run's stages that are measured."""
        if self.checkpoint is not None:
            parts = part_sheets([self.checkpoint], self.guardrails, for_model=self.name)
            stages = stages_of(self.task, self.checkpoint, self.guardrails)
        else:
            parts = (
                *part_sheets_of(self.name, self.parts),
                *part_sheets([], self.guardrails, for_model=self.name),
            )
            stages = making_stages(self._wanted(), self._networks())
        return parts, tuple(stage for stage in stages if stage.name in _MEASURED)

    def plan(self, preset: str, machine: Machine) -> Plan:
        """A preset's plan for the request. Raises NothingFits."""
        wish = MemoryWish.model_validate({"offload": preset})
        if preset == "auto":
            machine = machine.model_copy(update={"device_bytes": min(machine.device_bytes, self.auto_device_bytes)})
        parts, stages = self.sheets()
        return choose(parts, stages, machine, rules_for(wish, parts))

    def _wanted(self) -> Wanted:
        """Of Predict 1: text alone goes in, so the VAE encodes nothing, and all frames of a step have one time."""
        task = self.task
        return Wanted(
            num_frames=task.num_frames,
            height=task.height,
            width=task.width,
            num_steps=task.num_steps,
            passes=2 if task.guidance > 1.0 else 1,
            encodes=0,
            times_per_frame=False,
        )

    def _networks(self) -> Networks:
        parts = {part.name: part for part in self.parts}
        return Networks(self.name, parts["transformer"], parts["tokenizer"], parts["text_encoder"])

    def smallest(self) -> "Subject":
        """The same model with a request that takes a moment, to have everything loaded and warm."""
        small = {"num_frames": 9, "num_output_frames": 9, "num_steps": 1}
        # The others go on from one frame, at the one size that they have.
        less = {"height": 64, "width": 96} if isinstance(self.task, Generate) else {"num_input_frames": 1}
        return replace(self, task=self.task.model_copy(update=small | less))

    def with_folders(self, folder: Path) -> "Subject":
        """The same with tokenizers and scheduler where the families read them, and a clip, if it goes on from one."""
        if self.checkpoint is None:
            return self
        places = {name: str(folder / name) for name in ("tokenizer", "text_tokenizer", "scheduler")}
        task = self.task
        if isinstance(task, Continue):
            clip = grey_clip(folder / f"{self.name}.npy", task.num_input_frames, task.height, task.width, task.fps)
            task = task.model_copy(update={"media": clip})
        return replace(self, checkpoint=replace(self.checkpoint, places=places), task=task)


@dataclass(frozen=True)
class _Row:
    """A model that can be measured. num_frames: of its request; None: as usual. gigabytes, note: as in Subject."""

    model: str
    num_frames: int | None
    gigabytes: Mapping[str, float]
    note: str


_OF_COSMOS1 = (
    "NVIDIA's table for Cosmos-1.0 on an H100, everything above in it offloaded as well; it holds a guardrail of 7B "
    "parameters, which is one of 0.6B today, and has no row for nothing offloaded"
)
_OF_CODES = (
    "NVIDIA's table for Cosmos-1.0 on an H100, everything above in it offloaded as well; it holds a guardrail of 7B "
    "parameters, which is one of 0.6B today"
)
_ROWS = {
    "predict1-7b": _Row(
        "Cosmos-Predict1-7B-Text2World",
        121,
        {"prompt_upsampler": 74.0, "guardrails": 57.1, "text_encoder": 38.5, "tokenizer": 38.3, "all": 24.4},
        _OF_COSMOS1,
    ),
    "predict1-14b": _Row(
        "Cosmos-Predict1-14B-Text2World",
        121,
        {"guardrails": 70.5, "text_encoder": 51.9, "tokenizer": 51.7, "all": 39.0},
        f"{_OF_COSMOS1}; above 80 with only the prompt upsampler offloaded",
    ),
    "predict2.5-2b": _Row(
        "Cosmos-Predict2.5-2B", 77, {"none": 32.6}, "32.6 for video2world, as quoted from NVIDIA's documentation"
    ),
    "predict2.5-14b": _Row(
        "Cosmos-Predict2.5-14B", 77, {"none": 56.38}, "none for 2.5; 56.38 for Predict2-14B, a network of the same size"
    ),
    "autoregressive-5b": _Row(
        "Cosmos-Predict1-5B-Video2World",
        None,
        {
            "none": 66.2,
            "guardrails": 58.7,
            "text_encoder": 41.3,
            "diffusion_decoder": 29.0,
            "tokenizer": 28.8,
            "all": 21.1,
        },
        _OF_CODES,
    ),
    "autoregressive-13b": _Row(
        "Cosmos-Predict1-13B-Video2World",
        None,
        {"guardrails": 76.6, "text_encoder": 58.0, "diffusion_decoder": 46.9, "tokenizer": 46.7, "all": 30.9},
        f"{_OF_CODES}; above 80 with nothing offloaded",
    ),
}
NAMES = tuple(_ROWS)
USUAL = ("predict1-7b", "predict2.5-14b")
AUTO_GIGABYTES = 24


def subject(name: str, *, num_steps: int) -> Subject:
    """A model of NAMES at its usual size, with so many steps."""
    row = _ROWS[name]
    model = catalogue_models()[row.model]
    return Subject(
        name=model.name,
        parts=model.parts,
        checkpoint=model.checkpoint,
        guardrails=guardrails_of_catalogue(),
        task=_task(row, model.checkpoint, num_steps),
        auto_device_bytes=device_bytes_of_card(AUTO_GIGABYTES * 10**9),
        published_gigabytes=row.gigabytes,
        published_note=row.note,
    )


def _task(row: _Row, checkpoint: Checkpoint | None, num_steps: int) -> Generate | Continue:
    if row.num_frames is not None:
        return request(num_frames=row.num_frames, height=704, width=1280, num_steps=num_steps)
    if checkpoint is None:
        raise ValueError(f"{row.model} is not served, and has no usual request: this is a bug")
    return going_on(checkpoint, num_steps=num_steps)


def going_on(checkpoint: Checkpoint, *, num_steps: int) -> Continue:
    """The usual request of an autoregressive model, with so many steps of the diffusion decoder."""
    task = usual_task(checkpoint)
    if not isinstance(task, Continue):
        raise TypeError(f"{checkpoint.name} does not go on from frames: this is a bug")
    return task.model_copy(update={"num_steps": num_steps})


def request(**more: object) -> Generate:
    """A text2world request. more: what it says beside the prompt."""
    return Generate.model_validate(
        {
            "prompt": _PROMPT,
            "negative_prompt": None,
            "seed": 0,
            "guidance": 7.0,
            "num_output_frames": more["num_frames"],
            "fps": 24.0,
            "encoding": "mp4",
            "inference_type": "text2world",
            "media": None,
            "num_latent_conditional_frames": 0,
        }
        | more
    )
