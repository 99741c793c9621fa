"""What `scripts/plan.py` plans for: public models and folders of checkpoints, and requests of any size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.discover import discover
from cosmos_handler.artifacts.guardrail import CHECKS, Guardrails, GuardrailWish, find_guardrails
from cosmos_handler.errors import GuardrailsIncomplete
from cosmos_handler.memory.catalogue import CatalogueModel, catalogue_models, guardrails_of_catalogue
from cosmos_handler.memory.making import Wanted
from cosmos_handler.memory.nearest import nearest_task
from cosmos_handler.memory.plan import NothingFits, Plan
from cosmos_handler.memory.planning import House, can_share, plan_for
from cosmos_handler.memory.presets import rules_for
from cosmos_handler.memory.reserves import host_total_bytes
from cosmos_handler.memory.search import choose
from cosmos_handler.memory.usual import usual_task
from cosmos_handler.messages.machine import Machine, MemoryWish
from cosmos_handler.messages.tasks import Answer, Continue, Generate, Generation, Omni, Task, Transfer

# As many frames as a VAE here folds into a latent one, or into tokens; videos have so many times that, and one.
_FRAMES_PER_LATENT, _FRAMES_PER_TOKEN = 4, 8
_SIDE_PIXELS = 16
_ANY_HOST_BYTES = 2**50


@dataclass(frozen=True)
class Request:
    """What is asked for; None is the model's usual."""

    frames: int | None = None
    height: int | None = None
    width: int | None = None
    steps: int | None = None
    guidance: float | None = None


class BadRequest(Exception):
    """A request that this kind of model cannot have."""


@dataclass(frozen=True)
class Model:
    """A model that plans can be made for. others: those that would be loaded beside it. kind: of ones not served.

    batch_size: how many requests that are alike are planned for together.
    """

    name: str
    others: tuple[Checkpoint, ...]
    guardrails: Guardrails
    checkpoint: Checkpoint | None = None
    kind: CatalogueModel | None = None
    batch_size: int = 1

    def task(self, request: Request) -> Task:
        """Its usual task with what is asked for. Raises BadRequest."""
        if self.batch_size > 1 and (self.checkpoint is None or not can_share(self.checkpoint)):
            raise BadRequest(f"{self.name} makes one at a time: autoregressive models alone make several together")
        if self.checkpoint is not None:
            limits = self.checkpoint.generation
            return _changed(usual_task(self.checkpoint), request, limits.max_frames if limits else None)
        if self.kind is None or self.kind.request is None:
            raise AssertionError(f"{self.name} has no usual request: this is a bug")
        return _changed(_usual_of(self.kind.request), request, None)

    def plan(self, task: Task, machine: Machine, wish: MemoryWish) -> Plan:
        """Raises NothingFits."""
        if self.checkpoint is not None:
            house = House(self.others, self.guardrails, machine, wish, {})
            return plan_for(task, self.name, house, batch_size=self.batch_size)
        if self.kind is None or self.kind.request is None or not isinstance(task, Generation):
            raise AssertionError(f"{self.name} cannot be planned: this is a bug")
        parts = self.kind.part_sheets()
        stages = self.kind.stages(_wanted_of(self.kind.request, task))
        return choose(tuple(parts), tuple(stages), machine, rules_for(wish, parts))


@dataclass(frozen=True)
class Verdict:
    """Whether a request can be done. plan: the one for it, or the one that lacks least. nearest: what would do.

    host_bytes: memory of a host on which it could be done as it is. is_slow: it fits, and takes too long.
    """

    model: Model
    task: Task
    plan: Plan
    problem: str | None = None
    nearest: Task | None = None
    host_bytes: int | None = None
    is_slow: bool = False

    @property
    def fits(self) -> bool:
        """Whether nothing is in the way."""
        return self.problem is None


def judge(
    model: Model, task: Task, machine: Machine, wish: MemoryWish, *, window_seconds: float | None = None
) -> Verdict:
    """A request on a machine, within a time."""

    def possible(smaller: Task) -> bool:
        plan = model.plan(smaller, machine, wish)
        return window_seconds is None or plan.seconds <= window_seconds

    try:
        plan = model.plan(task, machine, wish)
    except NothingFits as error:
        nearest, host_bytes = _nearest(model, task, possible), _host_bytes(model, task, machine, wish)
        return Verdict(model, task, error.closest, error.problem, nearest, host_bytes)
    if window_seconds is not None and plan.seconds > window_seconds:
        problem = f"it takes about {plan.seconds:.0f} s, and has {window_seconds:.0f} s"
        return Verdict(model, task, plan, problem, _nearest(model, task, possible), is_slow=True)
    return Verdict(model, task, plan)


def public_models(name: str = "") -> list[Model]:
    """The public models with a name in theirs; the very one where there is one. NVIDIA's name may stand before it."""
    wanted = name.lower().removeprefix("nvidia/")
    known = catalogue_models()
    exact = [model for model in known.values() if model.name.lower() == wanted]
    return [_public(model) for model in exact or known.values() if wanted in model.name.lower()]


def models_of(folder: Path) -> tuple[list[Model], str | None]:
    """The models of a folder, and what is to be known of their guardrails. Raises CheckpointError."""
    checkpoints = discover(folder)
    note = None
    try:
        guardrails = find_guardrails(GuardrailWish(CHECKS), folder, checkpoints)
    except GuardrailsIncomplete:
        guardrails = guardrails_of_catalogue()
        note = "the folder has no whole guardrails: planned with the published ones"
    return [Model(each.name, checkpoints, guardrails, checkpoint=each) for each in checkpoints], note


