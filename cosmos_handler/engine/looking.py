"""From a request's words about what is to be seen to frames that are decoded and pixels that are shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cosmos_handler.artifacts.checkpoint import Family
from cosmos_handler.artifacts.reasoning_defaults import ReasoningDefaults
from cosmos_handler.errors import InvalidField
from cosmos_handler.media.wanted import SampledFrames, Wanted, WantedImage
from cosmos_handler.messages.tasks import Vision
from cosmos_handler.schemas.invocation import Invocation
from cosmos_handler.schemas.reasoning import ChatRequest, Looking

_NAMES = tuple(name for name in Looking.model_fields if name not in Looking.__base__.model_fields)  # type: ignore[union-attr]
_MIN_FRAMES, _MAX_FRAMES = 4, 768  # of every processor that Cosmos reasoners have
# Fields that say the same thing in two ways: never both.
_RIVALS = (
    (("nframes",), ("fps", "min_frames", "max_frames")),
    (
        ("resized_height", "resized_width"),
        ("min_pixels", "max_pixels", "total_pixels", "shortest_edge", "longest_edge"),
    ),
    (("shortest_edge", "longest_edge"), ("min_pixels", "max_pixels", "total_pixels")),
)
# Pairs in ascending order.
_PAIRS = (
    ("min_frames", "max_frames"),
    ("min_pixels", "max_pixels"),
    ("shortest_edge", "longest_edge"),
    ("video_start", "video_end"),
)


@dataclass(frozen=True)
class Look:
    """What to take of a medium by what it turns out to be, and how large it is shown."""

    frames: SampledFrames
    vision: Vision

    def wanted(self, name: str) -> Mapping[str, Wanted]:
        """For a field that may hold an image ("image"), a video ("video") or either of them (any other name)."""
        image: Mapping[str, Wanted] = {"image": WantedImage()}
        video: Mapping[str, Wanted] = {"video": self.frames}
        return {"image": image, "video": video}.get(name, {**image, **video})


def look(invocation: Invocation, request: Looking, family: Family, defaults: ReasoningDefaults) -> Look:
    """The look that a request asks for. Raises InvalidField for what contradicts itself."""
    said = _said(invocation, request)
    _refuse_contradictions(said)
    value = {name: found for name, (_, found) in said.items()}
    if value.get("timestamps") and family != "reason1":
        raise InvalidField(
            said["timestamps"][0], "is for Reason1 alone", allowed="leave it out: times are in the prompt"
        )
    rule: Literal["both_ends", "equal_steps"] = "equal_steps" if family == "reason1" else "both_ends"
    least, most = value.get("min_frames"), value.get("max_frames")
    frames = SampledFrames(
        fps=value.get("fps", defaults.fps),
        min_frames=least if least is not None else min(_MIN_FRAMES, most or _MIN_FRAMES),
        max_frames=most if most is not None else max(_MAX_FRAMES, least or _MAX_FRAMES),
        num_frames=value.get("nframes"),
        start_seconds=value.get("video_start", 0.0),
        end_seconds=value.get("video_end"),
        rule=rule,
    )
    sizes = {name: value[name] for name in Vision.model_fields if name in value}
    if not any(name.startswith("resized") or name.endswith(("_edge", "_pixels")) for name in sizes):
        sizes["total_pixels"] = defaults.total_pixels
    return Look(frames, Vision(**sizes))


def _said(invocation: Invocation, request: Looking) -> dict[str, tuple[str, Any]]:
    """Every value that was given: our name → the client's name and the value. Raises InvalidField for two of one."""
    said: dict[str, tuple[str, Any]] = {}
    for name in _NAMES:
        value = getattr(request, name)
        if value is not None and value is not False:
            said[name] = invocation.written(name), value
    if not isinstance(request, ChatRequest):
        return said
    for written, name, value in _nested(request):
        if name in said:
            raise InvalidField(
                written, f"means the same as {said[name][0]}, which is given too", allowed="one of the two"
            )
        said[name] = written, value
    if said.get("nframes", ("", 0))[1] == -1 and "fps" in said:
        del said["nframes"]  # vLLM reads the whole video with -1, and the rate then chooses among its frames
    return said


def _nested(request: ChatRequest) -> list[tuple[str, str, Any]]:
    """What stands in vLLM's and the NIM's objects: the client's name, ours, the value."""
    found = []
    options = request.mm_processor_kwargs
    video = request.media_io_kwargs.video if request.media_io_kwargs else None
    for prefix, value in (
        ("mm_processor_kwargs", options),
        ("mm_processor_kwargs.size", options.size if options else None),
        ("media_io_kwargs.video", video),
    ):
        for name in type(value).model_fields if value is not None else ():
            given = getattr(value, name)
            if given is not None and name not in ("size", "do_sample_frames"):
                found.append((f"{prefix}.{name}", "nframes" if name == "num_frames" else name, given))
    return found


def _refuse_contradictions(said: Mapping[str, tuple[str, Any]]) -> None:
    for ones, others in _RIVALS:
        one = next((name for name in ones if name in said), None)
        other = next((name for name in others if name in said), None)
        if one and other:
            raise InvalidField(
                said[other][0], f"contradicts {said[one][0]}, which is given too", allowed="one of the two"
            )
    for name, twin in (("resized_height", "resized_width"), ("resized_width", "resized_height")):
        if name in said and twin not in said:
            raise InvalidField(twin, f"is needed with {said[name][0]}")
    for low, high in _PAIRS:
        if low in said and high in said and said[low][1] > said[high][1]:
            raise InvalidField(said[low][0], f"is {said[low][1]}, more than {said[high][0]}, which is {said[high][1]}")
