"""The Wan VAE with its weights on the device only while it works, and its decoder in bounded memory."""

from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from numpy.typing import NDArray

from cosmos_handler.families.base import Context

_PARTS = ("tokenizer",)  # the VAE's name among the parts
_FRAMES_AT_ONCE = 4  # of a video that was decoded whole; as many as a latent frame makes


def decoded_frames(vae: Any, latents: torch.Tensor, *, tiled: bool = False) -> Generator[torch.Tensor]:
    """What AutoencoderKLWan.decode makes of latents [1, C, t, h, w], bit for bit, in pieces [1, 3, T, H, W] in order.

    The library puts the pieces together on the device, which takes the memory of the video twice; here each is
    gone before the next. tiled: as the library decodes large pictures in tiles, which gives other pixels.
    """
    if tiled and _is_larger_than_a_tile(vae, latents):
        yield from torch.split(_decoded_in_tiles(vae, latents), _FRAMES_AT_ONCE, dim=2)
        return
    try:
        vae.clear_cache()
        unfolded = vae.post_quant_conv(latents)
        for number in range(latents.shape[2]):
            vae._conv_idx = [0]  # counts through the convolutions, each of which has its own entry in the cache
            # Without a name, so that nothing holds the piece while the next one is made.
            yield _finished(
                vae,
                vae.decoder(
                    unfolded[:, :, number : number + 1],
                    feat_cache=vae._feat_map,
                    feat_idx=vae._conv_idx,
                    first_chunk=number == 0,
                ),
            )
    finally:
        vae.clear_cache()


def _finished(vae: Any, piece: torch.Tensor) -> torch.Tensor:
    if vae.config.patch_size is not None:
        piece = unpatchify(piece, patch_size=vae.config.patch_size)
    return piece.clamp(min=-1.0, max=1.0)


def _is_larger_than_a_tile(vae: Any, latents: torch.Tensor) -> bool:
    """The library's own condition."""
    ratio = vae.spatial_compression_ratio
    return bool(
        latents.shape[-2] > vae.tile_sample_min_height // ratio
        or latents.shape[-1] > vae.tile_sample_min_width // ratio
    )


def _decoded_in_tiles(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    try:
        decoded: torch.Tensor = vae.tiled_decode(latents, return_dict=False)[0]
    finally:
        vae.clear_cache()
    return decoded


def num_frames_of(vae: Any, latents: torch.Tensor) -> int:
    """How many frames latents are: the first makes one, and every other as many as the VAE folds into it."""
    return int(1 + (latents.shape[2] - 1) * 2 ** sum(vae.temperal_downsample))


def decode_in_pieces(
    vae: Any, latents: torch.Tensor, context: Context, take: Callable[[int, torch.Tensor], None]
) -> int:
    """Decode latents in a stage of its own and say how many frames came of it.

    take: is given every piece [1, 3, T, H, W] on the device, with the number of its first frame.
    """
    num_frames = num_frames_of(vae, latents)
    done = 0
    with (
        context.stage("decode", _PARTS, num_steps=num_frames),
        _asked_before_each(vae.decoder, context.raise_if_cancelled),  # tiles are no steps
        closing(decoded_frames(vae, latents, tiled=context.decode_mode == "tiled")) as pieces,
    ):
        for piece in pieces:
            take(done, piece)
            done += piece.shape[2]
            del piece  # before the next is made
            context.step(done, num_frames)
    return done


@contextmanager
def _asked_before_each(decoder: torch.nn.Module, ask: Callable[[], None]) -> Iterator[None]:
    hook = decoder.register_forward_pre_hook(lambda module, arguments: ask())
    try:
        yield
    finally:
        hook.remove()


def put_into(frames: NDArray[Any], first: int, pixels: torch.Tensor) -> None:
    """Copy pixels [T, H, W, 3] from the device to their place in a video on the host."""
    torch.from_numpy(frames[first : first + len(pixels)]).copy_(pixels)


class _Blank(NamedTuple):
    """A video of one value throughout."""

    shape: torch.Size
    dtype: torch.dtype
    value: float


class BlankEncodings:
    """What the VAE made of videos without a picture: the pipelines encode one where they go on from nothing.

    Kept in host memory, those that were used last.
    """

    def __init__(self, max_count: int = 4) -> None:
        self._max_count = max_count
        self._kept: OrderedDict[_Blank, torch.Tensor] = OrderedDict()

    def encode(self, pixels: torch.Tensor, encode: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """As encode does it, or did it before. It gives the parameters of a distribution."""
        blank = _blank(pixels)
        if blank is None:
            return encode(pixels)
        kept = self._kept.get(blank)
        if kept is not None:
            self._kept.move_to_end(blank)
            return kept.to(pixels.device, copy=True)
        encoded = encode(pixels)
        self._kept[blank] = encoded.to("cpu", copy=True)
        if len(self._kept) > self._max_count:
            self._kept.popitem(last=False)
        return encoded


def _blank(pixels: torch.Tensor) -> _Blank | None:
    lowest, highest = (value.item() for value in torch.aminmax(pixels))
    return _Blank(pixels.shape, pixels.dtype, lowest) if lowest == highest else None


class StagedVae:
    """Stands where a pipeline has its VAE: its weights come for the calls that need them, in stages of their own."""

    def __init__(self, vae: Any, context: Context, blanks: BlankEncodings) -> None:
        self._vae = vae
        self._context = context
        self._blanks = blanks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vae, name)

    def encode(self, pixels: torch.Tensor, return_dict: bool = True) -> Any:
        """As the VAE does it; a video without a picture is encoded once."""
        distribution = DiagonalGaussianDistribution(self._blanks.encode(pixels, self._encode))
        return AutoencoderKLOutput(latent_dist=distribution) if return_dict else (distribution,)

    def decode(self, latents: torch.Tensor, return_dict: bool = True) -> Any:
        """As the VAE does it."""
        with self._context.stage("decode", _PARTS):
            return self._vae.decode(latents, return_dict=return_dict)

    def _encode(self, pixels: torch.Tensor) -> torch.Tensor:
        with self._context.stage("encode_media", _PARTS):
            parameters: torch.Tensor = self._vae.encode(pixels, return_dict=False)[0].parameters
        return parameters


@contextmanager
def standing_in(pipeline: Any, vae: StagedVae) -> Iterator[None]:
    """The pipeline with a stand-in for its VAE, for as long as the block lasts."""
    own = pipeline.vae
    pipeline.vae = vae
    try:
        yield
    finally:
        pipeline.vae = own
