"""A question about an image or a video: a plain prompt with media, or OpenAI's chat messages."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

PROMPT_ALIASES = {
    "max_new_tokens": "max_tokens",
    "model_mode": "inference_type",
    "video_fps": "fps",
    "input_reference": "input_path",
    "vision_path": "input_path",
    "video_path": "input_path",
}
CHAT_ALIASES = {"max_completion_tokens": "max_tokens", "max_new_tokens": "max_tokens"}


class Sampling(BaseModel):
    """How the next token is drawn; what is left out comes from the checkpoint's own generation_config.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_tokens: int | None = Field(None, ge=1, le=262_144, description="whole number, 1 to 262144")
    temperature: float | None = Field(None, ge=0, le=2, description="number, 0 (greedy) to 2")
    top_p: float | None = Field(None, gt=0, le=1, description="number above 0, up to 1")
    top_k: int | None = Field(None, ge=1, le=1000, description="whole number, 1 to 1000")
    repetition_penalty: float | None = Field(None, gt=0, le=10, description="number above 0, up to 10")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="whole number, 0 to 4294967295")
    fps: float = Field(4.0, gt=0, le=60, description="frames per second taken from a video, above 0 up to 60")


class ReasoningRequest(Sampling):
    """A prompt, and at most one image or video before it."""

    inference_type: Literal["reasoner"] | None = Field(None, description="reasoner")
    model: str | None = Field(None, description="name or alias of a loaded model")
    name: str | None = Field(None, max_length=64, description="text of at most 64 characters, given back unchanged")
    prompt: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200_000)] = Field(
        description="text of 1 to 200000 characters"
    )
    system_prompt: str | None = Field(None, max_length=200_000, description="text of at most 200000 characters")
    input_path: str | None = Field(None, description="an image or a video: data: URL, base64 or multipart part")
    image: str | None = Field(None, description="an image: data: URL, base64 or multipart part")
    video: str | None = Field(None, description="a video: data: URL, base64 or multipart part")
    do_sample: bool | None = Field(None, description="true or false")


class _Piece(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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


class ChatMessage(_Piece):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str | list[Piece]


class ChatRequest(Sampling):
    """OpenAI's chat completion."""

    model: str | None = Field(None, description="name or alias of a loaded model")
    messages: list[ChatMessage] = Field(min_length=1, description="a list of messages, one at least")
    stream: bool = Field(False, description="true or false")
    n: Literal[1] = Field(1, description="1")
