"""A request for a video: the fields of NVIDIA's Predict2.5 JSON, and the names others use for them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from cosmos_handler.schemas import values

# What the fields mean is the same for text2video and its siblings, the words of the next generation.
InferenceType = Literal["text2world", "image2world", "video2world", "text2video", "image2video", "video2video"]

ALIASES = {
    **values.PICTURE_ALIASES,
    "upsample_prompt": "prompt_upsampling",
    "num_frames": "num_output_frames",
    "model_mode": "inference_type",
    "frames_per_sec": "fps",
    "input_reference": "input_path",
    "vision_path": "input_path",
    "video_path": "input_path",
}


def _size(value: Any) -> Any:
    """NVIDIA's "H,W" or "none" and OpenAI's "WxH", all as "H,W" or None."""
    if not isinstance(value, str):
        return value
    if value.strip().lower() == "none":
        return None
    size = values.height_and_width(value)
    if size is None:
        raise ValueError(f'is {value[:40]!r} (allowed: "none", "H,W" or "WxH" in pixels)')
    return size


class GenerationRequest(BaseModel):
    """Text, image or video in, video out.

    What is left out is filled in from the table of defaults, and limits that depend on the checkpoint are checked,
    when the task is built.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    inference_type: InferenceType | None = Field(
        None, description="text2world, image2world, video2world; by default what the medium that is given asks for"
    )
    model: values.ModelName = None
    name: values.Name = None
    output_s3_uri: values.OutputS3Uri = None
    presign_seconds: values.PresignSeconds = None
    prompt: values.Prompt
    prompt_upsampling: bool = Field(False, description="true or false: have a loaded reasoner write a longer prompt")
    negative_prompt: values.NegativePrompt = None
    input_path: values.Medium = None
    image: values.Image = None
    video: values.Video = None
    seed: values.Seed = None
    guidance: values.Guidance = None
    num_steps: values.NumSteps = None
    lora: str | None = Field(None, description="name of one of the model's LoRA adapters")
    lora_scale: float | None = Field(None, ge=0, le=2, description="number, 0 to 2; 1 by default")
    num_output_frames: int | None = Field(
        None, ge=1, description="whole number from 1 up to the most the model can make"
    )
    enable_autoregressive: bool | None = Field(None, description="true or false: make a long video chunk by chunk")
    chunk_size: int | None = Field(None, ge=1, description="frames of a chunk, 4k+1")
    chunk_overlap: int | None = Field(None, description="1 or 5: the frames that a chunk hands on to the next")
    num_input_frames: int | None = Field(
        None, ge=0, le=2, description="latent frames to condition on: 0 text2world, 1 image2world, 1 or 2 video2world"
    )
    resolution: Annotated[str | None, BeforeValidator(_size)] = Field(
        None, description='"none", "H,W" or "WxH" in pixels'
    )
    height: values.Height = None
    width: values.Width = None
    fps: float | None = Field(None, ge=1, le=120, description="frames per second of the file, 1 to 120")