def fields_of(task: Task) -> Mapping[str, Any]:
    """A task's size for a program."""
    if isinstance(task, Answer):
        media = task.turns[0].pieces[0].media
        size = {} if media is None else {"frames": media.num_frames, "height": media.height, "width": media.width}
        return {**size, "max_tokens": task.max_tokens or task.default_max_tokens}
    frames = task.num_frames_per_chunk if isinstance(task, Transfer) else task.num_frames
    chunks = task.num_chunks if isinstance(task, Generate | Continue) else 1
    return {
        "frames": frames,
        **({"chunks": chunks} if chunks > 1 else {}),
        "height": task.height,
        "width": task.width,
        "steps": task.num_steps,
        "guidance": task.guidance,
    }


def _public(model: CatalogueModel) -> Model:
    checkpoint = model.checkpoint
    guardrails = guardrails_of_catalogue()
    if checkpoint is not None and checkpoint.generation is None:
        guardrails = Guardrails(path="", checks=(), parts=())
    others = () if checkpoint is None else (checkpoint,)
    return Model(model.name, others, guardrails, checkpoint=checkpoint, kind=model)


def _nearest(model: Model, task: Task, possible: Any) -> Task | None:
    return nearest_task(task, possible)


def _host_bytes(model: Model, task: Task, machine: Machine, wish: MemoryWish) -> int | None:
    """How much host memory would do; None where no host helps."""
    try:
        plan = model.plan(task, machine.model_copy(update={"host_bytes": _ANY_HOST_BYTES}), wish)
    except NothingFits:
        return None
    return host_total_bytes(plan.host_bytes)


def _usual_of(wanted: Wanted) -> Generate:
    """A task of the size of what such a model is usually asked for."""
    return Generate(
        prompt="",
        negative_prompt=None,
        seed=0,
        guidance=7.0 if wanted.passes > 1 else 1.0,
        num_steps=wanted.num_steps,
        num_frames=wanted.num_frames,
        num_output_frames=wanted.num_frames,
        height=wanted.height,
        width=wanted.width,
        fps=24.0,
        encoding="mp4",
        inference_type="text2world",
        media=None,
        num_latent_conditional_frames=0,
    )


def _wanted_of(usual: Wanted, task: Generation) -> Wanted:
    return replace(
        usual,
        num_frames=task.num_frames,
        height=task.height,
        width=task.width,
        num_steps=task.num_steps,
        passes=2 if task.guidance > 1.0 else 1,
    )


def _changed(task: Task, request: Request, most_frames: int | None) -> Task:
    if isinstance(task, Answer):
        return _asked(task, request)
    sides = request.height or task.height, request.width or task.width
    if any(side % _SIDE_PIXELS for side in sides):
        raise BadRequest(f"both sides of a video are multiples of {_SIDE_PIXELS} pixels")
    if isinstance(task, Continue) and sides != (task.height, task.width):
        raise BadRequest(f"it makes videos of {task.width}x{task.height} alone")
    update: dict[str, Any] = {"height": sides[0], "width": sides[1]}
    if isinstance(task, Transfer):
        update |= {"output_height": sides[0], "output_width": sides[1]}
    if request.steps is not None:
        update["num_steps"] = request.steps
    if request.guidance is not None:
        update["guidance"] = request.guidance
    return _with_frames(task.model_copy(update=update), request.frames, most_frames)


def _with_frames(task: Generate | Transfer | Omni | Continue, frames: int | None, most: int | None) -> Task:
    """As the server makes them: longer ones in chunks, where the family has them. most: that one chunk can have."""
    if frames is None:
        return task
    folded = _FRAMES_PER_TOKEN if isinstance(task, Continue) else _FRAMES_PER_LATENT
    made = -(-(frames - 1) // folded) * folded + 1
    if isinstance(task, Continue) and frames <= task.num_input_frames:
        raise BadRequest(f"its first {task.num_input_frames} frames are those that are given: ask for more")
    update = {"num_frames": made, "num_output_frames": frames}
    if isinstance(task, Transfer):
        update |= {"num_frames": frames, "num_frames_per_chunk": min(made, task.num_frames_per_chunk)}
    elif most is not None and made > most:
        if not isinstance(task, Generate | Continue):
            raise BadRequest(f"it makes {most} frames at the most")
        fresh = task.num_frames - task.chunk_overlap
        update |= {"num_frames": task.num_frames, "num_chunks": 1 - (task.num_frames - frames) // fresh}
    return task.model_copy(update=update)


def _asked(task: Answer, request: Request) -> Answer:
    """A question about a clip of another size."""
    if request.steps is not None or request.guidance is not None:
        raise BadRequest("a reasoner takes no steps and has no guidance")
    turn = task.turns[0]
    pieces = []
    for piece in turn.pieces:
        media = piece.media
        if media is not None:
            frames = request.frames or media.num_frames
            media = replace(
                media,
                num_frames=frames,
                source_num_frames=frames,
                indices=tuple(range(frames)),
                height=request.height or media.height,
                width=request.width or media.width,
            )
        pieces.append(piece.model_copy(update={"media": media}))
    turns = (turn.model_copy(update={"pieces": tuple(pieces)}), *task.turns[1:])
    return task.model_copy(update={"turns": turns})


def names_like(models: Sequence[Model]) -> str:
    """For a message."""
    return ", ".join(model.name for model in models)
