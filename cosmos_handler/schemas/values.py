"""The values that requests of several kinds take: each with its bounds and what to say of it, under whatever name."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

# The names that others have for fields of every request for pictures.
PICTURE_ALIASES = {
    "guidance_scale": "guidance",
    "num_inference_steps": "num_steps",
    "steps": "num_steps",
    "size": "resolution",
}

ModelName = Annotated[str | None, Field(description="name or alias of a loaded model")]
Name = Annotated[str | None, Field(max_length=64, description="text of at most 64 characters, given back unchanged")]
Prompt = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000),
    Field(description="text of 1 to 20000 characters"),
]
NegativePrompt = Annotated[str | None, Field(max_length=20_000, description="text of at most 20000 characters")]

Image = Annotated[
    str | None, Field(description="an image: data: URL, base64, multipart part, or an address that is allowed")
]
Video = Annotated[
    str | None, Field(description="a video: data: URL, base64, multipart part, or an address that is allowed")
]
Medium = Annotated[
    str | None,
    Field(description="an image or a video: data: URL, base64, multipart part, or an address that is allowed"),
]

OutputS3Uri = Annotated[
    str | None,
    Field(
        max_length=2048, description="s3://bucket/prefix/, or s3://bucket/key with the ending of what is made (.mp4, …)"
    ),
]
PresignSeconds = Annotated[
    int | None, Field(ge=1, le=604_800, description="whole number, 1 to 604800: how long a link to the result works")
]

Seed = Annotated[int | None, Field(ge=0, le=2**32 - 1, description="whole number, 0 to 4294967295")]
Guidance = Annotated[float | None, Field(ge=0, le=20, description="number, 0 to 20")]
NumSteps = Annotated[int | None, Field(ge=1, le=200, description="whole number, 1 to 200")]
Height = Annotated[int | None, Field(ge=1, description="pixels, together with width")]
Width = Annotated[int | None, Field(ge=1, description="pixels, together with height")]

MaxTokens = Annotated[int | None, Field(ge=1, le=262_144, description="whole number, 1 to 262144")]
# Scores are divided by both, which for less goes beyond all numbers.
_LEAST_TEMPERATURE, _LEAST_PENALTY = 0.0001, 0.01


def _divides(temperature: float | None) -> float | None:
    if temperature is not None and 0 < temperature < _LEAST_TEMPERATURE:
        raise ValueError(f"too small to divide by: 0 (greedy), or {_LEAST_TEMPERATURE} and more")
    return temperature


Temperature = Annotated[
    float | None,
    Field(ge=0, le=2, description=f"number, 0 (greedy) or {_LEAST_TEMPERATURE} to 2"),
    AfterValidator(_divides),
]
TopP = Annotated[float | None, Field(gt=0, le=1, description="number above 0, up to 1")]
TopK = Annotated[int | None, Field(ge=1, le=1000, description="whole number, 1 to 1000")]
RepetitionPenalty = Annotated[float | None, Field(ge=_LEAST_PENALTY, le=10, description="number, 0.01 to 10")]
PresencePenalty = Annotated[float | None, Field(ge=-2, le=2, description="number, -2 to 2")]


def height_and_width(text: str) -> str | None:
    """NVIDIA's "H,W" or everybody else's "WxH" in pixels as "H,W"; None for a text that is neither."""
    text = text.strip().lower()
    if "x" in text:
        text = ",".join(reversed(text.split("x")))
    pieces = [piece.strip() for piece in text.split(",")]
    # As many digits as no picture has, so that what is merely too large is told with the limits of the model.
    if len(pieces) != 2 or not all(piece.isascii() and piece.isdecimal() and len(piece) < 10 for piece in pieces):
        return None
    return ",".join(str(int(piece)) for piece in pieces)
