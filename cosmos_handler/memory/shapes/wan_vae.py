"""diffusers' AutoencoderKLWan, of Wan 2.1 and Wan 2.2, which works on four frames at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cosmos_handler.memory.shapes.values import FLOAT_BYTES, value_bytes
from cosmos_handler.memory.shapes.wan_layers import (
    Frames,
    attention_bytes,
    causal_bytes,
    conv_flops,
    down_bytes,
    norm_bytes,
    residual_bytes,
    residual_flops,
    up_bytes,
)
from cosmos_handler.memory.sheet import Work

# What the library's tiled_decode takes unless it is told, in pixels.
_TILE_PIXELS, _TILE_STRIDE_PIXELS = 256, 192


@dataclass(frozen=True)
class _Step:
    """One layer at work. peak_bytes: all that is alive then but the caches. kept_bytes: what it caches."""

    peak_bytes: int
    kept_bytes: int
    linear_flops: float = 0.0
    attention_flops: float = 0.0


@dataclass(frozen=True)
class WanVae:
    """patch: pixels that are folded into channels, 1 where none are. is_residual: as in Wan 2.2."""

    encoder_width: int
    decoder_width: int
    latent_channels: int
    widening: tuple[int, ...]
    residuals: int
    halves_time: tuple[bool, ...]
    is_residual: bool
    pixel_channels: int
    patch: int
    spatial_factor: int
    value_bytes: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any], dtype: str) -> "WanVae":
        """By config.json; what it leaves out is as the library's class has it."""
        width = config.get("base_dim", 96)
        halves_time = tuple(config.get("temperal_downsample", (False, True, True)))
        patch = config.get("patch_size") or 1
        return cls(
            encoder_width=width,
            decoder_width=config.get("decoder_base_dim") or width,
            latent_channels=config.get("z_dim", 16),
            widening=tuple(config.get("dim_mult", (1, 2, 4, 4))),
            residuals=config.get("num_res_blocks", 2),
            halves_time=halves_time,
            is_residual=bool(config.get("is_residual", False)),
            pixel_channels=config.get("in_channels", 3),
            patch=patch,
            spatial_factor=2 ** len(halves_time) * patch,
            value_bytes=value_bytes(dtype),
        )

    @property
    def temporal_factor(self) -> int:
        """Frames to a latent one, but for the first."""
        return int(2 ** sum(self.halves_time))

    def latent_frames(self, frames: int) -> int:
        """Latents of a video of so many frames."""
        return (frames - 1) // self.temporal_factor + 1

    def latent_bytes(self, latent_frames: int, rows: int, columns: int) -> int:
        """Latents in the VAE's own type."""
        return self.latent_channels * latent_frames * rows * columns * self.value_bytes

    def video_bytes(self, frames: int, height: int, width: int) -> int:
        """Pixels in the VAE's own type."""
        return 3 * frames * height * width * self.value_bytes

    def decode_bytes(self, latent_frames: int, rows: int, columns: int) -> int:
        """The most that decoding has alive beside the latents, one latent frame after the other.

        Of the video only the frames of one latent are there, and on their way to uint8.
        """
        work = max(self._decoder_bytes(latent_frames, rows, columns), self._shown_bytes(latent_frames, rows, columns))
        return work + 2 * self.latent_bytes(latent_frames, rows, columns)

    def needs_tiles(self, rows: int, columns: int) -> bool:
        """Whether latents are larger than one tile, which is decoded whole."""
        return max(rows, columns) > _TILE_PIXELS // self.spatial_factor

    def tiled_decode_bytes(self, latent_frames: int, rows: int, columns: int) -> int:
        """The same in the library's tiles, which it keeps until all are there, and the whole video in the end."""
        side, stride = (pixels // self.spatial_factor for pixels in (_TILE_PIXELS, _TILE_STRIDE_PIXELS))
        places = list(_tiles(rows, columns, side=side, stride=stride))
        at_work = {tile: self._decoder_bytes(latent_frames, *tile) for tile in dict.fromkeys(places)}
        tiles = decoding = decoded = 0
        for tile in places:
            decoded = self._video_of(latent_frames, *tile)
            # The frames of a tile lie there one by one, and then joined.
            decoding = max(decoding, tiles + decoded + max(decoded, at_work[tile]))
            tiles += decoded
        video = self._video_of(latent_frames, rows, columns)
        # The frames of the last tile still have a name while the whole is put together.
        return max(decoding, tiles + decoded + 3 * video) + 2 * self.latent_bytes(latent_frames, rows, columns)

    def encode_bytes(self, frames: int, height: int, width: int) -> int:
        """The most that encoding has alive beside the video."""
        latent_frames = self.latent_frames(frames)
        rows, columns = height // self.spatial_factor, width // self.spatial_factor
        latents = 2 * self.latent_bytes(latent_frames, rows, columns)
        folded = self.video_bytes(frames, height, width) if self.patch > 1 else 0
        peak = _peak_bytes(self._encoder(self._pixels(height, width, first=latent_frames == 1)), latent_frames)
        return folded + peak + 3 * latents

    def decode_work(self, latent_frames: int, rows: int, columns: int) -> Work:
        """Operations for a whole video."""
        first, more = (_work(self._decoder(self._latents(rows, columns, first=first))) for first in (True, False))
        own = 2.0 * self.latent_channels**2 * latent_frames * rows * columns
        return first + more.times(latent_frames - 1) + Work(own)

    def tiled_decode_work(self, latent_frames: int, rows: int, columns: int) -> Work:
        """The same in tiles, whose edges are decoded more than once."""
        side, stride = (pixels // self.spatial_factor for pixels in (_TILE_PIXELS, _TILE_STRIDE_PIXELS))
        work = Work()
        for tile in _tiles(rows, columns, side=side, stride=stride):
            work += self.decode_work(latent_frames, *tile)
        return work

    def encode_work(self, frames: int, height: int, width: int) -> Work:
        """Operations for a whole video."""
        first, more = (_work(self._encoder(self._pixels(height, width, first=first))) for first in (True, False))
        latent_frames = self.latent_frames(frames)
        per_frame = (height // self.spatial_factor) * (width // self.spatial_factor)
        return first + more.times(latent_frames - 1) + Work(8.0 * self.latent_channels**2 * latent_frames * per_frame)

    def _decoder_bytes(self, latent_frames: int, rows: int, columns: int) -> int:
        return _peak_bytes(self._decoder(self._latents(rows, columns, first=latent_frames == 1)), latent_frames)

    def _shown_bytes(self, latent_frames: int, rows: int, columns: int) -> int:
        """The frames of one latent while they become uint8, in float32 for a while."""
        frames = 1 if latent_frames == 1 else self.temporal_factor
        pixels = frames * 3 * rows * columns * self.spatial_factor**2
        kept = sum(step.kept_bytes for step in self._decoder(self._latents(rows, columns, first=latent_frames == 1)))
        return kept + pixels * (3 * self.value_bytes + 2 * FLOAT_BYTES + 1)

    def _video_of(self, latent_frames: int, rows: int, columns: int) -> int:
        frames = (latent_frames - 1) * self.temporal_factor + 1
        return self.video_bytes(frames, rows * self.spatial_factor, columns * self.spatial_factor)

    def _latents(self, rows: int, columns: int, *, first: bool) -> Frames:
        return Frames(self.latent_channels, 1, rows, columns, self.value_bytes, first)

    def _pixels(self, height: int, width: int, *, first: bool) -> Frames:
        frames = 1 if first else self.temporal_factor
        return Frames(self.pixel_channels, frames, height // self.patch, width // self.patch, self.value_bytes, first)

    def _decoder(self, z: Frames) -> Iterator[_Step]:
        widths = [self.decoder_width * factor for factor in (self.widening[-1], *reversed(self.widening))]
        x = z.become(widths[0])
        yield _conv(z, x)
        yield from _middle(x)
        for level, width in enumerate(widths[1:]):
            is_last = level == len(self.widening) - 1
            in_time = not is_last and self.halves_time[::-1][level]
            entered = x
            held = entered.size_bytes * (2 if self.is_residual else 1)
            for number in range(self.residuals + 1):
                yield _residual(x, width, held=held + (x.size_bytes if number else 0))
                x = x.become(width)
            if not is_last:
                after = x.become(
                    width if self.is_residual else width // 2, frames=1 if z.first or not in_time else 2, side=2
                )
                yield _up(x, after, in_time=in_time, held=held + x.size_bytes)
                if self.is_residual:
                    # The way past the block: the input repeated to the output's size, and put in order.
                    repeated = after.size_bytes * (2 if z.first and in_time else 1)
                    yield _Step(held + after.size_bytes + 2 * max(repeated, after.size_bytes), 0)
                x = after
        yield _head(x, self.pixel_channels)

    def _encoder(self, pixels: Frames) -> Iterator[_Step]:
        x = pixels.become(self.encoder_width)
        yield _conv(pixels, x)
        for level, factor in enumerate(self.widening):
            is_last = level == len(self.widening) - 1
            in_time = not is_last and self.halves_time[level]
            entered = x
            held = 2 * entered.size_bytes if self.is_residual else 0
            for number in range(self.residuals):
                yield _residual(x, self.encoder_width * factor, held=held + (x.size_bytes if number or not held else 0))
                x = x.become(self.encoder_width * factor)
            if not is_last:
                after = x.become(x.channels, frames=0.5 if in_time and not x.first else 1, side=0.5)
                yield _down(x, after, in_time=in_time, held=held + x.size_bytes)
                x = after
            if self.is_residual:
                padded = entered.of(entered.frames + entered.frames % 2 * in_time)
                yield _Step(held + x.size_bytes + 2 * padded + 2 * x.size_bytes, 0)
        yield from _middle(x)
        yield _head(x, 2 * self.latent_channels)


def _tiles(rows: int, columns: int, *, side: int, stride: int) -> Iterator[tuple[int, int]]:
    """Rows and columns of each tile, in order."""
    for row in range(0, rows, stride):
        for column in range(0, columns, stride):
            yield min(side, rows - row), min(side, columns - column)


def _peak_bytes(steps: Iterator[_Step], latent_frames: int) -> int:
    """The most of one pass. Of several latent frames the later ones find the caches of all layers full."""
    passed = list(steps)
    if latent_frames > 1:
        return max(step.peak_bytes for step in passed) + sum(step.kept_bytes for step in passed)
    peak = kept = 0
    for step in passed:
        kept += step.kept_bytes
        peak = max(peak, kept + step.peak_bytes)
    return peak


def _conv(x: Frames, out: Frames) -> _Step:
    return _Step(x.size_bytes + causal_bytes(x, out), x.kept_bytes, conv_flops(x, out.channels, 27))


def _head(x: Frames, channels: int) -> _Step:
    peak = x.size_bytes + max(norm_bytes(x), 2 * x.size_bytes, causal_bytes(x, x.become(channels)))
    return _Step(peak, x.kept_bytes, conv_flops(x, channels, 27))


def _residual(x: Frames, channels: int, *, held: int) -> _Step:
    kept = x.kept_bytes + x.become(channels).kept_bytes
    return _Step(held + residual_bytes(x, channels), kept, residual_flops(x, channels))


def _middle(x: Frames) -> Iterator[_Step]:
    yield _residual(x, x.channels, held=x.size_bytes)
    pixels = x.rows * x.columns
    yield _Step(
        2 * x.size_bytes + attention_bytes(x),
        0,
        conv_flops(x, 4 * x.channels, 1),
        4.0 * x.channels * x.frames * pixels * pixels,
    )
    yield _residual(x, x.channels, held=2 * x.size_bytes)


def _up(x: Frames, after: Frames, *, in_time: bool, held: int) -> _Step:
    doubles = in_time and not x.first
    enlarged = x.become(x.channels, frames=2 if doubles else 1, side=2)
    flops = conv_flops(enlarged, after.channels, 9) + (conv_flops(x, 2 * x.channels, 3) if doubles else 0.0)
    kept = x.kept_bytes if doubles else 0
    return _Step(held + up_bytes(x, after.channels, in_time=in_time), kept, flops)


def _down(x: Frames, after: Frames, *, in_time: bool, held: int) -> _Step:
    halved = x.become(x.channels, side=0.5)
    timed = in_time and not x.first
    flops = conv_flops(halved, x.channels, 9) + (conv_flops(after, x.channels, 3) if timed else 0.0)
    return _Step(held + down_bytes(x, in_time=timed), halved.of(1) if in_time else 0, flops)


def _work(steps: Iterator[_Step]) -> Work:
    work = Work()
    for step in steps:
        work += Work(step.linear_flops, step.attention_flops)
    return work
