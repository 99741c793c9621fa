"""What a body on `/invocations` is: told by its shape, never by trying one parser after the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cosmos_handler.errors import InvalidField
from cosmos_handler.schemas.fields import fold_aliases, validate
from cosmos_handler.schemas.generation import ALIASES, GenerationRequest
from cosmos_handler.schemas.reasoning import CHAT_ALIASES, PROMPT_ALIASES, ChatRequest, ReasoningRequest

AnyRequest = GenerationRequest | ReasoningRequest | ChatRequest
Purpose = Literal["generation", "reasoning"]

_GENERATION_NAMES = frozenset(GenerationRequest.model_fields) | frozenset(ALIASES)
_REASONING_NAMES = frozenset(ReasoningRequest.model_fields) | frozenset(PROMPT_ALIASES)
_GENERATION_ONLY = _GENERATION_NAMES - _REASONING_NAMES
_REASONING_ONLY = _REASONING_NAMES - _GENERATION_NAMES


@dataclass(frozen=True)
class Invocation:
    """A parsed body: the request, the client's spelling of its fields, and the files that came with it."""

    request: AnyRequest
    spelling: Mapping[str, str] = field(default_factory=dict)
    uploads: Mapping[str, bytes] = field(default_factory=dict)

    def written(self, name: str) -> str:
        """The client's own word for a field of ours."""
        return self.spelling.get(name, name)


def parse(
    body: Mapping[str, Any],
    *,
    purpose_of_model: Mapping[str | None, Purpose | None],
    uploads: Mapping[str, bytes] | None = None,
    strict: bool = True,
) -> Invocation:
    """Recognise and validate a body.

    purpose_of_model: what each loaded model is for, by name and alias; under None what a request that names no model
    must mean, or None where that is open.
    strict: False for forms, whose values are all text.
    Raises InvalidField.
    """
    given = uploads or {}
    if "messages" in body:
        folded, spelling = fold_aliases(body, CHAT_ALIASES)
        return Invocation(validate(ChatRequest, folded, spelling=spelling, strict=strict), spelling, given)
    if _purpose(body, purpose_of_model) == "reasoning":
        folded, spelling = fold_aliases(body, PROMPT_ALIASES)
        asked = validate(ReasoningRequest, folded, spelling=spelling, strict=strict)
        _one_medium(asked, spelling)
        return Invocation(asked, spelling, given)
    folded, spelling = fold_aliases(body, ALIASES)
    wanted = validate(GenerationRequest, folded, spelling=spelling, strict=strict)
    _one_medium(wanted, spelling)
    return Invocation(wanted, spelling, given)


def _purpose(body: Mapping[str, Any], purpose_of_model: Mapping[str | None, Purpose | None]) -> Purpose:
    kind = body.get("inference_type", body.get("model_mode"))
    if kind is not None:
        return "reasoning" if kind == "reasoner" else "generation"
    if _GENERATION_ONLY & body.keys():
        return "generation"
    if _REASONING_ONLY & body.keys():
        return "reasoning"
    model = body.get("model")
    purpose = purpose_of_model.get(model if isinstance(model, str) else None, purpose_of_model.get(None))
    if purpose is None:
        raise InvalidField(
            "inference_type",
            "is needed, because the loaded models can both make a video and answer a question",
            allowed="text2world, image2world, video2world, reasoner",
        )
    return purpose


def _one_medium(request: GenerationRequest | ReasoningRequest, spelling: Mapping[str, str]) -> None:
    media = [name for name in ("input_path", "image", "video") if getattr(request, name) is not None]
    if len(media) > 1:
        first, second = (spelling.get(name, name) for name in media[:2])
        raise InvalidField(second, f"cannot be given together with {first}", allowed="one image or one video")
