"""Tokens of DV8x16x16 to frames by diffusion: latents of CV8x8x8 are made window by window, and then decoded.

A window is as many latent frames as the decoder was trained with. A shorter video is filled up by its own reflection; a
longer one is made in windows that share two latent frames, which are blended when they have become pixels.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLCosmos, EDMEulerScheduler

from cosmos_handler.artifacts.native.continuous_tokenizer import WINDOW_FRAMES
from cosmos_handler.artifacts.native.diffusion_decoder import TEXT
from cosmos_handler.families.autoregressive.diffusion_decoder import DiffusionDecoder

NUM_STEPS, GUIDANCE = 15, 1.8

_SHARED_FRAMES = 2  # latents that two windows have in common
_SHARED_PIXEL_FRAMES = 8 * (_SHARED_FRAMES - 1) + 1
_LATENTS_PER_TOKEN = 2  # in height, and in width
_SIGMA_MAX, _SIGMA_MIN, _SIGMA_DATA = 80.0, 0.02, 0.5


def generic_text(aux_vars: Path) -> torch.Tensor:
    """The embeddings [1, M, E] of a prompt that suits every video, for models that read none. aux_vars: aux_vars.pt."""
    content: Any = torch.load(aux_vars, map_location="cpu", weights_only=True)
    text: torch.Tensor = content[TEXT]
    return text


@torch.inference_mode()
def denoise_tokens(
    network: DiffusionDecoder,
    tokens: torch.Tensor,
    text: torch.Tensor,
    *,
    num_steps: int = NUM_STEPS,
    guidance: float = GUIDANCE,
    seed: int,
    on_step: Callable[[int, int], None],
) -> torch.Tensor:
    """The latents [1, 16, T', 2h, 2w] that stand for tokens, int64 [1, T, h, w]; `decoded` makes pixels of them.

    T' is T where T is 8 or less; else the windows follow each other, each with what it shares with its neighbour.
    text: a prompt's embeddings [1, M, E]. guidance: how much further than the prediction with text and tokens it goes,
    away from the one without. on_step: called with the number of a step that is under way, from 1, and of all, over all
    windows; what it raises ends the decoding. The noise is drawn on the CPU, and so the same for every device.
    """
    generator = torch.Generator().manual_seed(seed)
    device = network.device
    tokens, text = tokens.to(device), text.to(device, network.dtype)
    begins = window_begins(tokens.shape[1])
    made = []
    for number, begin in enumerate(begins):
        window = _filled(tokens[:, begin : begin + WINDOW_FRAMES])

        def on_window_step(step: int, before: int = number * num_steps) -> None:
            on_step(before + step, len(begins) * num_steps)

        sampler = _Sampler(network, window, text, guidance)
        latents = sampler.run(num_steps, generator=generator, on_step=on_window_step)
        made.append(latents[:, :, : tokens.shape[1] - begin])
    return torch.cat(made, dim=2)


def window_begins(frames: int) -> list[int]:
    """At which of so many latent frames the windows begin."""
    return list(range(0, max(frames - _SHARED_FRAMES, 1), WINDOW_FRAMES - _SHARED_FRAMES))


@torch.inference_mode()
def decoded(tokenizer: AutoencoderKLCosmos, latents: torch.Tensor) -> torch.Tensor:
    """The pixels [1, 3, 8 (T - 1) + 1, H, W], about -1 to 1, of what `denoise_tokens` made of T frames of tokens.

    NVIDIA's code decodes the filled window and then drops what is too long; the decoder is causal, so the frames that
    are left are those of the latents that are left.
    """
    windows = [_pixels(tokenizer, window) for window in torch.split(latents, WINDOW_FRAMES, dim=2)]
    video = windows[0]
    for window in windows[1:]:
        video = _blended(video, window)
    return video


class _Sampler:
    """Makes the latents of one window, as the tokens [1, 8, h, w] and the text [1, M, E] say."""

    def __init__(self, network: DiffusionDecoder, tokens: torch.Tensor, text: torch.Tensor, guidance: float) -> None:
        self._network, self._tokens, self._text, self._guidance = network, tokens, text, guidance
        # What the training left out: no text, and the first of all codes everywhere.
        self._no_tokens, self._no_text = torch.zeros_like(tokens), torch.zeros_like(text)

    def run(self, num_steps: int, *, generator: torch.Generator, on_step: Callable[[int], None]) -> torch.Tensor:
        """The latents [1, C, 8, 2h, 2w]."""
        scheduler: Any = EDMEulerScheduler(sigma_max=_SIGMA_MAX, sigma_min=_SIGMA_MIN, sigma_data=_SIGMA_DATA)
        scheduler.set_timesteps(num_steps)
        latents = self._noise(generator, scheduler.init_noise_sigma)
        for step, timestep in enumerate(scheduler.timesteps, 1):
            scaled = scheduler.scale_model_input(latents, timestep)
            prediction = self._predict(scaled, timestep.to(latents).reshape(1))
            latents = scheduler.step(prediction, timestep, latents, return_dict=False)[0]
            if latents.device.type == "cuda":  # else the host would run ahead, and report what is not done
                torch.cuda.current_stream(latents.device).synchronize()
            on_step(step)
        return latents

    def _noise(self, generator: torch.Generator, sigma: float) -> torch.Tensor:
        _, frames, rows, columns = self._tokens.shape
        shape = (1, self._network.config.out_channels, frames, rows * _LATENTS_PER_TOKEN, columns * _LATENTS_PER_TOKEN)
        noise = torch.randn(shape, generator=generator) * sigma
        return noise.to(self._network.device, self._network.dtype)

    def _predict(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        told: torch.Tensor = self._network(latents, timestep, self._text, self._tokens)
        if self._guidance == 0:
            return told
        untold: torch.Tensor = self._network(latents, timestep, self._no_text, self._no_tokens)
        return told + self._guidance * (told - untold)


def _filled(tokens: torch.Tensor) -> torch.Tensor:
    """The tokens of a window [1, T, h, w], and behind them, backwards, those before the last until there are enough.

    Where they are too few for that, which NVIDIA's code refuses, they go on forwards again, and so to and fro.
    """
    frames = tokens.shape[1]
    order = np.pad(np.arange(frames), (0, WINDOW_FRAMES - frames), mode="reflect")
    return tokens[:, torch.from_numpy(order).to(tokens.device)]


def _pixels(tokenizer: AutoencoderKLCosmos, latents: torch.Tensor) -> torch.Tensor:
    means, deviations = (
        torch.tensor(values, dtype=latents.dtype, device=latents.device)
        .view(1, latents.shape[1], -1, 1, 1)[:, :, : latents.shape[2]]
        for values in (tokenizer.config.latents_mean, tokenizer.config.latents_std)
    )  # fmt: skip
    scaled = latents / _SIGMA_DATA * deviations + means
    pixels: torch.Tensor = tokenizer.decode(scaled.to(tokenizer.dtype), return_dict=False)[0]
    return pixels


def _blended(video: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """The frames of a video and of the window after it, which goes over from one to the other where they meet.

    NVIDIA's code lets two frames of pixels meet instead of those that two latents stand for, so that time would jump
    back; none of its models makes videos of more than a window.
    """
    shares = torch.linspace(0, 1, _SHARED_PIXEL_FRAMES, dtype=video.dtype, device=video.device).view(-1, 1, 1)
    before, after = video[:, :, -_SHARED_PIXEL_FRAMES:], window[:, :, :_SHARED_PIXEL_FRAMES]
    meeting = before + shares * (after - before)
    return torch.cat([video[:, :, :-_SHARED_PIXEL_FRAMES], meeting, window[:, :, _SHARED_PIXEL_FRAMES:]], dim=2)
