"""A question about an image or a video: a plain prompt with media, or OpenAI's chat messages."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, StringConstraints, Tag

from cosmos_handler.schemas import values

_COMMON_ALIASES = {
    "max_new_tokens": "max_tokens",
    "video_fps": "fps",
    "enable_reasoning": "reasoning",
    "add_timestamps": "timestamps",
}
PROMPT_ALIASES = {
    **_COMMON_ALIASES,
    "model_mode": "inference_type",
    "input_reference": "input_path",
    "vision_path": "input_path",
    "video_path": "input_path",
}
# num_frames belongs to chats alone: beside a plain prompt it says how long a video is to be made.
CHAT_ALIASES = {**_COMMON_ALIASES, "max_completion_tokens": "max_tokens", "num_frames": "nframes"}

_PIXELS = 2**31
_MAX_MESSAGES = 1000
_MAX_PIECES = 1000


def _from_text(value: Any) -> Any:
    """An object in a form comes as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None


JsonObject = Annotated[dict[str, Any] | None, BeforeValidator(_from_text)]


class _Piece(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sampling(BaseModel):
    """How the next token is drawn; what is left out is NVIDIA's for the family, else the checkpoint's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_tokens: values.MaxTokens = None
    temperature: values.Temperature = None
    top_p: values.TopP = None
    top_k: values.TopK = None
    repetition_penalty: values.RepetitionPenalty = None
    presence_penalty: values.PresencePenalty = None
    seed: values.Seed = None


class Looking(Sampling):
    """How much of images and videos is seen, under the names of NVIDIA's vision_config."""

    fps: float | None = Field(None, gt=0, le=60, description="frames per second taken from a video, above 0 up to 60")
    nframes: int | None = Field(None, ge=2, le=4096, description="frames taken from a video instead, 2 to 4096")
    min_frames: int | None = Field(None, ge=2, le=4096, description="whole number, 2 to 4096")
    max_frames: int | None = Field(None, ge=2, le=4096, description="whole number, 2 to 4096")
    video_start: float | None = Field(None, ge=0, le=86_400, description="seconds, 0 to 86400")
    video_end: float | None = Field(None, ge=0, le=86_400, description="seconds, 0 to 86400")
    min_pixels: int | None = Field(None, ge=1, le=_PIXELS, description="pixels of an image or a frame, from 1")
    max_pixels: int | None = Field(None, ge=1, le=_PIXELS, description="pixels of an image or a frame, from 1")
    total_pixels: int | None = Field(
        None, ge=1, le=_PIXELS, description="pixels of all frames of a video, merged pairs counting once, from 1"
    )
    resized_height: int | None = Field(None, ge=1, le=8192, description="pixels, together with resized_width")
    resized_width: int | None = Field(None, ge=1, le=8192, description="pixels, together with resized_height")
    timestamps: bool = Field(False, description="true or false; true for Reason1 alone")


class Asking(Looking):
    """What the answer has to look like."""

    reasoning: bool | None = Field(None, description="true or false")
    response_format: JsonObject = Field(
        None, description='{"type": "text"}, {"type": "json_object"} or {"type": "json_schema", "json_schema": {…}}'
    )
    guided_json: JsonObject = Field(None, description="a JSON schema")
    parse: Literal["boxes", "points"] | None = Field(None, description="boxes or points")


class ReasoningRequest(Asking):
    """A prompt, and at most one image or video before it."""

    inference_type: Literal["reasoner"] | None = Field(None, description="reasoner")
    model: values.ModelName = None
    name: values.Name = None
    prompt: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200_000)] = Field(
        description="text of 1 to 200000 characters"
    )
    system_prompt: str | None = Field(None, max_length=200_000, description="text of at most 200000 characters")
    input_path: values.Medium = None
    image: values.Image = None
    video: values.Video = None
    do_sample: bool | None = Field(None, description="true or false")


class Url(_Piece):
    """OpenAI's wrapper round a media reference."""

    url: str
    detail: Literal["auto"] | None = None  # the pixel budget is the processor's own


class TextPiece(_Piece):
    """Words."""

    type: Literal["text"]
    text: str


class ImagePiece(_Piece):
    """An image inside a message."""

    type: Literal["image_url"]
    image_url: Url


class VideoPiece(_Piece):
    """A video inside a message."""

    type: Literal["video_url"]
    video_url: Url


Piece = Annotated[TextPiece | ImagePiece | VideoPiece, Field(discriminator="type")]
_Pieces = Annotated[list[Piece], Field(max_length=_MAX_PIECES, fail_fast=True)]


class ChatMessage(_Piece):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Annotated[
        Annotated[str, Tag("text")] | Annotated[_Pieces, Tag("pieces")],
        Discriminator(lambda content: "pieces" if isinstance(content, list) else "text"),
    ]


class Size(_Piece):
    """The processor's own `size`: pixels, of what it counts."""

    shortest_edge: int | None = Field(None, ge=1, le=_PIXELS)
    longest_edge: int | None = Field(None, ge=1, le=_PIXELS)


class ProcessorOptions(_Piece):
    """vLLM's mm_processor_kwargs, as far as the processors of reasoners know them."""

    fps: float | None = Field(None, gt=0, le=60)
    num_frames: int | None = Field(None, ge=2, le=4096)
    min_frames: int | None = Field(None, ge=2, le=4096)
    max_frames: int | None = Field(None, ge=2, le=4096)
    min_pixels: int | None = Field(None, ge=1, le=_PIXELS)
    max_pixels: int | None = Field(None, ge=1, le=_PIXELS)
    total_pixels: int | None = Field(None, ge=1, le=_PIXELS)
    size: Size | None = None
    do_sample_frames: Literal[True] | None = None  # what always happens here


class VideoOptions(_Piece):
    """How vLLM and the NIM read a video; num_frames -1 takes all, if no rate is given."""

    fps: float | None = Field(None, gt=0, le=60)
    num_frames: Literal[-1] | Annotated[int, Field(ge=2, le=4096)] | None = None


class MediaOptions(_Piece):
    """vLLM's and the NIM's media_io_kwargs."""

    video: VideoOptions | None = None


class NimExtensions(_Piece):
    """The NIM's nvext."""

    guided_json: dict[str, Any] | None = None


class StreamOptions(_Piece):
    """OpenAI's options for a stream."""

    include_usage: Literal[True]  # the last piece of a stream always has it


class ChatRequest(Asking):
    """OpenAI's chat completion."""

    model: values.ModelName = None
    # The first fault ends it: a million of them would take minutes and gigabytes to collect.
    messages: list[ChatMessage] = Field(
        min_length=1, max_length=_MAX_MESSAGES, fail_fast=True, description=f"a list of 1 to {_MAX_MESSAGES} messages"
    )
    stream: bool = Field(False, description="true or false")
    stream_options: StreamOptions | None = Field(None, description='{"include_usage": true}')
    n: Literal[1] = Field(1, description="1")
    mm_processor_kwargs: ProcessorOptions | None = Field(None, description="options of the vision processor")
    media_io_kwargs: MediaOptions | None = Field(
        None, description='{"video": {"fps": …}} or {"video": {"num_frames": …}}'
    )
    nvext: NimExtensions | None = Field(None, description='{"guided_json": a JSON schema}')
