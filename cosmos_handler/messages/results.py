"""What came of a task."""

from typing import Annotated, Any, Literal

from pydantic import Field

from cosmos_handler.messages.machine import DecodeMode, StageReport
from cosmos_handler.messages.tasks import Value


class Verdict(Value):
    """What one guardrail said of one job. detail: labels and counts, never words of the prompt.

    state: off where the deployer has switched it off; changed where it altered frames that then went out.
    """

    check: str
    state: Literal["off", "passed", "blocked", "changed", "error"]
    detail: str = ""
    seconds: float = 0.0

    def told(self) -> dict[str, Any]:
        """As answers report it."""
        if self.state == "off":
            return {"check": self.check, "state": self.state}
        return {**self.model_dump(), "seconds": round(self.seconds, 4)}


class Report(Value):
    """What every answer carries, besides its job id.

    plan: part → where its weights lay. offload: what chose that: "auto", a row of NVIDIA's tables, or "by hand".
    decode: "tiled" where the VAE decoded in overlapping tiles, which changes pixels.
    stages: what was predicted of each and how it went. retried: the device had too little memory once, for it or for
    those that it was made with, and it was run again. predicted_peak_bytes, predicted_seconds: of the whole run.
    batch_size: how many jobs were made together, whose plan and shared stages these are then.
    upsampled_prompt: what a reasoner made of the prompt, where that was asked for.
    guardrails: in the order in which they ran, then those that are switched off; none for an answer in words.
    guidance_usual: the guidance of a generated answer as unconditional + g (conditional - unconditional).
    """

    model: str
    revision: str
    seed: int
    device: str
    plan: dict[str, str]
    stage_seconds: dict[str, float]
    peak_device_bytes: int | None
    guardrails: tuple[Verdict, ...]
    guidance_usual: float | None = None
    upsampled_prompt: str | None = None
    decode: DecodeMode = "exact"
    offload: str = "auto"
    stages: tuple[StageReport, ...] = ()
    retried: bool = False
    predicted_peak_bytes: int | None = None
    predicted_seconds: float | None = None
    batch_size: int = 1


class VideoOutput(Value):
    """A finished file in the job's folder. num_frames_generated counts before the trim to num_frames."""

    kind: Literal["video"] = "video"
    path: str
    media_type: Literal["video/mp4", "application/x-npz"]
    num_frames: int
    num_frames_generated: int
    height: int
    width: int
    fps: float


class Found(Value):
    """A box (left, top, right, bottom) or a point (x, y) in an answer.

    position: as the model gave it, 0 to 1000 of width and height. pixels: of the medium as it was sent.
    """

    label: str | None
    position: tuple[float, ...]
    pixels: tuple[float, ...]


class ImageOutput(Value):
    """A finished picture in the job's folder; as application/x-npz it is a video of one frame."""

    kind: Literal["image"] = "image"
    path: str
    media_type: Literal["image/png", "application/x-npz"]
    height: int
    width: int


class TextOutput(Value):
    """An answer in words; reasoning is what stood between think tags. found: None unless asked for."""

    kind: Literal["text"] = "text"
    text: str
    reasoning: str | None
    finish_reason: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int
    found: tuple[Found, ...] | None = None


Output = Annotated[VideoOutput | ImageOutput | TextOutput, Field(discriminator="kind")]
