"""One spelling for every idea: aliases folded into NVIDIA's names, and pydantic's faults turned into ours."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from cosmos_handler.errors import InvalidField

M = TypeVar("M", bound=BaseModel)


def fold_aliases(body: Mapping[str, Any], aliases: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The body under canonical names, and for each of those the name the client used.

    Raises InvalidField where one idea is given under two names: neither could be preferred without a guess.
    """
    folded: dict[str, Any] = {}
    spelling: dict[str, str] = {}
    for key, value in body.items():
        name = aliases.get(key, key)
        if name in folded:
            raise InvalidField(key, f"means the same as {spelling[name]}, which is given too", allowed="one of the two")
        folded[name] = value
        spelling[name] = key
    return folded, spelling


def validate(model: type[M], body: Mapping[str, Any], *, spelling: Mapping[str, str], strict: bool) -> M:
    """The body as a model; the first fault as an InvalidField in the client's own spelling.

    strict: False for forms, whose values are all text.
    """
    # An unknown key is named first: it is most often the misspelling that explains the other faults. Not left to
    # pydantic, which would collect a fault for each of a million.
    for name in body:
        if name not in model.model_fields:
            known = ", ".join(sorted(model.model_fields))
            raise InvalidField(spelling.get(name, name), "is not a field of this request", allowed=known)
    try:
        return model.model_validate(dict(body), strict=strict)
    except ValidationError as error:
        raise _invalid_field(model, error, body, spelling) from None


def _invalid_field(
    model: type[BaseModel], error: ValidationError, body: Mapping[str, Any], spelling: Mapping[str, str]
) -> InvalidField:
    faults = sorted(error.errors(include_url=False), key=lambda fault: fault["type"] != "extra_forbidden")
    fault = faults[0]
    path = _path(fault["loc"], body)
    path[0] = spelling.get(path[0], path[0])
    if fault["type"] == "value_error":  # raised by a validator of ours: the sentence is already right
        return InvalidField(".".join(path), str(fault["ctx"]["error"]))
    return InvalidField(".".join(path), fault["msg"].lower(), allowed=_allowed(model, path[0], spelling))


def _path(loc: Sequence[int | str], body: Any) -> list[str]:
    """Where in the body a fault is: pydantic's place, less the names of the variants it tried on the way."""
    path = []
    for number, piece in enumerate(loc):
        after = loc[number + 1 : number + 2]
        if _holds(body, piece) and not (after and not _holds(body[piece], after[0]) and _holds(body, after[0])):
            path.append(str(piece))
            body = body[piece]
        elif isinstance(body, Mapping) and not after:  # a field that is missing
            path.append(str(piece))
    return path or ["body"]


def _holds(body: Any, piece: int | str) -> bool:
    if isinstance(body, list):
        return isinstance(piece, int) and piece < len(body)
    return isinstance(body, Mapping) and piece in body


def _allowed(model: type[BaseModel], name: str, spelling: Mapping[str, str]) -> str | None:
    canonical = next((known for known, written in spelling.items() if written == name), name)
    field = model.model_fields.get(canonical)
    return field.description if field else None
