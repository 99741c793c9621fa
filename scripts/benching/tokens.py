"""How fast an autoregressive network makes codes, and a whole video of 33 frames with it; weights are random."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKLCosmos

from cosmos_handler.artifacts.native.autoregressive import PUBLISHED
from cosmos_handler.families.autoregressive.cache import Cache
from cosmos_handler.families.autoregressive.diffusion_decoder import DiffusionDecoder
from cosmos_handler.families.autoregressive.diffusion_decoding import decoded, denoise_tokens
from cosmos_handler.families.autoregressive.generation import Request, generate
from cosmos_handler.families.autoregressive.network import CosmosAutoregressive
from cosmos_handler.families.autoregressive.sampling import Sampling
from scripts.benching.meters import settle, synchronize, timed

SIZES: Mapping[str, Mapping[str, Any]] = {
    "4b": PUBLISHED["4B"],
    "5b": PUBLISHED["5B-Video2World"],
    "12b": PUBLISHED["12B"],
    "13b": PUBLISHED["13B-Video2World"],
    "tiny": {
        **PUBLISHED["4B"], "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 96, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "latent_shape": [5, 4, 8],
    },
}  # fmt: skip
_TINY_DECODER: Mapping[str, Any] = {
    "code_width": 8, "in_channels": 24, "num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 1,
    "adaln_lora_dim": 8,
}  # fmt: skip
_TINY_WIDTHS = {"encoder_block_out_channels": [8, 16, 16, 16], "decode_block_out_channels": [16, 16, 16, 16]}

_TEXT_TOKENS, _TEXT_WIDTH = 512, 1024
_GIVEN_FRAMES = 2  # latent ones, of 9 frames of a video
_DEVIATION = 0.02  # as these networks are initialised
# Steps before the measured ones: the first reads what is given, and some more are done plainly before one is recorded.
_STEPS_BEFORE = 6
_COPIED_BYTES, _COPIES = {"cuda": 2**31, "cpu": 2**27}, 5


class Enough(Exception):
    """All steps that were wanted are done."""


@dataclass(frozen=True)
class Pace:
    """Of one way to do the steps. limit_seconds: what reading the weights and the cache once takes at least."""

    batch: int
    given_frames: int
    way: str
    step_seconds: float
    limit_seconds: float
    peak_bytes: int | None

    @property
    def tokens_per_second(self) -> float:
        """Over all requests of the batch."""
        return self.batch / self.step_seconds


def config_of(size: str, layers: int | None) -> dict[str, Any]:
    """What the class is built from. layers: how many of them; None for all."""
    config = dict(SIZES[size])
    if layers is not None:
        config["num_hidden_layers"] = layers
    return config


def build(config: Mapping[str, Any]) -> CosmosAutoregressive:
    """The network without memory, in bfloat16."""
    with init_empty_weights():
        model = CosmosAutoregressive.from_config(config)
    _round(model)
    return model


def needed_bytes(model: CosmosAutoregressive, batch: int, *, whole: bool, tiny: bool) -> int:
    """Weights and cache, and for a whole video the weights of what decodes it. What the work takes comes on top."""
    decoders = sum(_size_bytes(each) for each in _decoders(tiny=tiny)) if whole else 0
    with torch.device("meta"):
        cache = Cache.of(model.config, batch, device=torch.device("meta"), dtype=model.dtype, text_tokens=_TEXT_TOKENS)
    kept = [cache.keys, cache.values, cache.text_keys, cache.text_values]
    return _size_bytes(model) + decoders + sum(each.nbytes for each in kept if each is not None)


def filled(module: Any, device: torch.device) -> Any:
    """The module on a device, with random weights in evaluation mode. What it reckoned when it was made stays."""
    generator = torch.Generator(device).manual_seed(0)
    for owner in module.modules():
        for name, weight in list(owner.named_parameters(recurse=False)):
            memory = torch.empty(weight.shape, dtype=weight.dtype, device=device)
            memory = memory.normal_(0, _DEVIATION, generator=generator) if weight.dim() > 1 else memory.fill_(1)
            setattr(owner, name, torch.nn.Parameter(memory, requires_grad=False))
    for owner in module.modules():
        for name, values in list(owner.named_buffers(recurse=False)):
            setattr(owner, name, values.to(device))
    return module.eval()


def copy_bandwidth(device: torch.device) -> float:
    """Bytes per second that are read and written when memory of the device is copied there, at best."""
    source = torch.zeros(_COPIED_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def copy() -> None:
        target.copy_(source)

    copy()
    return 2 * source.nbytes / min(timed(copy, device) for _ in range(_COPIES))


def step_bytes(model: CosmosAutoregressive, batch: int, tokens: int) -> int:
    """What a step must read where there are so many tokens of each request: weights, and keys and values of these.

    Of the embedding a row each; what makes keys and values of the prompt worked once, before the steps.
    """
    unread = ("embed_tokens.", "cross_attn.k_proj.", "cross_attn.v_proj.")
    weights = sum(each.nbytes for name, each in model.named_parameters() if not any(part in name for part in unread))
    config = model.config
    seen = tokens + (_TEXT_TOKENS if config.reads_text else 0)
    per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * model.dtype.itemsize
    return weights + batch * seen * per_token


def pace(model: CosmosAutoregressive, batch: int, given: int, *, steps: int, replayed: bool, bandwidth: float) -> Pace:
    """The steps behind so many latent frames that are given, done plainly or replayed."""
    device, marks = model.device, dict[int, float]()
    before = _STEPS_BEFORE

    def on_step(step: int, _: int) -> None:
        if step in (before, before + steps):
            synchronize(device)
            marks[step] = time.perf_counter()
        if step == before + steps:
            raise Enough

    reset_peak(device)
    try:
        generate(model, _requests(model, batch, given), on_step=on_step, replayed=replayed)
    except Enough:
        pass
    else:
        raise ValueError(f"behind {given} latent frames there are no {before + steps} steps")
    tokens = len(model.config.begin_tokens) + given * _frame_tokens(model) + before + steps // 2
    taken = (marks[before + steps] - marks[before]) / steps
    limit = step_bytes(model, batch, tokens) / bandwidth
    return Pace(batch, given, "replayed" if replayed else "plain", taken, limit, peak_bytes(device))


def whole_video(model: CosmosAutoregressive, *, tiny: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Seconds and peak bytes of the stages of 33 frames behind 9, everything resident: tokens, latents, pixels."""
    device, steps = model.device, [0]
    network, tokenizer = (filled(each, device) for each in _decoders(tiny=tiny))
    text = torch.zeros(1, _TEXT_TOKENS, _TEXT_WIDTH, dtype=torch.bfloat16, device=device)
    kept: dict[str, torch.Tensor] = {}
    asked = _requests(model, 1, _GIVEN_FRAMES)

    def make() -> None:
        kept["codes"] = generate(model, asked, on_step=lambda step, _: steps.__setitem__(0, step))

    def denoise() -> None:
        kept["latents"] = denoise_tokens(network, kept["codes"], text, seed=0, on_step=lambda step, count: None)

    def decode() -> None:
        kept["frames"] = decoded(tokenizer, kept["latents"])

    stages = {}
    for name, work in (("generate", make), ("diffusion_decode", denoise), ("decode", decode)):
        say(f"a whole video: {name}")
        reset_peak(device)
        seconds = timed(work, device)
        stages[name] = {"seconds": seconds, "peak_bytes": peak_bytes(device)}
    return {
        "tokens": steps[0],
        "frames": list(kept["frames"].shape[2:]),
        "seconds": sum(each["seconds"] or 0 for each in stages.values()),
        "stages": stages,
    }


