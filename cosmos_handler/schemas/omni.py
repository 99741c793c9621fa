"""A request for a picture or a video of Cosmos 3: the fields of NVIDIA's framework, and the names others use for them.

Sound, actions and controls are fields of the same JSON: they may stand there empty, as some files have them, and are
refused by name where they ask for something.
"""

import json
import re
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from cosmos_handler.schemas import values

ModelMode = Literal[
    "text2image", "text2video", "image2video", "video2video", "text2world", "image2world", "video2world"
]

ALIASES = {
    **values.PICTURE_ALIASES,
    "inference_type": "model_mode",
    "input_path": "vision_path",
    "input_reference": "vision_path",
    "video_path": "vision_path",
    "num_output_frames": "num_frames",
    "frames_per_sec": "fps",
    "flow_shift": "shift",
    "upsample_prompt": "prompt_upsampling",
}

# What a template may do with a number, so that no text of the client's is a program or a page long.
_FORMAT = re.compile(r"(\.\d)?[dfg]?")
# Numbers of the kinds that come into the places.
_PLACES: dict[str, float] = {"duration": 1.5, "fps": 24.0, "height": 16, "width": 16}


def _as_text(value: Any) -> Any:
    """A caption as an object is the same caption as text."""
    return json.dumps(value) if isinstance(value, dict) else value


def _size(value: Any) -> Any:
    """A tier (480, "480" or "480p") as "480"; "H,W" or "WxH" in pixels as "H,W"."""
    if type(value) is int:
        return str(value)
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if re.fullmatch(r"\d{3,4}p?", text, re.ASCII):
        return text.removesuffix("p")
    size = values.height_and_width(text)
    if size is None:
        raise ValueError(f'is {value[:40]!r} (allowed: a tier such as "480" or "720", or "H,W" or "WxH" in pixels)')
    return size


def _ratio(value: Any) -> Any:
    return value.strip().replace(":", ",") if isinstance(value, str) else value


def _template(*names: str) -> AfterValidator:
    """A template in NVIDIA's notation, whose places are the names given and nothing inside them."""

    def check(value: str) -> str:
        try:
            pieces = list(Formatter().parse(value))
        except ValueError:
            raise ValueError("is not a template: a brace stands alone") from None
        for _, name, spec, conversion in pieces:
            if name is not None and (name not in names or conversion or not _FORMAT.fullmatch(spec or "")):
                allowed = ", ".join(f"{{{each}}} or {{{each}:.1f}}" for each in names)
                raise ValueError(f"has a place that cannot be filled (allowed: {allowed})")
        try:
            value.format(**{name: _PLACES[name] for name in names})
        except ValueError:
            raise ValueError("has a place for a number of another kind (allowed: {…:.1f}, {…:.0f} or none)") from None
        return value

    return AfterValidator(check)


def _only(value: float) -> AfterValidator:
    """NVIDIA's default and nothing else, because nothing here would do what another value asks for."""

    def check(given: float | None) -> float | None:
        if given is not None and given != value:
            raise ValueError(f"is {given}, which this version cannot do (allowed: {json.dumps(value)})")
        return given

    return AfterValidator(check)


def _later(what: str) -> BeforeValidator:
    """Nothing, false or null."""

    def check(given: Any) -> None:
        if given is not None and given is not False:
            raise ValueError(f"asks for {what}, which this version does not serve on Cosmos 3 (allowed: leave it out)")

    return BeforeValidator(check)


def _off(what: str) -> AfterValidator:
    """A switch that may be said to be off."""

    def check(given: bool | None) -> bool | None:
        if given:
            raise ValueError(f"asks for {what}, which this version does not serve on Cosmos 3 (allowed: false)")
        return given

    return AfterValidator(check)


Caption = Annotated[str, BeforeValidator(_as_text), StringConstraints(strip_whitespace=True, max_length=40_000)]
DurationTemplate = Annotated[str, StringConstraints(max_length=500), _template("duration", "fps")]
SizeTemplate = Annotated[str, StringConstraints(max_length=500), _template("height", "width")]
Sound = Annotated[None, _later("sound")]
Action = Annotated[None, _later("actions")]
Control = Annotated[None, _later("a control")]


