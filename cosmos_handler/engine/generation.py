"""From a request for a video to its task: numbers held against the checkpoint first, then the medium decoded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cosmos_handler.artifacts.checkpoint import Checkpoint, GenerationLimits
from cosmos_handler.artifacts.defaults import Size, generation_defaults, given
from cosmos_handler.engine.chunking import plan_chunks
from cosmos_handler.engine.conditioning import conditioning
from cosmos_handler.engine.inbox import Inbox
from cosmos_handler.engine.limits import inside, limits_of, sides, size_of
from cosmos_handler.errors import InvalidField
from cosmos_handler.media.wanted import LastFrames, Wanted, WantedImage
from cosmos_handler.messages.tasks import Encoding, Generate
from cosmos_handler.schemas.generation import GenerationRequest
from cosmos_handler.schemas.invocation import Invocation


@dataclass(frozen=True)
class _Kind:
    """A task: the medium it goes on from, and how many latent frames of it can be taken, the usual number first."""

    name: Literal["text2world", "image2world", "video2world"]
    medium: Literal["image", "video"] | None
    latent_frames: tuple[int, ...]


_KINDS = {
    "text2world": _Kind("text2world", None, (0,)),
    "image2world": _Kind("image2world", "image", (1,)),
    "video2world": _Kind("video2world", "video", (2, 1)),
}


async def generation_task(
    invocation: Invocation, request: GenerationRequest, checkpoint: Checkpoint, inbox: Inbox, encoding: Encoding
) -> Generate:
    """The task for Predict 2.5. Raises RequestError."""
    limits = limits_of(checkpoint)
    kind = _KINDS[invocation.task]
    defaults = generation_defaults(checkpoint.family, invocation.task)
    size = _size(invocation, request, limits, defaults.size)
    num_output_frames = given(request.num_output_frames, min(defaults.num_frames, limits.max_frames))
    chunks = plan_chunks(invocation, request, defaults, limits, num_output_frames)
    latent_frames = _latent_conditional_frames(invocation, request, kind)
    _leave_room(invocation, request, latent_frames, limits, num_output_frames)
    lora = _lora(invocation, request, checkpoint)
    wanted = _wanted(kind, latent_frames)
    media = await conditioning(invocation, request, inbox, task=kind.name, either="input_path", wanted=wanted)
    return Generate(
        inference_type=kind.name,
        prompt=request.prompt,
        negative_prompt=given(request.negative_prompt, defaults.negative_prompt),
        media=media,
        num_latent_conditional_frames=latent_frames,
        seed=given(request.seed, defaults.seed),
        guidance=given(request.guidance, defaults.guidance),
        num_steps=given(request.num_steps, defaults.num_steps),
        num_frames=chunks.num_frames,
        num_chunks=chunks.count,
        chunk_overlap=chunks.overlap,
        num_output_frames=num_output_frames,
        lora=lora,
        lora_scale=given(request.lora_scale, 1.0),
        height=size.height,
        width=size.width,
        fps=given(request.fps, defaults.fps),
        encoding=encoding,
    )


def _size(invocation: Invocation, request: GenerationRequest, limits: GenerationLimits, default: Size) -> Size:
    size = sides(invocation, request, instead_of=("resolution",))
    if size is not None:
        return inside(size, limits, invocation, field=None)
    if request.resolution is not None:
        return inside(size_of(request.resolution), limits, invocation, field="resolution")
    return Size(min(default.height, limits.max_height), min(default.width, limits.max_width))


def _lora(invocation: Invocation, request: GenerationRequest, checkpoint: Checkpoint) -> str | None:
    names = [lora.name for lora in checkpoint.loras]
    if request.lora is None:
        if request.lora_scale is not None:
            raise InvalidField(invocation.written("lora_scale"), "is given without lora", allowed="leave it out")
        return None
    if request.lora not in names:
        problem = f"{checkpoint.name} has no adapter {request.lora[:100]!r}"
        raise InvalidField(invocation.written("lora"), problem, allowed=", ".join(names) or "leave it out: it has none")
    return request.lora


def _latent_conditional_frames(invocation: Invocation, request: GenerationRequest, kind: _Kind) -> int:
    if request.num_input_frames is None:
        return kind.latent_frames[0]
    if request.num_input_frames not in kind.latent_frames:
        words = " or ".join(str(number) for number in sorted(kind.latent_frames))
        raise InvalidField(
            invocation.written("num_input_frames"), f"is {request.num_input_frames} with {kind.name}", allowed=words
        )
    return request.num_input_frames


def _leave_room(
    invocation: Invocation, request: GenerationRequest, latent_frames: int, limits: GenerationLimits, asked: int
) -> None:
    """Refuse a video with nothing in it but the frames it goes on from, which the pipeline would give back."""
    taken = limits.temporal_factor * (latent_frames - 1) + 1 if latent_frames else 0
    for name, frames in (("num_output_frames", asked), ("chunk_size", request.chunk_size)):
        if frames is not None and frames <= taken:
            problem = f"is {frames}, and the first {taken} are those that the video goes on from"
            raise InvalidField(invocation.written(name), problem, allowed=f"{taken + 1} or more")


def _wanted(kind: _Kind, latent_frames: int) -> Mapping[str, Wanted]:
    """What the video goes on from. The pipeline takes the end of a clip."""
    if kind.medium is None:
        return {}
    # One frame, then four for each further latent frame.
    return {kind.medium: WantedImage() if kind.medium == "image" else LastFrames(count=4 * (latent_frames - 1) + 1)}