def reset_peak(device: torch.device) -> None:
    """Begin to measure anew."""
    settle(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int | None:
    """The most that torch's allocator handed out since; None on a CPU."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def _decoders(*, tiny: bool) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The network of the diffusion decoder, and what makes pixels of its latents, without memory."""
    with init_empty_weights(include_buffers=False):
        network = DiffusionDecoder(**(_TINY_DECODER if tiny else {}))
        tokenizer = AutoencoderKLCosmos(**(_TINY_WIDTHS if tiny else {}))
    _round(network)
    _round(tokenizer)
    return network, tokenizer


def _round(network: torch.nn.Module) -> None:
    for weight in network.parameters():
        weight.data = weight.data.to(torch.bfloat16)


def _size_bytes(module: torch.nn.Module) -> int:
    return sum(weight.nbytes for weight in module.parameters())


def _frame_tokens(model: CosmosAutoregressive) -> int:
    rows, columns = model.config.latent_shape[1:]
    return int(rows * columns)


def _requests(model: CosmosAutoregressive, batch: int, given: int) -> list[Request]:
    drawing = torch.Generator().manual_seed(0)
    shape = (given, *model.config.latent_shape[1:])
    width = model.config.context_width
    text = None if width is None else torch.randn(_TEXT_TOKENS, width, generator=drawing).to(model.dtype)
    return [
        Request(torch.randint(model.config.vocab_size, shape, generator=drawing), Sampling(1.0, 0.9, seed), text)
        for seed in range(batch)
    ]