class NotYet(BaseModel):
    """What the framework's JSON has for sound, actions and controls."""

    enable_sound: Annotated[bool | None, _off("sound")] = Field(None, description="false")
    sound_path: Sound = None
    action_path: Action = None
    domain_name: Action = None
    image_size: Action = None
    action_chunk_size: Action = None
    view_point: Action = None
    raw_action_dim: Action = None
    edge: Control = None
    blur: Control = None
    depth: Control = None
    seg: Control = None
    wsm: Control = None
    control_guidance: Annotated[float | None, _only(1.0)] = Field(None, description="1, without a control")
    control_guidance_interval: Control = None
    num_video_frames_per_chunk: Control = None
    num_conditional_frames: Control = None
    num_first_chunk_conditional_frames: Control = None
    share_vision_temporal_positions: Control = None
    max_frames: Control = None
    show_control_condition: Annotated[bool | None, _off("a control")] = None
    show_input: Annotated[bool | None, _off("a control")] = None
    emphasize_control_in_prompt: Annotated[bool | None, _off("a control")] = None


class OmniRequest(NotYet):
    """Text, image or video in, a picture or a video out.

    What is left out is filled in from the table of defaults, and limits that depend on the checkpoint are checked,
    when the task is built.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_mode: ModelMode | None = Field(
        None, description="text2image, text2video, image2video, video2video; by default what the medium asks for"
    )
    model: values.ModelName = None
    name: values.Name = None
    output_s3_uri: values.OutputS3Uri = None
    presign_seconds: values.PresignSeconds = None
    prompt: Annotated[Caption, StringConstraints(min_length=1)] = Field(
        description="text of 1 to 40000 characters, or a caption as a JSON object"
    )
    negative_prompt: Caption | None = Field(
        None, description="text of at most 40000 characters, or a caption as a JSON object"
    )
    negative_prompt_file: Literal["neg_prompts.json"] | None = Field(
        None, description="neg_prompts.json, which is NVIDIA's; send the content of another one as negative_prompt"
    )
    vision_path: values.Medium = None
    image: values.Image = None
    video: values.Video = None
    condition_frame_indexes_vision: list[Annotated[int, Field(ge=0)]] | None = Field(
        None, max_length=100, description="latent frames of the video to keep, such as [0, 1]"
    )
    condition_video_keep: Literal["first", "last"] | None = Field(None, description="first, last")
    seed: values.Seed = None
    guidance: values.Guidance = None
    shift: float | None = Field(None, gt=0, le=100, description="number above 0, up to 100")
    num_steps: values.NumSteps = None
    num_frames: int | None = Field(None, ge=1, description="1 for text2image; from 2 up to the most of the size")
    fps: float | None = Field(None, ge=1, le=120, description="frames per second, 1 to 120")
    resolution: Annotated[str | None, BeforeValidator(_size)] = Field(
        None, description='256, 480, 720, 768, or "H,W" or "WxH" in pixels'
    )
    aspect_ratio: Annotated[Literal["1,1", "4,3", "3,4", "16,9", "9,16"] | None, BeforeValidator(_ratio)] = Field(
        None, description='"1,1", "4,3", "3,4", "16,9", "9,16"'
    )
    height: values.Height = None
    width: values.Width = None
    use_system_prompt: bool | None = Field(None, description="true or false")
    duration_template: DurationTemplate | None = Field(None, description="text with {duration} and {fps}, or null")
    resolution_template: SizeTemplate | None = Field(None, description="text with {height} and {width}, or null")
    inverse_duration_template: DurationTemplate | None = Field(None, description="text with {duration} and {fps}")
    inverse_resolution_template: SizeTemplate | None = Field(None, description="text with {height} and {width}")
    negative_metadata_mode: Literal["none", "same", "inverse"] = Field("none", description="none, same, inverse")
    negative_prompt_keep_metadata: bool = Field(True, description="true or false")
    prompt_upsampling: bool = Field(False, description="true or false: have a loaded reasoner write a caption of it")
    prompt_upsampler_max_tokens: values.MaxTokens = None
    prompt_upsampler_temperature: values.Temperature = None
    prompt_upsampler_top_p: values.TopP = None
    prompt_upsampler_top_k: values.TopK = None
    prompt_upsampler_repetition_penalty: values.RepetitionPenalty = None
    prompt_upsampler_presence_penalty: values.PresencePenalty = None
    prompt_upsampler_seed: values.Seed = None
    sigma_max: Annotated[float | None, _only(80.0)] = Field(None, description="80")
    normalize_cfg: Annotated[bool | None, _only(False)] = Field(None, description="false")
    guidance_interval: Annotated[None, _later("guidance in some steps only")] = Field(None, description="null")
    autoregressive: Annotated[bool | None, _only(False)] = Field(None, description="false")
    num_outputs: Annotated[int | None, _only(1)] = Field(None, description="1")
    video_save_quality: Annotated[int | None, _only(10)] = Field(None, description="10")
    image_save_quality: Annotated[int | None, _only(95)] = Field(None, description="95")
