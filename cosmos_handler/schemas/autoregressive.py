"""A request to an autoregressive Cosmos: NVIDIA's words on the command line and in JSON lines, and others' names."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from cosmos_handler.schemas import values

ALIASES = {
    **values.PICTURE_ALIASES,
    "data_resolution": "resolution",
    "num_frames": "num_output_frames",
    "model_mode": "inference_type",
    "frames_per_sec": "fps",
    "visual_input": "input_path",
    "input_image_or_video_path": "input_path",
    "input_reference": "input_path",
    "vision_path": "input_path",
    "video_path": "input_path",
}

# Whole frames of tokens: the first is of one frame, every other of eight.
_INPUT_FRAMES = (1, 9)


def _size(value: Any) -> Any:
    """NVIDIA's [height, width], "H,W" or "none", and OpenAI's "WxH", all as "H,W" or None."""
    if isinstance(value, list) and len(value) == 2:
        value = ",".join(str(side) for side in value)
    if not isinstance(value, str):
        return value
    if value.strip().lower() == "none":
        return None
    size = values.height_and_width(value.strip().removeprefix("[").removesuffix("]"))
    if size is None:
        raise ValueError(f'is {value[:40]!r} (allowed: "none", "H,W" or "WxH" in pixels)')
    return size


def _countable(given: int | None) -> int | None:
    if given is not None and given not in _INPUT_FRAMES:
        raise ValueError(f"is {given}, and counts frames here, not latent frames (allowed: 1 or 9)")
    return given


class ContinueRequest(BaseModel):
    """An image or a video in, the video that goes on from it out.

    What is left out is filled in from the tables of defaults, and limits that depend on the checkpoint are checked,
    when the task is built.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    inference_type: Literal["image2world", "video2world", "image2video", "video2video"] | None = Field(
        None, description="image2world, video2world; by default what the medium that is given asks for"
    )
    model: values.ModelName = None
    name: values.Name = None
    output_s3_uri: values.OutputS3Uri = None
    presign_seconds: values.PresignSeconds = None
    prompt: Annotated[str | None, StringConstraints(strip_whitespace=True, max_length=20_000)] = Field(
        None, description="text of at most 20000 characters, for models that read one"
    )
    input_path: values.Medium = None
    image: values.Image = None
    video: values.Video = None
    num_input_frames: Annotated[int | None, AfterValidator(_countable)] = Field(
        None, description="1 or 9: the frames at the end of the video that are gone on from"
    )
    num_output_frames: int | None = Field(
        None, ge=1, description="whole number from 2, those that are gone on from included"
    )
    seed: values.Seed = None
    temperature: values.Temperature = None
    top_p: values.TopP = None
    decoder: Literal["diffusion", "tokenizer"] | None = Field(None, description="diffusion, tokenizer")
    disable_diffusion_decoder: bool | None = Field(
        None, description='true or false: the same as the decoders "tokenizer" and "diffusion"'
    )
    guidance: values.Guidance = None
    num_steps: values.NumSteps = None
    resolution: Annotated[str | None, BeforeValidator(_size)] = Field(
        None, description='"none", "H,W" or "WxH" in pixels: the one size of the model'
    )
    height: values.Height = None
    width: values.Width = None
    fps: float | None = Field(None, ge=1, le=120, description="frames per second of the file, 1 to 120")
