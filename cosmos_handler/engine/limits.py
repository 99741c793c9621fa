"""A request's size held against what the checkpoint can make."""

from cosmos_handler.artifacts.checkpoint import Checkpoint, GenerationLimits
from cosmos_handler.artifacts.defaults import Size
from cosmos_handler.errors import InvalidField
from cosmos_handler.schemas.autoregressive import ContinueRequest
from cosmos_handler.schemas.generation import GenerationRequest
from cosmos_handler.schemas.invocation import Invocation
from cosmos_handler.schemas.omni import OmniRequest


def limits_of(checkpoint: Checkpoint) -> GenerationLimits:
    """What a checkpoint that makes pictures can make."""
    if checkpoint.generation is None:
        raise AssertionError(f"{checkpoint.name} makes videos but has no limits: this is a bug")
    return checkpoint.generation


def sides(
    invocation: Invocation,
    request: GenerationRequest | OmniRequest | ContinueRequest,
    *,
    instead_of: tuple[str, ...],
) -> Size | None:
    """The size in height and width, None where they are not given.

    instead_of: fields that say the same. Raises InvalidField for one side alone, and beside one of those.
    """
    if (request.height is None) != (request.width is None):
        missing = "height" if request.height is None else "width"
        raise InvalidField(missing, "is needed when the other side is given")
    if request.height is None or request.width is None:
        return None
    for other in instead_of:
        if getattr(request, other) is not None:
            raise InvalidField("height", f"cannot be given together with {invocation.written(other)}")
    return Size(request.height, request.width)


def size_of(text: str) -> Size:
    """A size that was written "H,W"."""
    height, width = (int(side) for side in text.split(","))
    return Size(height, width)


def inside(size: Size, limits: GenerationLimits, invocation: Invocation, *, field: str | None) -> Size:
    """The size, where it is one that can be made. Raises InvalidField.

    field: of ours, in which the size was given whole; None where each side has a field of its own.
    """
    step = limits.size_multiple
    for side, length, most in (("height", size.height, limits.max_height), ("width", size.width, limits.max_width)):
        if length % step or not step <= length <= most:
            allowed = f"multiples of {step}, {step} to {most}"
            raise InvalidField(invocation.written(field or side), f"has a {side} of {length}", allowed=allowed)
    return size
