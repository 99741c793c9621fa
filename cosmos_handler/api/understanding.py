"""From a body to an invocation, OpenAI's ways of saying things about a video included."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cosmos_handler.artifacts.defaults import generation_defaults, given
from cosmos_handler.engine.engine import Engine
from cosmos_handler.errors import InvalidField, UnknownModel
from cosmos_handler.media.sniff import HEAD_BYTES, media_kind
from cosmos_handler.schemas.invocation import Invocation, parse
from cosmos_handler.schemas.served import Served
from cosmos_handler.schemas.unfolding import as_written
from cosmos_handler.schemas.upload import Upload

_REFERENCE = "input_reference"


def understand(
    engine: Engine, body: Mapping[str, Any], uploads: Mapping[str, Upload], *, strict: bool = True
) -> Invocation:
    """The invocation that a body of any face means. Raises InvalidField, and NotLocated before models are known."""
    return _understand(engine, engine.served, body, uploads, strict=strict)


def understand_picture(
    engine: Engine, body: Mapping[str, Any], uploads: Mapping[str, Upload], *, strict: bool = True
) -> Invocation:
    """The same for a face that makes only pictures and videos, so that a prompt alone is no question."""
    makers = []
    for model in engine.served:
        tasks = tuple(task for task in model.tasks if task != "reasoner")
        if tasks:
            makers.append(replace(model, tasks=tasks))
        elif model.answers_to(str(body.get("model"))):
            raise UnknownModel("model", f"{model.name} answers in words", allowed="/v1/chat/completions")
    if not makers:
        names = ", ".join(model.name for model in engine.served)
        raise UnknownModel("model", "is none that makes pictures or videos", allowed=f"/v1/chat/completions: {names}")
    return _understand(engine, makers, body, uploads, strict=strict)


def _understand(
    engine: Engine, models: Sequence[Served], body: Mapping[str, Any], uploads: Mapping[str, Upload], *, strict: bool
) -> Invocation:
    flat = dict(body)
    words = _reference_by_kind(flat, uploads)
    seconds = flat.pop("seconds", None)
    try:
        invocation = parse(flat, models=models, uploads=uploads, strict=strict)
        if seconds is not None:
            # The rate is the request's or the model's own, which is known only now.
            words["num_frames"] = "seconds"
            flat["num_frames"] = round(_seconds(seconds) * _fps(engine, invocation))
            invocation = parse(flat, models=models, uploads=uploads, strict=strict)
    except InvalidField as error:
        raise as_written(error, words) from None
    if not words:
        return invocation
    spelling = {name: words.get(word, word) for name, word in invocation.spelling.items()}
    return replace(invocation, spelling=spelling)


def _reference_by_kind(flat: dict[str, Any], uploads: Mapping[str, Upload]) -> dict[str, str]:
    """OpenAI's `input_reference` as an image or a video, whichever its bytes say, where the task does not say it."""
    reference = flat.get(_REFERENCE)
    if isinstance(reference, dict):
        if set(reference) != {"image_url"}:
            raise InvalidField(
                _REFERENCE, "is not a reference that is read here", allowed='a file, or {"image_url": …}'
            )
        reference = reference["image_url"]
    if not isinstance(reference, str):
        return {}
    flat[_REFERENCE] = reference
    if flat.keys() & {"inference_type", "model_mode", "image", "video"}:
        return {}
    upload = uploads.get(reference)
    kind = media_kind(_head(reference) if upload is None else upload.head(HEAD_BYTES))
    if kind is None:
        return {}
    flat[kind] = flat.pop(_REFERENCE)
    return {kind: _REFERENCE}


def _head(reference: str) -> bytes:
    """The first bytes of a data: URL or of base64; none where it is neither."""
    start = reference.find(",", 0, 1024) + 1 if reference.startswith("data:") else 0
    try:
        return base64.b64decode(reference[start : start + 4 * HEAD_BYTES], validate=True)
    except ValueError:  # binascii.Error, and another one for letters outside ASCII
        return b""


def _seconds(value: Any) -> float:
    try:
        seconds = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else 0.0
    except (ValueError, OverflowError):  # the second for a whole number of 400 digits
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise InvalidField("seconds", f"is {str(value)[:100]!r}", allowed="a number above 0, up to 3600")
    return seconds


def _fps(engine: Engine, invocation: Invocation) -> float:
    if invocation.task == "reasoner":
        raise InvalidField("seconds", "does not go with a question", allowed="leave it out")
    if invocation.task == "transfer":  # whose rate is the input's, which is not known before it is decoded
        raise InvalidField(
            "seconds", "does not go with a transfer, which is as long as its input", allowed="max_frames"
        )
    checkpoint = next(each for each in engine.checkpoints if each.name == invocation.model.name)
    asked: float | None = getattr(invocation.request, "fps", None)
    return given(asked, generation_defaults(checkpoint.family, invocation.task).fps)
