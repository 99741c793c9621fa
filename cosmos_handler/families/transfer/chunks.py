"""A long video made chunk by chunk: how many chunks there are, and their frames as they leave the decoder."""

from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.vae import DecoderOutput
from numpy.typing import NDArray

from cosmos_handler.families.base import Context
from cosmos_handler.families.pipeline import uint8_frames
from cosmos_handler.families.vae import BlankEncodings, StagedVae, decode_in_pieces, num_frames_of, put_into


def on_host(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Memory of the host, whatever the device is."""
    return torch.empty(shape, dtype=dtype)


class Film:
    """The frames of all chunks one after the other, without those that a chunk repeats."""

    def __init__(self, shape: tuple[int, int, int, int], *, overlap: int) -> None:
        self.frames: NDArray[np.uint8] = np.empty(shape, dtype=np.uint8)
        self.num_filled = 0
        self._overlap = overlap
        self._num_repeated = 0  # at the beginning of the present chunk

    def take(self, first: int, piece: torch.Tensor) -> None:
        """Some frames of a chunk, [T, H, W, 3], which begin with its frame `first`; beyond the end is padding."""
        if first == 0:
            self._num_repeated = self._overlap if self.num_filled else 0
        fresh = piece[max(0, self._num_repeated - first) :][: len(self.frames) - self.num_filled]
        put_into(self.frames, self.num_filled, fresh)
        self.num_filled += len(fresh)


class ChunkVae(StagedVae):
    """Shows every chunk that the pipeline decodes to a film.

    The pipeline decodes each chunk once, because the next one goes on from its last frames; what it makes of them
    in the end takes several times the memory in float32, so it is asked for latents and the frames are taken here.
    """

    def __init__(self, vae: Any, context: Context, blanks: BlankEncodings, film: Film) -> None:
        super().__init__(vae, context, blanks)
        self._film = film
        self._chunk = torch.empty(0)

    def decode(self, latents: torch.Tensor, return_dict: bool = True) -> Any:
        """As the VAE does it, but into host memory, and into the same for every chunk.

        The pipeline would take the chunk there next, and goes on from no other than the last.
        """
        num_frames = num_frames_of(self._vae, latents)

        def take(first: int, piece: torch.Tensor) -> None:
            shape = (1, piece.shape[1], num_frames, *piece.shape[3:])
            if self._chunk.shape != shape:
                self._chunk = on_host(shape, piece.dtype)
            self._chunk[:, :, first : first + piece.shape[2]].copy_(piece)
            self._film.take(first, uint8_frames(piece))

        decode_in_pieces(self._vae, latents, self._context, take)
        return DecoderOutput(sample=self._chunk) if return_dict else (self._chunk,)
