"""What a body on `/invocations` is: told by its shape, never by trying one parser after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cosmos_handler.errors import InvalidField
from cosmos_handler.schemas import autoregressive, omni
from cosmos_handler.schemas.choice import choose
from cosmos_handler.schemas.fields import fold_aliases, validate
from cosmos_handler.schemas.generation import ALIASES, GenerationRequest
from cosmos_handler.schemas.reasoning import CHAT_ALIASES, PROMPT_ALIASES, ChatRequest, ReasoningRequest
from cosmos_handler.schemas.served import Served
from cosmos_handler.schemas.transfer import ALIASES as TRANSFER_ALIASES
from cosmos_handler.schemas.transfer import TransferRequest
from cosmos_handler.schemas.unfolding import Unfolded, as_written, take_echo, unfold
from cosmos_handler.schemas.upload import Upload

PictureRequest = GenerationRequest | TransferRequest | omni.OmniRequest | autoregressive.ContinueRequest
AnyRequest = PictureRequest | ReasoningRequest | ChatRequest


@dataclass(frozen=True)
class Shape:
    """One kind of request, and the other names of its fields."""

    request: type[AnyRequest]
    aliases: Mapping[str, str]

    @property
    def names(self) -> frozenset[str]:
        """Every name that a field of it may be written under."""
        return frozenset(self.request.model_fields) | frozenset(self.aliases)


CHAT = Shape(ChatRequest, CHAT_ALIASES)
REASONING = Shape(ReasoningRequest, PROMPT_ALIASES)
# What each family's requests for pictures look like.
GENERATION: Mapping[str, Shape] = {
    "predict2.5": Shape(GenerationRequest, ALIASES),
    "transfer2.5": Shape(TransferRequest, TRANSFER_ALIASES),
    "cosmos3": Shape(omni.OmniRequest, omni.ALIASES),
    "autoregressive": Shape(autoregressive.ContinueRequest, autoregressive.ALIASES),
}

_GENERATION_NAMES = frozenset[str]().union(*(shape.names for shape in GENERATION.values())) - REASONING.names
_MEDIA = ("input_path", "vision_path", "image", "video")
_MEDIA_NAMES = frozenset({"input_path"}) | {
    name
    for aliases in (PROMPT_ALIASES, autoregressive.ALIASES)
    for name, idea in aliases.items()
    if idea == "input_path"
}


@dataclass(frozen=True)
class Invocation:
    """A parsed body: the request, the model and the task it is for, and the files that came with it.

    task: in the words of the model's family, whatever the client wrote.
    spelling: for each field of ours the client's own word.
    echo: the client's own `name` and `extra`, which mean nothing here and are handed back.
    """

    request: AnyRequest
    model: Served
    task: str
    spelling: Mapping[str, str] = field(default_factory=dict)
    uploads: Mapping[str, Upload] = field(default_factory=dict)
    echo: Mapping[str, Any] = field(default_factory=dict)

    def written(self, name: str) -> str:
        """The client's own word for a field of ours."""
        return self.spelling.get(name, name)


def parse(
    body: Mapping[str, Any],
    *,
    models: Sequence[Served],
    uploads: Mapping[str, Upload] | None = None,
    strict: bool = True,
) -> Invocation:
    """Recognise and validate a body.

    models: what is loaded; the body's model and task are chosen among them before its fields are looked at.
    strict: False for forms, whose values are all text.
    Raises InvalidField.
    """
    unfolded = unfold(body, uploads or {}, strict=strict)
    try:
        return _parse_flat(unfolded, models=models, strict=strict)
    except InvalidField as error:
        raise as_written(error, unfolded.words) from None


def _parse_flat(unfolded: Unfolded, *, models: Sequence[Served], strict: bool) -> Invocation:
    flat, words = unfolded.flat, unfolded.words
    echo = {} if "messages" in flat else take_echo(flat)
    chosen = choose(
        flat,
        models,
        generation_names=_GENERATION_NAMES,
        reasoning_names=_reasoning_names(models),
        media_names=_MEDIA_NAMES,
    )
    shape = CHAT if "messages" in flat else REASONING
    if chosen.task != "reasoner":
        shape = GENERATION[chosen.model.family]
    folded, spelling = fold_aliases(flat, shape.aliases)
    request = validate(shape.request, folded, spelling=spelling, strict=strict)
    _one_medium(request, spelling)
    written = {name: words.get(word, word) for name, word in spelling.items()}
    return Invocation(request, chosen.model, chosen.task, written, unfolded.media, echo)


def _reasoning_names(models: Sequence[Served]) -> frozenset[str]:
    """The fields of a question that no request for pictures has here: autoregressive models draw tokens as well."""
    makers = [GENERATION[model.family].names for model in models if model.family in GENERATION]
    return REASONING.names.difference(*makers)


def _one_medium(request: AnyRequest, spelling: Mapping[str, str]) -> None:
    media = [name for name in _MEDIA if getattr(request, name, None) is not None]
    if len(media) > 1:
        first, second = (spelling.get(name, name) for name in media[:2])
        raise InvalidField(second, f"cannot be given together with {first}", allowed="one image or one video")
