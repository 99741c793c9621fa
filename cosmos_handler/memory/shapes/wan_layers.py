"""The layers of diffusers' AutoencoderKLWan: how much each holds while it works on a few frames, and computes."""

import math
from dataclasses import dataclass

from cosmos_handler.memory.shapes.values import FLOAT_BYTES

_CACHED_FRAMES = 2  # what a causal convolution keeps of the frames before


@dataclass(frozen=True)
class Frames:
    """A few frames of features: channels, frames, rows, columns, bytes of a value. first: of the very first ones."""

    channels: int
    frames: int
    rows: int
    columns: int
    value_bytes: int
    first: bool

    @property
    def size_bytes(self) -> int:
        """All of them."""
        return self.of(self.frames)

    def of(self, frames: int, *, border: int = 0) -> int:
        """So many of them, with a border of so many values on either side together."""
        return self.channels * frames * (self.rows + border) * (self.columns + border) * self.value_bytes

    @property
    def values(self) -> int:
        """How many numbers."""
        return self.channels * self.frames * self.rows * self.columns

    @property
    def kept_bytes(self) -> int:
        """What a causal convolution keeps of them for the next ones."""
        return self.of(1 if self.first else _CACHED_FRAMES)

    def become(self, channels: int, *, frames: float = 1, side: float = 1) -> "Frames":
        """With other channels, so many times the frames and the rows and columns."""
        return Frames(
            channels,
            math.ceil(self.frames * frames),
            math.ceil(self.rows * side),
            math.ceil(self.columns * side),
            self.value_bytes,
            self.first,
        )

    def single_bytes(self) -> int:
        """In float32, where that is another type."""
        return self.values * FLOAT_BYTES if self.value_bytes < FLOAT_BYTES else 0


def norm_bytes(x: Frames) -> int:
    """What an RMS norm adds to its input."""
    lengths = 2 * x.frames * x.rows * x.columns * FLOAT_BYTES
    single = x.single_bytes()
    return max(2 * single, single + x.size_bytes, 3 * x.size_bytes) + lengths


def causal_bytes(x: Frames, out: Frames) -> int:
    """What a causal convolution of 3 x 3 x 3 adds to its input, with what it keeps for the next frames."""
    padded = x.of(x.frames + 2, border=2)
    joined = 0 if x.first else x.of(x.frames + _CACHED_FRAMES)
    keeping = x.kept_bytes + (x.of(1) if x.frames == 1 and not x.first else 0)
    return max(keeping, x.kept_bytes + max(joined + padded, padded + out.size_bytes))


def residual_bytes(x: Frames, channels: int) -> int:
    """What a residual block adds to its input, its output included."""
    out = x.become(channels)
    wide, narrow = x.size_bytes, out.size_bytes
    by = narrow if channels != x.channels else 0
    return max(
        wide + narrow if by else 0,
        by + norm_bytes(x),
        by + 2 * wide,
        by + wide + causal_bytes(x, out),
        by + narrow + norm_bytes(out),
        by + 2 * narrow,
        by + narrow + causal_bytes(out, out),
    )


def attention_bytes(x: Frames) -> int:
    """What the attention in the middle adds to its input."""
    size = x.size_bytes
    rows = x.frames * x.rows * x.columns * FLOAT_BYTES
    return max(size + norm_bytes(x), size + 6 * size, 6 * size + rows, 4 * size)


def up_bytes(x: Frames, channels: int, *, in_time: bool) -> int:
    """What doubling the rows and columns adds to its input, and the frames where it does that as well."""
    doubles = in_time and not x.first
    before = x.become(x.channels, frames=2) if doubles else x
    size, single = before.size_bytes, before.single_bytes()
    out = before.become(channels, side=2).size_bytes
    copy = size if before.frames > 1 else 0
    held = size if doubles else copy
    enlarging = held + max(single + 4 * single, 4 * single + 4 * size, 4 * size + out)
    if not doubles:
        return enlarging
    joined = x.of(x.frames + _CACHED_FRAMES)
    timing = x.kept_bytes + x.of(1) + max(2 * joined, joined + size)
    return max(timing, 2 * size + x.kept_bytes, enlarging)


def down_bytes(x: Frames, *, in_time: bool) -> int:
    """What halving the rows and columns adds to its input, and the frames where it does that as well."""
    out = x.become(x.channels, side=0.5)
    copy = x.size_bytes if x.frames > 1 else 0
    halving = copy + x.of(x.frames, border=1) + out.size_bytes
    if not in_time:
        return halving
    joined = out.of(out.frames + 1)
    return max(halving, out.size_bytes + out.of(1) + 2 * joined)


def conv_flops(x: Frames, channels: int, taps: int) -> float:
    """A multiplication and an addition for every output, input channel and tap."""
    return 2.0 * x.values * channels * taps


def residual_flops(x: Frames, channels: int) -> float:
    """Of two convolutions, and of the one beside them where the width changes."""
    out = x.become(channels)
    by = conv_flops(x, channels, 1) if channels != x.channels else 0.0
    return conv_flops(x, channels, 27) + conv_flops(out, channels, 27) + by
