"""From a request for a video to its task: numbers held against the checkpoint first, then the medium decoded."""

from dataclasses import dataclass
from typing import Literal

from cosmos_handler.artifacts.checkpoint import Checkpoint, GenerationLimits
from cosmos_handler.artifacts.defaults import Size, generation_defaults, given
from cosmos_handler.engine.chunking import plan_chunks
from cosmos_handler.engine.inbox import Inbox
from cosmos_handler.errors import InvalidField
from cosmos_handler.media.clip import MediaFile
from cosmos_handler.media.wanted import LastFrames, WantedImage
from cosmos_handler.messages.tasks import Generate
from cosmos_handler.schemas.generation import GenerationRequest
from cosmos_handler.schemas.invocation import Invocation

Encoding = Literal["mp4", "png", "npz"]


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
    limits = checkpoint.generation
    if limits is None:
        raise AssertionError(f"{checkpoint.name} makes videos but has no limits: this is a bug")
    kind = _KINDS[invocation.task]
    defaults = generation_defaults(checkpoint.family, invocation.task)
    height, width = _size(invocation, request, limits, defaults.size)
    num_output_frames = given(request.num_output_frames, min(defaults.num_frames, limits.max_frames))
    chunks = plan_chunks(invocation, request, defaults, limits, num_output_frames)
    latent_frames = _latent_conditional_frames(invocation, request, kind)
    _leave_room(invocation, request, latent_frames, limits, num_output_frames)
    lora = _lora(invocation, request, checkpoint)
    media = await _conditioning(invocation, request, kind, latent_frames, inbox)
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
        height=height,
        width=width,
        fps=given(request.fps, defaults.fps),
        encoding=encoding,
    )


def _size(
    invocation: Invocation, request: GenerationRequest, limits: GenerationLimits, default: Size
) -> tuple[int, int]:
    if (request.height is None) != (request.width is None):
        missing = "height" if request.height is None else "width"
        raise InvalidField(missing, "is needed when the other side is given")
    if request.height is not None and request.resolution is not None:
        raise InvalidField("height", f"cannot be given together with {invocation.written('resolution')}")
    if request.resolution is not None:
        name = invocation.written("resolution")
        height, width = (int(side) for side in request.resolution.split(","))
    elif request.height is not None and request.width is not None:
        name, height, width = "", request.height, request.width
    else:
        return min(default.height, limits.max_height), min(default.width, limits.max_width)
    step = limits.size_multiple
    for side, length, most in (("height", height, limits.max_height), ("width", width, limits.max_width)):
        if length % step or not step <= length <= most:
            raise InvalidField(
                name or invocation.written(side),
                f"has a {side} of {length}",
                allowed=f"multiples of {step}, {step} to {most}",
            )
    return height, width


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


async def _conditioning(
    invocation: Invocation, request: GenerationRequest, kind: _Kind, latent_frames: int, inbox: Inbox
) -> MediaFile | None:
    for name in ("input_path", "image", "video"):
        if getattr(request, name) is not None and name not in (kind.medium, "input_path" if kind.medium else None):
            raise InvalidField(invocation.written(name), f"does not go with {kind.name}", allowed="leave it out")
    if kind.medium is None:
        return None
    direct = request.image if request.image is not None else request.video
    reference = direct if direct is not None else request.input_path
    if reference is None:
        raise InvalidField("input_path", f"is needed for {kind.name}", allowed=f"the {kind.medium} to continue from")
    written = invocation.written("input_path" if direct is None else kind.medium)
    # The pipeline conditions on the end of a clip: one frame, then four for each further latent frame.
    wanted = WantedImage() if kind.medium == "image" else LastFrames(count=4 * (latent_frames - 1) + 1)
    return await inbox.bring(reference, {kind.medium: wanted}, field=written)
