"""A request to Transfer 2.5: the fields of NVIDIA's JSON, and the names others use for them."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from cosmos_handler.errors import InvalidField
from cosmos_handler.schemas import values

ALIASES = {
    **values.PICTURE_ALIASES,
    "model_mode": "inference_type",
    "video": "video_path",
    "input_video": "video_path",
    "input_video_path": "video_path",
    "input_path": "video_path",
    "input_reference": "video_path",
    "vision_path": "video_path",
    "num_frames": "max_frames",
    "num_frames_per_chunk": "num_video_frames_per_chunk",
    "num_ar_conditional_frames": "num_conditional_frames",
    "blur": "vis",
}
_CONTROL_ALIASES = {
    "input_control": "control_path",
    "weight": "control_weight",
    "controls_conditioning_scale": "control_weight",
}

Strength = Literal["very_low", "low", "medium", "high", "very_high"]
_STRENGTHS = "very_low, low, medium, high, very_high"


def _only(default: Any, reason: str) -> Callable[[Any], Any]:
    """Accepts NVIDIA's default and nothing else: for what the pipeline cannot do."""

    def check(value: Any) -> Any:
        if value != default:
            shown = "leave it out" if default is None else str(default)
            raise ValueError(f"is not possible here: {reason} (allowed: {shown})")
        return value

    return check


def _pure_noise(value: Any) -> Any:
    """NVIDIA's scale ends at 200, which is noise alone: what leaving it out means."""
    if value is None or str(value) in ("200", "200.0"):
        return None
    raise ValueError(f'is {str(value)[:40]!r}, and the pipeline begins from noise alone (allowed: "200")')


_NoMask = AfterValidator(_only(None, "the pipeline applies a control to the whole picture"))
_NoContext = AfterValidator(_only(None, "the pipeline takes no picture for the style"))
_NoGuided = AfterValidator(_only(None, "the pipeline has no guided generation"))


class Control(BaseModel):
    """One control: its map for every frame, and how strongly it holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    control_path: values.Video = None
    control_weight: float = Field(1.0, ge=0, le=1, description="number, 0 to 1")
    mask_path: Annotated[str | None, _NoMask] = None
    mask_prompt: Annotated[str | None, _NoMask] = None

    @model_validator(mode="before")
    @classmethod
    def _fold(cls, body: Any) -> Any:
        if not isinstance(body, Mapping):
            return body
        folded: dict[str, Any] = {}
        for key, value in body.items():
            name = _CONTROL_ALIASES.get(str(key), str(key))
            if name in folded:
                raise ValueError(f"says {name} twice, once as {key}")
            folded[name] = value
        return folded

    @property
    def preset(self) -> Strength:
        """How strong a map is when it is computed here."""
        return "medium"


class Edge(Control):
    """Outlines."""

    preset_edge_threshold: Strength = Field("medium", description=_STRENGTHS)

    @property
    def preset(self) -> Strength:
        """The thresholds of the edge detector."""
        return self.preset_edge_threshold


class Blur(Control):
    """The input, blurred: NVIDIA calls the control vis."""

    preset_blur_strength: Strength = Field("medium", description=_STRENGTHS)

    @property
    def preset(self) -> Strength:
        """How much the input is blurred."""
        return self.preset_blur_strength


class Seg(Control):
    """A colour for each object."""

    control_prompt: Annotated[
        str | None, AfterValidator(_only(None, "segmentation is not computed here, only taken as control_path"))
    ] = None


def _size(value: Any) -> Any:
    """A tier such as "720", or "H,W" and "WxH", both as "H,W"."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    size = str(int(text)) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else values.height_and_width(text)
    if size is None:
        raise ValueError(f'is {value[:40]!r} (allowed: a tier such as "720", "H,W" or "WxH" in pixels)')
    return size


class TransferRequest(BaseModel):
    """A video and one control in, a video of another look out. What depends on the checkpoint is checked later."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inference_type: Literal["transfer"] | None = Field(None, description="transfer")
    model: values.ModelName = None
    name: values.Name = None
    output_s3_uri: values.OutputS3Uri = None
    presign_seconds: values.PresignSeconds = None
    # A prompt that comes as a file (prompt_path) is read into `prompt` before this is validated.
    prompt: values.Prompt
    negative_prompt: values.NegativePrompt = None
    video_path: values.Video = None
    seed: values.Seed = None
    guidance: float | None = Field(None, ge=0, le=7, description="number, 0 to 7")
    num_steps: values.NumSteps = None
    resolution: Annotated[str | None, BeforeValidator(_size)] = Field(
        None, description='a tier such as "720", "H,W" or "WxH" in pixels'
    )
    max_frames: int | None = Field(None, ge=1, description="whole number from 1 up to the frames of the input")
    num_video_frames_per_chunk: int | None = Field(None, ge=1, description="whole number")
    num_conditional_frames: int | None = Field(
        None, ge=0, le=2, description="0, 1 or 2 frames of each chunk that the next one goes on from"
    )
    keep_input_resolution: bool = Field(True, description="true or false")
    show_control_condition: bool = Field(False, description="true or false")
    show_input: bool = Field(False, description="true or false")
    edge: Edge | None = Field(None, description="an object")
    vis: Blur | None = Field(None, description="an object")
    depth: Control | None = Field(None, description="an object")
    seg: Seg | None = Field(None, description="an object")
    sigma_max: Annotated[None, BeforeValidator(_pure_noise)] = Field(None, description='"200"')
    context_frame_index: Annotated[int | None, _NoContext] = None
    image_context_path: Annotated[str | None, _NoContext] = None
    guided_generation_mask: Annotated[str | None, _NoGuided] = None
    guided_generation_step_threshold: Annotated[
        int, AfterValidator(_only(25, "the pipeline has no guided generation"))
    ] = 25
    guided_generation_foreground_labels: Annotated[list[int] | None, _NoGuided] = None

    def one_control(self, *, spelling: Mapping[str, str], available: tuple[str, ...]) -> tuple[str, Control]:
        """The control that is asked for, by NVIDIA's name. Raises InvalidField unless it is one of those available."""
        every = {"edge": self.edge, "vis": self.vis, "depth": self.depth, "seg": self.seg}
        given = [(name, control) for name, control in every.items() if control is not None]
        if not given:
            raise InvalidField(available[0], "or another control is needed", allowed=", ".join(available))
        if len(given) > 1:
            first, second = (spelling.get(name, name) for name, _ in given[:2])
            raise InvalidField(second, f"cannot be given together with {first}", allowed="one control at a time")
        name, control = given[0]
        if name not in available:
            raise InvalidField(
                spelling.get(name, name), "is a control that this model has no branch for", allowed=", ".join(available)
            )
        return name, control
