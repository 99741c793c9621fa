"""Which model and which task a body means, told from its shape before it is validated as one request or another."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal

from cosmos_handler.errors import InvalidField, UnknownModel
from cosmos_handler.schemas.served import Served

CONTROLS = ("edge", "vis", "blur", "depth", "seg")

# One idea under the words of two generations: whichever the client says, the model's own is what runs.
_TWINS = {
    "text2world": "text2video",
    "image2world": "image2video",
    "video2world": "video2video",
}
_SPELLINGS: Mapping[str, tuple[str, str]] = {name: pair for pair in _TWINS.items() for name in pair}
_BY_MEDIUM: Mapping[str, tuple[str, ...]] = {
    "nothing": ("text2world", "text2video", "text2image"),
    "image": ("image2world", "image2video"),
    "video": ("video2world", "video2video"),
}

# What a reference says of itself: the type of a data: URL, or the ending of a name, which is what NVIDIA goes by.
_KINDS: tuple[tuple[Literal["image", "video"], tuple[str, ...], tuple[str, ...]], ...] = (
    ("image", ("data:image/",), (".png", ".jpg", ".jpeg", ".webp")),
    ("video", ("data:video/",), (".mp4",)),
)

Purpose = Literal["generation", "reasoning"]


@dataclass(frozen=True)
class Choice:
    """A model and one of its tasks."""

    model: Served
    task: str


def choose(
    body: Mapping[str, Any],
    models: Sequence[Served],
    *,
    generation_names: Set[str],
    reasoning_names: Set[str],
    media_names: Set[str],
) -> Choice:
    """The model and the task that a body asks for.

    generation_names, reasoning_names: fields, aliases included, that only one of the two kinds of request has.
    media_names: fields that carry an image or a video without saying which.
    Raises UnknownModel where no model has the name or can do the task, and InvalidField where the body leaves it open.
    """
    named = _named(body, models)
    tasks, wish = _tasks(body, named, generation_names, reasoning_names, media_names)
    able = [(model, task) for model in named for task in tasks if task in model.tasks]
    if not able:
        _refuse(body, named, models, wish)
    chosen, task = able[0]
    rivals = sorted({model.name for model, _ in able})
    if len(rivals) > 1:
        raise UnknownModel("model", f"is needed, because several models can do {task}", allowed=", ".join(rivals))
    return Choice(chosen, task)


def _named(body: Mapping[str, Any], models: Sequence[Served]) -> Sequence[Served]:
    name = body.get("model")
    if name is None or name == "":  # OpenAI's clients must send one, and SageMaker's samples send an empty one
        return models
    if not isinstance(name, str):
        raise InvalidField("model", "is not text", allowed="name or alias of a loaded model")
    named = [model for model in models if model.answers_to(name)]
    if not named:
        raise UnknownModel("model", f"there is no model {name[:100]!r}", allowed=_everything(models))
    return named


def _tasks(
    body: Mapping[str, Any],
    models: Sequence[Served],
    generation_names: Set[str],
    reasoning_names: Set[str],
    media_names: Set[str],
) -> tuple[Sequence[str], str]:
    """The tasks that would do, the best first, and what to call them in a refusal."""
    if "messages" in body:
        return ("reasoner",), "reasoner"
    key = "model_mode" if "model_mode" in body else "inference_type"
    kind = body.get(key)
    if isinstance(kind, str):
        return _SPELLINGS.get(kind, (kind,)), kind[:100]
    if kind is not None:
        raise InvalidField(key, "is not text", allowed=_tasks_of(models))
    if any(body.get(control) is not None for control in CONTROLS):
        return ("transfer",), "transfer"
    if _purpose(body, models, generation_names, reasoning_names) == "reasoning":
        return ("reasoner",), "reasoner"
    if all(model.tasks == ("transfer",) for model in models):
        return ("transfer",), "transfer"
    medium = _medium(body, models, media_names)
    if medium == "nothing" and all(model.family == "autoregressive" for model in models):
        medium = "video"  # which they go on from: its absence is a fault of its own, told by its field
    tasks = _BY_MEDIUM[medium]
    if medium == "nothing" and 1 in (body.get("num_frames"), body.get("num_output_frames")):
        tasks = ("text2image", *tasks)  # as NVIDIA's framework takes a single frame, where a model makes pictures
    return tasks, tasks[0]


def _medium(
    body: Mapping[str, Any], models: Sequence[Served], media_names: Set[str]
) -> Literal["nothing", "image", "video"]:
    if body.get("image") is not None:
        return "image"
    if body.get("video") is not None:
        return "video"
    for name in sorted(media_names & body.keys()):
        reference = body[name]
        if reference is None:
            continue
        text = reference if isinstance(reference, str) else ""
        for kind, types, endings in _KINDS:
            if text.startswith(types) or _ending(text).endswith(endings):
                return kind
        raise InvalidField("inference_type", f"is needed with {name}", allowed=_tasks_of(models))
    return "nothing"


def _ending(reference: str) -> str:
    """The last letters of a name or of an address, whose query may hold a signature."""
    if reference[:8].lower().startswith(("https://", "http://")):
        reference = reference.partition("#")[0].partition("?")[0]
    return reference[-10:].lower()


def _purpose(
    body: Mapping[str, Any], models: Sequence[Served], generation_names: Set[str], reasoning_names: Set[str]
) -> Purpose:
    if generation_names & body.keys():
        return "generation"
    if reasoning_names & body.keys():
        return "reasoning"
    reasons = {task == "reasoner" for model in models for task in model.tasks}
    if len(reasons) > 1:
        raise InvalidField(
            "inference_type",
            "is needed, because both a video and an answer in words can be had here",
            allowed=_tasks_of(models),
        )
    return "reasoning" if reasons == {True} else "generation"


def _refuse(body: Mapping[str, Any], named: Sequence[Served], models: Sequence[Served], wish: str) -> None:
    if body.get("model"):
        raise UnknownModel("model", f"{named[0].name} cannot do {wish}", allowed=", ".join(named[0].tasks))
    field = "model_mode" if "model_mode" in body else "inference_type"
    raise UnknownModel(field, f"no model here can do {wish}", allowed=_everything(models))


def _tasks_of(models: Sequence[Served]) -> str:
    return ", ".join(dict.fromkeys(task for model in models for task in model.tasks))


def _everything(models: Sequence[Served]) -> str:
    return "; ".join(f"{model.name}: {', '.join(model.tasks)}" for model in models)
