"""A video in one piece, or in chunks that go on from each other."""

from dataclasses import dataclass

from cosmos_handler.artifacts.checkpoint import GenerationLimits
from cosmos_handler.artifacts.defaults import GenerationDefaults, given
from cosmos_handler.errors import InvalidField
from cosmos_handler.schemas.generation import GenerationRequest
from cosmos_handler.schemas.invocation import Invocation

# One and two latent frames of the VAE, which is what the pipeline can go on from. NVIDIA's own loop takes the number
# for latent frames, so that with 5 it conditions on frames that nothing has filled.
_OVERLAPS = (1, 5)
# Two minutes at 16 frames per second: as 720p pixels already five gigabytes of the host's memory.
MAX_LONG_FRAMES = 1920


@dataclass(frozen=True)
class Chunks:
    """`count` times `num_frames`, the last `overlap` of each being the first of the next."""

    num_frames: int
    count: int = 1
    overlap: int = 1


def plan_chunks(
    invocation: Invocation,
    request: GenerationRequest,
    defaults: GenerationDefaults,
    limits: GenerationLimits,
    num_output_frames: int,
) -> Chunks:
    """The pieces that a request's frames are made in. Raises InvalidField."""
    if defaults.chunk_size is None or defaults.chunk_overlap is None:
        raise AssertionError("the table has no chunks for this task: this is a bug")
    if not request.enable_autoregressive:
        _refuse_unused(invocation, request, defaults)
        hold_frames(invocation, num_output_frames, limits.max_frames)
        return Chunks(makeable(num_output_frames, limits))
    hold_frames(invocation, num_output_frames, max(MAX_LONG_FRAMES, limits.max_frames))
    size = given(request.chunk_size, min(defaults.chunk_size, limits.max_frames))
    overlap = given(request.chunk_overlap, defaults.chunk_overlap)
    if overlap not in _OVERLAPS:
        words = " or ".join(str(number) for number in _OVERLAPS)
        raise InvalidField(invocation.written("chunk_overlap"), f"is {overlap}", allowed=words)
    if size != makeable(size, limits) or not overlap < size <= limits.max_frames:
        first = makeable(overlap + 1, limits)
        factor = limits.temporal_factor
        allowed = f"{factor}k+1, {first} to {limits.max_frames}"
        raise InvalidField(invocation.written("chunk_size"), f"is {size}", allowed=allowed)
    # As NVIDIA has it: every chunk is made whole, the last one too, and what is over is dropped at the end.
    further = max(0, num_output_frames - size)
    return Chunks(size, 1 - (-further // (size - overlap)), overlap)


def _refuse_unused(invocation: Invocation, request: GenerationRequest, defaults: GenerationDefaults) -> None:
    for name in ("chunk_size", "chunk_overlap"):
        value = getattr(request, name)
        if value is not None and value != getattr(defaults, name):
            problem = f"is {value}, but nothing is made in chunks without enable_autoregressive"
            allowed = f"leave it out, or say {getattr(defaults, name)}, which is the default"
            raise InvalidField(invocation.written(name), problem, allowed=allowed)


def hold_frames(invocation: Invocation, num_output_frames: int, most: int) -> None:
    """Raise InvalidField for more frames than can be made."""
    if num_output_frames > most:
        problem = f"is {num_output_frames}, more than {invocation.model.name} can make"
        raise InvalidField(invocation.written("num_output_frames"), problem, allowed=f"1 to {most}")


def makeable(num_frames: int, limits: GenerationLimits) -> int:
    """The next count that the VAE can make: 4k+1, or 8k+1 where a token is of 8 frames."""
    factor = limits.temporal_factor
    return -(-(num_frames - 1) // factor) * factor + 1
