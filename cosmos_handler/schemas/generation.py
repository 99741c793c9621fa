"""A request for a video: the fields of NVIDIA's Predict2.5 JSON, and the names others use for them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

# What the fields mean is the same for text2video and its siblings, the words of the next generation.
InferenceType = Literal["text2world", "image2world", "video2world", "text2video", "image2video", "video2video"]

ALIASES = {
    "guidance_scale": "guidance",
    "num_inference_steps": "num_steps",
    "steps": "num_steps",
    "upsample_prompt": "prompt_upsampling",
    "num_frames": "num_output_frames",
    "model_mode": "inference_type",
    "frames_per_sec": "fps",
    "size": "resolution",
    "input_reference": "input_path",
    "vision_path": "input_path",
    "video_path": "input_path",
}


def _one_size(value: Any) -> Any:
    """NVIDIA's "H,W" or "none" and OpenAI's "WxH", all as "H,W" or None."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if text == "none":
        return None
    if "x" in text:
        text = ",".join(reversed(text.split("x")))
    pieces = text.split(",")
    if len(pieces) != 2 or not all(piece.strip().isascii() and piece.strip().isdecimal() for piece in pieces):
        raise ValueError(f'is {value!r} (allowed: "none", "H,W" or "WxH" in pixels)')
    return ",".join(str(int(piece)) for piece in pieces)


class GenerationRequest(BaseModel):
    """Text, image or video in, video out.

    What is left out is filled in from the table of defaults, and limits that depend on the checkpoint are checked,
    when the task is built.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    inference_type: InferenceType | None = Field(
        None, description="text2world, image2world, video2world; by default what the medium that is given asks for"
    )
    model: str | None = Field(None, description="name or alias of a loaded model")
    name: str | None = Field(None, max_length=64, description="text of at most 64 characters, given back unchanged")
    prompt: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)] = Field(
        description="text of 1 to 20000 characters"
    )
    prompt_upsampling: bool = Field(False, description="true or false: have a loaded reasoner write a longer prompt")
    negative_prompt: str | None = Field(None, max_length=20_000, description="text of at most 20000 characters")
    input_path: str | None = Field(None, description="an image or a video: data: URL, base64 or multipart part")
    image: str | None = Field(None, description="an image: data: URL, base64 or multipart part")
    video: str | None = Field(None, description="a video: data: URL, base64 or multipart part")
    seed: int | None = Field(None, ge=0, le=2**32 - 1, description="whole number, 0 to 4294967295")
    guidance: float | None = Field(None, ge=0, le=20, description="number, 0 to 20")
    num_steps: int | None = Field(None, ge=1, le=200, description="whole number, 1 to 200")
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
    resolution: Annotated[str | None, BeforeValidator(_one_size)] = Field(
        None, description='"none", "H,W" or "WxH" in pixels'
    )
    height: int | None = Field(None, ge=1, description="pixels, together with width")
    width: int | None = Field(None, ge=1, description="pixels, together with height")
    fps: float | None = Field(None, ge=1, le=120, description="frames per second of the file, 1 to 120")
