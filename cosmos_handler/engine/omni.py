"""From a request to Cosmos 3 for a picture or a video to its task: numbers first, then the medium decoded."""

from collections.abc import Mapping
from typing import Literal

from cosmos_handler.artifacts import negative_prompts
from cosmos_handler.artifacts.checkpoint import Checkpoint, GenerationLimits
from cosmos_handler.artifacts.defaults import GenerationDefaults, Size, generation_defaults, given
from cosmos_handler.engine.conditioning import conditioning
from cosmos_handler.engine.inbox import Inbox
from cosmos_handler.engine.limits import inside, limits_of, sides, size_of
from cosmos_handler.errors import InvalidField
from cosmos_handler.media.wanted import FirstFrames, LastFrames, Wanted, WantedImage
from cosmos_handler.messages.tasks import Encoding, Metadata, Omni
from cosmos_handler.schemas.invocation import Invocation
from cosmos_handler.schemas.omni import OmniRequest

# Most frames of a size: NVIDIA's numbers for its tiers 256, 480 and all above, each with the area of its largest size.
_MOST_FRAMES = ((320 * 256, 400), (640 * 640, 300))
_MOST_FRAMES_ABOVE = 200
_MEDIUM: dict[str, Literal["image", "video"] | None] = {"image2video": "image", "video2video": "video"}
_CONDITION_FRAMES = {"image": (0,), "video": (0, 1)}

# NVIDIA's framework, defaults/<mode>/sample_args.json.
_DURATION = "The video is {duration:.1f} seconds long and is of {fps:.0f} FPS."
_INVERSE_DURATION = "The video is not {duration:.1f} seconds long and is not of {fps:.0f} FPS."
_RESOLUTION = "This {thing} is of {{height}}x{{width}} resolution."
_INVERSE_RESOLUTION = "This video is not of {height}x{width} resolution."


