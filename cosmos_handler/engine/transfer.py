"""From a request to Transfer 2.5 to its task: numbers first, then the media, then whether those go together."""

from collections.abc import Mapping
from dataclasses import dataclass

from cosmos_handler.artifacts.checkpoint import Checkpoint, GenerationLimits
from cosmos_handler.artifacts.defaults import GenerationDefaults, Size, generation_defaults, given
from cosmos_handler.engine.inbox import Inbox
from cosmos_handler.engine.limits import inside, limits_of, size_of
from cosmos_handler.errors import InvalidField
from cosmos_handler.media.clip import MediaFile
from cosmos_handler.media.wanted import FirstFrames
from cosmos_handler.messages.tasks import Encoding, Transfer
from cosmos_handler.schemas.invocation import Invocation
from cosmos_handler.schemas.transfer import Control, TransferRequest

# What can be computed here; the others come out of models of their own.
_COMPUTED = ("edge", "vis")
_SUPPLY = {
    "depth": "a video with the depth map of every frame of the input",
    "seg": "a video with the segmentation map of every frame of the input",
}
# Width to height, as NVIDIA's code sorts inputs into them: the nearest one.
_ASPECT_RATIOS = {"16,9": 16 / 9, "4,3": 4 / 3, "1,1": 1.0, "3,4": 3 / 4, "9,16": 9 / 16}
# The pipeline makes a smaller chunk one of five frames, without a word to the caller.
_MIN_CHUNK_FRAMES = 5


@dataclass(frozen=True)
class _Asked:
    """The control of a request, and the client's words for it and for the video."""

    name: str
    control: Control
    written: str
    video_written: str

    @property
    def path_written(self) -> str:
        return f"{self.written}.control_path"


async def transfer_task(
    invocation: Invocation, request: TransferRequest, checkpoint: Checkpoint, inbox: Inbox, encoding: Encoding
) -> Transfer:
    """The task for Transfer 2.5. Raises RequestError."""
    limits = limits_of(checkpoint)
    defaults = generation_defaults(checkpoint.family, invocation.task)
    asked = _asked(invocation, request, checkpoint)
    chunk_frames = _chunk_frames(invocation, request, limits, defaults)
    sizes = _sizes(invocation, request, limits, defaults)
    video, control_media = await _media(request, asked, inbox)
    source = video or control_media
    if source is None or source.source_fps is None:
        raise AssertionError("a transfer has neither a video nor a control: this is a bug")
    size = sizes[_aspect_ratio(source)]
    output = Size(_even(source.height), _even(source.width)) if request.keep_input_resolution else size
    return Transfer(
        prompt=request.prompt,
        negative_prompt=given(request.negative_prompt, defaults.negative_prompt),
        seed=given(request.seed, defaults.seed),
        guidance=given(request.guidance, defaults.guidance),
        num_steps=given(request.num_steps, defaults.num_steps),
        num_frames=source.num_frames,
        num_output_frames=source.num_frames,
        height=size.height,
        width=size.width,
        fps=source.source_fps,
        encoding=encoding,
        control=asked.name,
        control_media=control_media,
        video=video,
        preset=asked.control.preset,
        control_weight=asked.control.control_weight,
        num_frames_per_chunk=chunk_frames,
        num_conditional_frames=given(request.num_conditional_frames, defaults.chunk_overlap or 0),
        output_height=output.height,
        output_width=output.width,
        show_control=request.show_control_condition,
        show_input=request.show_input,
    )


def _asked(invocation: Invocation, request: TransferRequest, checkpoint: Checkpoint) -> _Asked:
    """The one control, with what it needs. Raises InvalidField."""
    name, control = request.one_control(spelling=invocation.spelling, available=checkpoint.controls)
    asked = _Asked(name, control, invocation.written(name), invocation.written("video_path"))
    if control.control_path is None and name not in _COMPUTED:
        raise InvalidField(
            asked.path_written, f"is needed, because a {name} map is not computed here", allowed=_SUPPLY[name]
        )
    if control.control_path is None and request.video_path is None:
        raise InvalidField(asked.video_written, f"is needed to compute {asked.written} from", allowed="a video")
    if control.control_path is not None and control.preset != type(control)().preset:
        raise InvalidField(asked.path_written, "cannot be given together with a preset, which says how to compute it")
    if request.show_input and request.video_path is None:
        raise InvalidField("show_input", f"is true, but there is no {asked.video_written} to show")
    return asked


def _chunk_frames(
    invocation: Invocation, request: TransferRequest, limits: GenerationLimits, defaults: GenerationDefaults
) -> int:
    factor, most = limits.temporal_factor, limits.max_frames
    frames = given(request.num_video_frames_per_chunk, min(defaults.chunk_size or most, most))
    if not _MIN_CHUNK_FRAMES <= frames <= most or (frames - 1) % factor:
        raise InvalidField(
            invocation.written("num_video_frames_per_chunk"),
            f"is {frames}",
            allowed=f"a multiple of {factor} and one more, {_MIN_CHUNK_FRAMES} to {most}",
        )
    return frames


def _sizes(
    invocation: Invocation, request: TransferRequest, limits: GenerationLimits, defaults: GenerationDefaults
) -> Mapping[str, Size]:
    """The size for each aspect ratio that the input may have. Raises InvalidField."""
    wish = given(request.resolution, defaults.resolution)
    if "," in wish:
        sizes: Mapping[str, Size] = dict.fromkeys(_ASPECT_RATIOS, size_of(wish))
    elif wish in defaults.sizes:
        sizes = defaults.sizes[wish]
    else:
        allowed = ", ".join(defaults.sizes) + ', or "H,W" in pixels'
        raise InvalidField(invocation.written("resolution"), f"is {wish!r}", allowed=allowed)
    for size in sizes.values():
        inside(size, limits, invocation, field="resolution")
    return sizes


async def _media(request: TransferRequest, asked: _Asked, inbox: Inbox) -> tuple[MediaFile | None, MediaFile | None]:
    """The input and the control's map, of one length and one shape. Raises RequestError."""
    wanted = {"video": FirstFrames(request.max_frames)}
    video = control = None
    if request.video_path is not None:
        video = await inbox.bring(request.video_path, wanted, field=asked.video_written)
    if asked.control.control_path is not None:
        control = await inbox.bring(asked.control.control_path, wanted, field=asked.path_written)
    if video is not None and control is not None:
        _check_pair(asked, video, control)
    return video, control


def _check_pair(asked: _Asked, video: MediaFile, control: MediaFile) -> None:
    if control.num_frames != video.num_frames:
        raise InvalidField(
            asked.path_written,
            f"has {control.num_frames} frames, and {asked.video_written} has {video.num_frames}",
            allowed="a map for every frame, or max_frames, of which both have enough",
        )
    if _aspect_ratio(control) != _aspect_ratio(video):
        raise InvalidField(
            asked.path_written,
            f"is {control.width}x{control.height}, another shape than the {video.width}x{video.height} of "
            f"{asked.video_written}",
            allowed="maps of the shape of the input",
        )


def _aspect_ratio(media: MediaFile) -> str:
    ratio = media.width / media.height
    return min(_ASPECT_RATIOS, key=lambda name: abs(_ASPECT_RATIOS[name] - ratio))


def _even(length: int) -> int:
    """What H.264 can hold."""
    return max(2, length - length % 2)
