"""From a request for a video to its task: numbers held against the checkpoint first, then the medium decoded."""

from typing import Literal

from cosmos_handler.artifacts.checkpoint import Checkpoint, GenerationLimits
from cosmos_handler.engine.inbox import Inbox
from cosmos_handler.errors import InvalidField
from cosmos_handler.media.clip import MediaFile
from cosmos_handler.media.wanted import LastFrames, WantedImage
from cosmos_handler.messages.tasks import Generate
from cosmos_handler.schemas.generation import GenerationRequest, InferenceType
from cosmos_handler.schemas.invocation import Invocation

Encoding = Literal["mp4", "npz"]

# NVIDIA's 720p, which "resolution": "none" stands for.
_DEFAULT_HEIGHT, _DEFAULT_WIDTH = 704, 1280


def inference_type(invocation: Invocation, request: GenerationRequest) -> InferenceType:
    """text2world, image2world or video2world, as said or as the media say. Raises InvalidField."""
    if request.inference_type is not None:
        kind = request.inference_type
    elif request.input_path is not None:
        raise InvalidField(
            "inference_type",
            f"is needed with {invocation.written('input_path')}",
            allowed="image2world or video2world",
        )
    else:
        kind = "image2world" if request.image else "video2world" if request.video else "text2world"
    wrong = {"text2world": ("input_path", "image", "video"), "image2world": ("video",), "video2world": ("image",)}[kind]
    for name in wrong:
        if getattr(request, name) is not None:
            raise InvalidField(invocation.written(name), f"does not go with {kind}", allowed="leave it out")
    return kind


async def generation_task(
    invocation: Invocation, request: GenerationRequest, checkpoint: Checkpoint, inbox: Inbox, encoding: Encoding
) -> Generate:
    limits = checkpoint.generation
    if limits is None:
        raise AssertionError(f"{checkpoint.name} makes videos but has no limits: this is a bug")
    kind = inference_type(invocation, request)
    height, width = _size(invocation, request, limits)
    if request.num_output_frames > limits.max_frames:
        raise InvalidField(
            invocation.written("num_output_frames"),
            f"is {request.num_output_frames}, more than {checkpoint.name} can make",
            allowed=f"1 to {limits.max_frames}",
        )
    latent_frames = _latent_conditional_frames(invocation, request, kind)
    media = await _conditioning(invocation, request, kind, latent_frames, inbox)
    return Generate(
        inference_type=kind,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        media=media,
        num_latent_conditional_frames=latent_frames,
        seed=request.seed,
        guidance=request.guidance,
        num_steps=request.num_steps,
        num_frames=_makeable(request.num_output_frames, limits),
        num_output_frames=request.num_output_frames,
        height=height,
        width=width,
        fps=request.fps,
        encoding=encoding,
    )


def _makeable(num_frames: int, limits: GenerationLimits) -> int:
    """The next count that the VAE can make: 4k+1."""
    factor = limits.temporal_factor
    return -(-(num_frames - 1) // factor) * factor + 1


def _size(invocation: Invocation, request: GenerationRequest, limits: GenerationLimits) -> tuple[int, int]:
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
        return min(_DEFAULT_HEIGHT, limits.max_height), min(_DEFAULT_WIDTH, limits.max_width)
    step = limits.size_multiple
    for side, length, most in (("height", height, limits.max_height), ("width", width, limits.max_width)):
        if length % step or not step <= length <= most:
            raise InvalidField(
                name or side, f"has a {side} of {length}", allowed=f"multiples of {step}, {step} to {most}"
            )
    return height, width


def _latent_conditional_frames(invocation: Invocation, request: GenerationRequest, kind: InferenceType) -> int:
    possible = {"text2world": (0,), "image2world": (1,), "video2world": (2, 1)}[kind]
    if request.num_input_frames is None:
        return possible[0]
    if request.num_input_frames not in possible:
        words = " or ".join(str(number) for number in sorted(possible))
        raise InvalidField(
            invocation.written("num_input_frames"), f"is {request.num_input_frames} with {kind}", allowed=words
        )
    return request.num_input_frames


async def _conditioning(
    invocation: Invocation, request: GenerationRequest, kind: InferenceType, latent_frames: int, inbox: Inbox
) -> MediaFile | None:
    if kind == "text2world":
        return None
    name = "image" if kind == "image2world" else "video"
    reference = getattr(request, name) or request.input_path
    if not reference:
        raise InvalidField("input_path", f"is needed for {kind}", allowed=f"the {name} to continue from")
    written = name if getattr(request, name) else invocation.written("input_path")
    # The pipeline conditions on the end of a clip: one frame, then four for each further latent frame.
    wanted = WantedImage() if name == "image" else LastFrames(count=4 * (latent_frames - 1) + 1)
    return await inbox.bring(reference, {name: wanted}, field=written)
