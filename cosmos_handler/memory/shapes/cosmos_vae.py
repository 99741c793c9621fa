"""diffusers' AutoencoderKLCosmos, of Cosmos 1.0, which works on the whole video at once: its tiles have no effect."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cosmos_handler.memory.shapes.values import FLOAT_BYTES, INDEX_BYTES, value_bytes
from cosmos_handler.memory.shapes.wan_layers import Frames, conv_flops
from cosmos_handler.memory.sheet import Work

_CODE_CHANNELS = 6  # that become a token
_REPEATED_FRAMES = 2  # of the first, before it, which a causal convolution in time begins with


@dataclass(frozen=True)
class _Step:
    peak_bytes: int
    linear_flops: float = 0.0
    attention_flops: float = 0.0


@dataclass(frozen=True)
class CosmosVae:
    """patch: frames, rows and columns that are folded into channels by wavelets.

    code_channels: of what becomes tokens, where they do. time_level: the first resolution that lengthens time.
    """

    latent_channels: int
    encoder_widths: tuple[int, ...]
    decoder_widths: tuple[int, ...]
    residuals: int
    patch: int
    spatial_factor: int
    temporal_factor: int
    value_bytes: int
    code_channels: int = 0
    time_level: int = 1

    @classmethod
    def of_codes(cls, config: Mapping[str, Any], dtype: str) -> "CosmosVae":
        """The same networks around tokens, as `families/autoregressive/tokenizer` has them, by its config.json."""
        width = config.get("width", 128)
        widths = tuple(factor * width for factor in (1, 2, 4, 4))
        known = {
            "latent_channels": config.get("latent_channels", 16),
            "encoder_block_out_channels": widths,
            "decode_block_out_channels": (*widths[1:], widths[-1]),
            "spatial_compression_ratio": 16,
        }
        time_level = 1 if config.get("mirrored", True) else 0
        return replace(cls.from_config(known, dtype), code_channels=_CODE_CHANNELS, time_level=time_level)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], dtype: str) -> "CosmosVae":
        """By config.json; what it leaves out is as the library's class has it."""
        return cls(
            latent_channels=config.get("latent_channels", 16),
            encoder_widths=tuple(config.get("encoder_block_out_channels", (128, 256, 512, 512))),
            decoder_widths=tuple(config.get("decode_block_out_channels", (256, 512, 512, 512))),
            residuals=config.get("num_layers", 2),
            patch=config.get("patch_size", 4),
            spatial_factor=config.get("spatial_compression_ratio", 8),
            temporal_factor=config.get("temporal_compression_ratio", 8),
            value_bytes=value_bytes(dtype),
        )

    def latent_frames(self, frames: int) -> int:
        """Latents of a video of so many frames."""
        return (frames - 1) // self.temporal_factor + 1

    def video_bytes(self, frames: int, height: int, width: int) -> int:
        """Pixels in the VAE's own type."""
        return 3 * frames * height * width * self.value_bytes

    def decode_bytes(self, latent_frames: int, rows: int, columns: int) -> int:
        """The most that decoding has alive beside the latents."""
        latents = self.latent_channels * latent_frames * rows * columns * self.value_bytes
        codes = self._codes_bytes(latent_frames * rows * columns)
        return max(step.peak_bytes for step in self._decoder(latent_frames, rows, columns)) + 2 * latents + codes

    def decode_work(self, latent_frames: int, rows: int, columns: int) -> Work:
        """Operations for a whole video."""
        return _work(self._decoder(latent_frames, rows, columns))

    def encode_bytes(self, frames: int, height: int, width: int) -> int:
        """The most that encoding has alive beside the video."""
        codes = self.latent_frames(frames) * (height // self.spatial_factor) * (width // self.spatial_factor)
        return max(*(step.peak_bytes for step in self._encoder(frames, height, width)), self._codes_bytes(codes))

    def encode_work(self, frames: int, height: int, width: int) -> Work:
        """Operations for a whole video."""
        return _work(self._encoder(frames, height, width))

    def _codes_bytes(self, codes: int) -> int:
        """While channels become tokens, or tokens channels: whole numbers, times two, and floats of each."""
        return codes * (
            self.code_channels * (3 * INDEX_BYTES + FLOAT_BYTES) + 2 * INDEX_BYTES * bool(self.code_channels)
        )

    @property
    def _halvings(self) -> int:
        return int(math.log2(self.spatial_factor)) - int(math.log2(self.patch))

    @property
    def _time_halvings(self) -> int:
        return int(math.log2(self.temporal_factor)) - int(math.log2(self.patch))

    def _doubles(self, level: int, num_levels: int) -> tuple[bool, bool]:
        """Whether the level changes rows and columns, and whether it changes frames."""
        if level >= num_levels - 1:
            return False, False
        in_time = self.time_level <= level < self._time_halvings + self.time_level
        return in_time or (level < self._halvings and self._halvings > self._time_halvings), in_time

    def _decoder(self, latent_frames: int, rows: int, columns: int) -> Iterator[_Step]:
        widths = tuple(reversed(self.decoder_widths))
        z = Frames(self.latent_channels, latent_frames, rows, columns, self.value_bytes, first=False)
        x = z.become(widths[0])
        yield _Step(z.size_bytes + _projection_bytes(z, x), _projection_flops(z, x))
        yield from _middle(x)
        for level, width in enumerate(widths[1:]):
            entered = x
            for number in range(self.residuals + 1):
                yield _residual(x, width, held=entered.size_bytes + (x.size_bytes if number else 0))
                x = x.become(width)
            in_space, in_time = self._doubles(level, len(widths) - 1)
            if in_space or in_time:
                frames = 2 * x.frames - 1 if in_time else x.frames
                after = Frames(width, frames, x.rows * (1 + in_space), x.columns * (1 + in_space), x.value_bytes, False)
                yield _up(x, after, held=entered.size_bytes + x.size_bytes)
                x = after
        pixels = x.become(3 * self.patch**3)
        yield _Step(x.size_bytes + max(2 * x.size_bytes, x.size_bytes + _projection_bytes(x, pixels)),
                    _projection_flops(x, pixels))  # fmt: skip
        # Each wavelet step has its input, two halfway stages and the output, which is added up, at once.
        yield _Step(int(pixels.size_bytes * (7 + 1 / 4)))

    def _encoder(self, frames: int, height: int, width: int) -> Iterator[_Step]:
        patch = self.patch
        folded = Frames(
            3 * patch**3, (frames - 1) // patch + 1, height // patch, width // patch, self.value_bytes, first=False
        )
        yield _Step(int(folded.size_bytes * 6.5))  # and the borders that each wavelet step adds
        x = folded.become(self.encoder_widths[0])
        yield _Step(folded.size_bytes + _projection_bytes(folded, x), _projection_flops(folded, x))
        widths = self.encoder_widths
        for level, width_out in enumerate(widths[1:]):
            entered = x
            for number in range(self.residuals):
                yield _residual(x, width_out, held=entered.size_bytes + (x.size_bytes if number else 0))
                x = x.become(width_out)
            in_space, in_time = self._halves(level, len(widths) - 1)
            if in_space or in_time:
                frames_left = (x.frames + 1) // 2 if in_time else x.frames
                after = Frames(
                    width_out, frames_left, x.rows // (1 + in_space), x.columns // (1 + in_space), x.value_bytes, False
                )
                yield _down(x, after, held=entered.size_bytes + x.size_bytes)
                x = after
        yield from _middle(x)
        latents = x.become(self.latent_channels)
        yield _Step(3 * x.size_bytes + _projection_bytes(x, latents), _projection_flops(x, latents))

    def _halves(self, level: int, num_levels: int) -> tuple[bool, bool]:
        if level >= num_levels - 1:
            return False, False
        return level < self._halvings, level < self._time_halvings


def _projection_bytes(x: Frames, out: Frames) -> int:
    """What a convolution in space and one in time add to their input."""
    padded = x.of(x.frames, border=2)
    repeated = out.of(_REPEATED_FRAMES)
    longer = out.size_bytes + repeated
    in_space = max(x.size_bytes + padded, padded + out.size_bytes)
    return max(in_space, out.size_bytes + 2 * longer + repeated, 2 * out.size_bytes + longer + repeated)


def _projection_flops(x: Frames, out: Frames) -> float:
    return conv_flops(x, out.channels, 9) + conv_flops(out, out.channels, 3)


def _residual(x: Frames, channels: int, *, held: int) -> _Step:
    out = x.become(channels)
    wide, narrow = x.size_bytes, out.size_bytes
    by = narrow if channels != x.channels else 0
    peak = max(
        max(2 * wide, wide + narrow) if by else 0,
        by + 2 * wide,
        by + wide + _projection_bytes(x, out),
        by + 3 * narrow,
        by + narrow + _projection_bytes(out, out),
    )
    flops = _projection_flops(x, out) + _projection_flops(out, out) + (conv_flops(x, channels, 1) if by else 0.0)
    return _Step(held + peak, flops)


def _middle(x: Frames) -> Iterator[_Step]:
    size = x.size_bytes
    yield _residual(x, x.channels, held=size)
    pixels = x.rows * x.columns
    rows = x.frames * pixels * FLOAT_BYTES
    for pairs in (x.frames * pixels**2, pixels * x.frames**2):
        yield _Step(2 * size + 7 * size + rows, conv_flops(x, 4 * x.channels, 1), 4.0 * x.channels * pairs)
    yield _residual(x, x.channels, held=2 * size)


def _up(x: Frames, after: Frames, *, held: int) -> _Step:
    wide = after.size_bytes
    halfway = after.become(after.channels, side=0.5).size_bytes
    longer = x.become(x.channels, frames=2).of(2 * x.frames + _REPEATED_FRAMES)
    padded = after.of(after.frames, border=2)
    timing = halfway + 2 * longer
    spacing = max(halfway + 2 * halfway + wide, wide + wide + padded, wide + padded + wide, 3 * wide)
    flops = conv_flops(after, after.channels, 9 + 1) + conv_flops(after, after.channels, 3) / 4
    return _Step(held + max(timing, spacing), flops)


def _down(x: Frames, after: Frames, *, held: int) -> _Step:
    padded = x.of(x.frames, border=1)
    halved = x.become(x.channels, side=0.5).size_bytes
    flops = conv_flops(x.become(x.channels, side=0.5), x.channels, 9) + conv_flops(after, x.channels, 3 + 1)
    return _Step(held + max(3 * padded, 2 * padded + 2 * halved), flops)


def _work(steps: Iterator[_Step]) -> Work:
    work = Work()
    for step in steps:
        work += Work(step.linear_flops, step.attention_flops)
    return work
