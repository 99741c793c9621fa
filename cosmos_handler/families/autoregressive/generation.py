"""Makes the rest of several videos, code by code, all of them in one batch."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from cosmos_handler.families.autoregressive.cache import Cache
from cosmos_handler.families.autoregressive.network import CosmosAutoregressive
from cosmos_handler.families.autoregressive.replay import Steps, recorder_for
from cosmos_handler.families.autoregressive.sampling import Sampler, Sampling

# How many more slots of the cache come into sight at a time, so that what is not filled yet is not read either.
_SIGHT_SLOTS = 1024
# How many steps the host may be ahead of the device: a cancelled request is noticed no later than that.
_STEPS_AHEAD = 16


@dataclass(frozen=True)
class Request:
    """A video to go on with.

    codes: of its first frames, int64 [T, H, W], fewer than there are to be. text: the prompt's embeddings [M, C], for
    the models that read text.
    """

    codes: torch.Tensor
    sampling: Sampling
    text: torch.Tensor | None = None


@torch.inference_mode()
def generate(
    model: CosmosAutoregressive,
    requests: Sequence[Request],
    *,
    on_step: Callable[[int, int], None],
    latent_frames: int | None = None,
    replayed: bool = True,
) -> torch.Tensor:
    """The codes of the videos, those that were given included: int64 [B, T, H, W].

    on_step: called with the number of a step that is under way, from 1, and of all; each step makes a code of every
    video that is not whole. What it raises ends the generation.
    latent_frames: how many frames of codes; None for those of whole videos, of which fewer are the begin.
    replayed: whether most steps on a GPU are replayed from a record, which is dropped at the end. Where something is
    done between the model's layers, as where its weights are streamed, none are.
    Raises ValueError where there are to be more than a whole video has, the codes are not those of a begin, or the
    texts not as the model reads them.
    """
    frames = model.config.latent_shape[0] if latent_frames is None else latent_frames
    _check(model, requests, frames)
    steps = Steps(recorder_for(model, model.device) if replayed else None)
    video = _Video(model, requests, frames, steps)
    try:
        for step in range(1, video.num_steps + 1):
            video.step()
            if step % _STEPS_AHEAD == 0 and video.device.type == "cuda":
                torch.cuda.current_stream(video.device).synchronize()
            on_step(step, video.num_steps)
    finally:
        steps.close()
    return video.codes()


def _check(model: CosmosAutoregressive, requests: Sequence[Request], frames: int) -> None:
    most, *size = model.config.latent_shape
    if not 1 < frames <= most:
        raise ValueError(f"latent_frames is {frames}, not 2 to {most}")
    for request in requests:
        given, *given_size = request.codes.shape
        if given_size != size or not 0 < given < frames:
            raise ValueError(f"codes are {list(request.codes.shape)}, not 1 to {frames - 1} frames of {size}")
    texts = {None if request.text is None else tuple(request.text.shape) for request in requests}
    if len(texts) > 1 or (None in texts) is model.config.reads_text:
        wanted = "one for each request, all of one length" if model.config.reads_text else "none"
        raise ValueError(f"texts are {sorted(map(str, texts))}, and this model reads {wanted}")


class _Video:
    """The videos as they grow. Shapes, and places in memory, are the same in every step of one sight."""

    def __init__(self, model: CosmosAutoregressive, requests: Sequence[Request], frames: int, steps: Steps) -> None:
        self._model, self._requests, self._config, self._steps = model, requests, model.config, steps
        self.device, begin = model.device, len(model.config.begin_tokens)
        self._shape = (frames, *self._config.latent_shape[1:])
        self._num_tokens = begin + math.prod(self._shape)
        self._given = [begin + request.codes.numel() for request in requests]
        self.num_steps = self._num_tokens - min(self._given)
        batch = len(requests)
        # One more than the tokens: there, a video that is whole puts what it draws while others go on.
        self._tokens = torch.zeros(batch, self._num_tokens + 1, dtype=torch.int64, device=self.device)
        text_tokens = 0 if requests[0].text is None else len(requests[0].text)
        self._cache = Cache.of(
            self._config,
            batch,
            device=self.device,
            dtype=model.dtype,
            slots=self._sight(self._num_tokens),
            text_tokens=text_tokens,
        )
        self._sampler = Sampler(
            [request.sampling for request in requests], vocabulary=self._config.vocab_size, device=self.device
        )
        self._last = torch.tensor(self._given, device=self.device) - 1  # the newest token of each
        self._steps_done = 0

    def step(self) -> None:
        """One more code of each: the first time from all that was given, then from the newest token."""
        self._sampler.shuffle()
        if self._steps_done == 0:
            self._take(self._read())
        else:
            longest = min(max(self._given) + self._steps_done, self._num_tokens)
            sight = self._sight(longest)
            self._steps.do(sight, lambda: self._take(self._go_on(sight)))
        self._steps_done += 1

    def _take(self, scores: torch.Tensor) -> None:
        """Draw a code of each by its scores [B, V], and put it behind the newest."""
        next_place = (self._last + 1)[:, None]
        self._tokens.scatter_(1, next_place, self._sampler.drawn(scores)[:, None])
        self._last.add_(1).clamp_(max=self._num_tokens - 1)

    def codes(self) -> torch.Tensor:
        """All codes, without what stands before them."""
        begin = len(self._config.begin_tokens)
        return self._tokens[:, begin : self._num_tokens].reshape(-1, *self._shape)

    def _read(self) -> torch.Tensor:
        """One request after the other, as their lengths differ: [B, V]."""
        scores = []
        begin = torch.tensor(self._config.begin_tokens, dtype=torch.int64, device=self.device)
        for row, (request, given) in enumerate(zip(self._requests, self._given, strict=True)):
            tokens = torch.cat([begin, request.codes.flatten().to(self.device)])[None]
            self._tokens[row, :given] = tokens[0]
            text = None if request.text is None else request.text.to(self.device)[None]
            scores.append(self._model(tokens, self._cache.row(row), text=text, logits_to_keep=1)[:, -1])
        return torch.cat(scores)

    def _go_on(self, sight: int) -> torch.Tensor:
        """From the newest token of each: [B, V]."""
        newest = self._tokens.gather(1, self._last[:, None])
        scores: torch.Tensor = self._model(newest, self._cache.first(sight), self._last)[:, -1]
        return scores

    def _sight(self, tokens: int) -> int:
        """How many slots are read where there are so many tokens. The same for videos of fewer frames: exactly so."""
        slots: int = self._config.num_slots
        return min(-(-tokens // _SIGHT_SLOTS) * _SIGHT_SLOTS, slots)
