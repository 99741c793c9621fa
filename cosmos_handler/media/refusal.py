"""What the short-lived processes say of an input that they will not fetch or decode."""

from typing import Literal

from cosmos_handler.media.limits import MediaLimits


class Refusal(Exception):
    """The input is unsuitable or too large; the process that asked knows the field and makes the error of it.

    reason: "media" becomes MediaError, "too_large" becomes TooLarge, "address" becomes InvalidField.
    """

    def __init__(self, reason: Literal["media", "too_large", "address"], problem: str) -> None:
        super().__init__(problem)
        self.reason = reason
        self.problem = problem


def refuse_large_frames(height: int, width: int, limits: MediaLimits, *, num_frames: int = 1) -> None:
    """Hold the frames that would be kept against the limits. Raises Refusal."""
    if height * width > limits.max_pixels:
        problem = f"has {width}x{height} pixels, more than the {limits.max_pixels} that a frame may have"
        raise Refusal("too_large", problem)
    decoded_bytes = num_frames * height * width * 3
    if decoded_bytes > limits.max_decoded_bytes:
        problem = f"makes {decoded_bytes} bytes of frames, more than the {limits.max_decoded_bytes} allowed"
        raise Refusal("too_large", problem)