async def omni_task(
    invocation: Invocation, request: OmniRequest, checkpoint: Checkpoint, inbox: Inbox, encoding: Encoding
) -> Omni:
    """The task for Cosmos 3. Raises RequestError."""
    limits = limits_of(checkpoint)
    mode: Literal["text2image", "text2video", "image2video", "video2video"] = invocation.task  # type: ignore[assignment]
    defaults = generation_defaults(checkpoint.family, mode)
    size = _size(invocation, request, limits, defaults)
    num_output_frames = _frames(invocation, request, size, defaults, image=mode == "text2image")
    num_frames = -(-(num_output_frames - 1) // limits.temporal_factor) * limits.temporal_factor + 1
    condition_frames = _condition_frames(invocation, request, mode, (num_frames - 1) // limits.temporal_factor + 1)
    wanted = _wanted(request, mode, condition_frames, limits)
    return Omni(
        mode=mode,
        prompt=request.prompt,
        negative_prompt=_negative_prompt(invocation, request, defaults),
        media=await conditioning(invocation, request, inbox, task=mode, either="vision_path", wanted=wanted),
        condition_frames=condition_frames,
        seed=given(request.seed, defaults.seed),
        guidance=given(request.guidance, defaults.guidance),
        shift=given(request.shift, defaults.shift or 1.0),
        num_steps=given(request.num_steps, defaults.num_steps),
        num_frames=num_frames,
        num_output_frames=num_output_frames,
        height=size.height,
        width=size.width,
        fps=given(request.fps, defaults.fps),
        metadata=_metadata(request, size, defaults, image=mode == "text2image"),
        use_system_prompt=request.use_system_prompt,
        encoding=encoding,
    )


def _size(invocation: Invocation, request: OmniRequest, limits: GenerationLimits, defaults: GenerationDefaults) -> Size:
    size = sides(invocation, request, instead_of=("resolution", "aspect_ratio"))
    if size is not None:
        return inside(size, limits, invocation, field=None)
    name = invocation.written("resolution")
    tier = given(request.resolution, defaults.resolution)
    if "," not in tier:
        if tier not in defaults.sizes:
            raise InvalidField(name, f"is {tier}", allowed=f'{", ".join(defaults.sizes)}, or "H,W" in pixels')
        return defaults.sizes[tier][given(request.aspect_ratio, defaults.aspect_ratio)]
    if request.aspect_ratio is not None:
        raise InvalidField("aspect_ratio", f"goes with a tier, and {name} is a size in pixels already")
    return inside(size_of(tier), limits, invocation, field="resolution")


def _frames(
    invocation: Invocation, request: OmniRequest, size: Size, defaults: GenerationDefaults, *, image: bool
) -> int:
    asked = given(request.num_frames, defaults.num_frames)
    if image:
        least = most = 1
    else:  # of one frame the pipeline would make a picture, and forget the medium
        area = size.height * size.width
        least, most = 2, next((most for limit, most in _MOST_FRAMES if area <= limit), _MOST_FRAMES_ABOVE)
    if not least <= asked <= most:
        raise InvalidField(
            invocation.written("num_frames"),
            f"is {asked} with {invocation.task} at {size.width}x{size.height}",
            allowed="1" if image else f"{least} to {most}",
        )
    return asked


def _condition_frames(invocation: Invocation, request: OmniRequest, mode: str, latent_frames: int) -> tuple[int, ...]:
    name = invocation.written("condition_frame_indexes_vision")
    medium = _MEDIUM.get(mode)
    asked = request.condition_frame_indexes_vision
    if medium != "video" and request.condition_video_keep is not None:
        raise InvalidField("condition_video_keep", f"does not go with {mode}", allowed="leave it out")
    if medium is None:
        if asked:
            raise InvalidField(name, f"does not go with {mode}", allowed="leave it out")
        return ()
    chosen = tuple(sorted(set(given(asked, list(_CONDITION_FRAMES[medium])))))
    if medium == "image" and chosen != (0,):
        raise InvalidField(name, f"is {list(chosen)} with {mode}", allowed="[0]: the video begins with the image")
    if not chosen or chosen[-1] >= latent_frames or len(chosen) == latent_frames:
        # With every frame kept there would be nothing to make, and the input would come back as the answer.
        allowed = f"one or more of 0 to {latent_frames - 1}, but not all: one of them is made at least"
        raise InvalidField(name, f"is {list(chosen)} with {latent_frames} latent frames", allowed=allowed)
    return chosen


def _negative_prompt(invocation: Invocation, request: OmniRequest, defaults: GenerationDefaults) -> str:
    if request.negative_prompt_file is not None:
        if request.negative_prompt is not None:
            raise InvalidField("negative_prompt_file", f"says the same as {invocation.written('negative_prompt')}")
        return negative_prompts.COSMOS3
    return given(request.negative_prompt, defaults.negative_prompt)


def _wanted(
    request: OmniRequest, mode: str, condition_frames: tuple[int, ...], limits: GenerationLimits
) -> Mapping[str, Wanted]:
    """What the video goes on from."""
    medium = _MEDIUM.get(mode)
    if medium is None:
        return {}
    if medium == "image":
        return {medium: WantedImage()}
    count = condition_frames[-1] * limits.temporal_factor + 1
    return {medium: LastFrames(count) if request.condition_video_keep == "last" else FirstFrames(count)}


def _metadata(request: OmniRequest, size: Size, defaults: GenerationDefaults, *, image: bool) -> Metadata:
    said = request.model_fields_set  # null is a thing to say: no such sentence
    ratios = {each: ratio for tier in defaults.sizes.values() for ratio, each in tier.items()}
    negative = request.negative_metadata_mode
    if negative == "none" and request.negative_prompt_keep_metadata:
        negative = "same"
    resolution = _RESOLUTION.format(thing="image" if image else "video")
    return Metadata(
        duration=request.duration_template if "duration_template" in said else _DURATION,
        resolution=request.resolution_template if "resolution_template" in said else resolution,
        negative=negative,
        inverse_duration=given(request.inverse_duration_template, _INVERSE_DURATION),
        inverse_resolution=given(request.inverse_resolution_template, _INVERSE_RESOLUTION),
        aspect_ratio=ratios.get(size),
    )
