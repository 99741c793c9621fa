"""Networks of the libraries on the meta device or the CPU, and how to count what a pass through one has alive."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from tests.memory.storages import StorageCounter, flash_attention

# A smaller value for what only repeats: the peak of a network is that of one block.
FEW_LAYERS = {"num_layers": 2, "num_hidden_layers": 2, "n_controlnet_blocks": 2}


def counted(run: Callable[[], Any], *, flash: bool = True) -> int:
    """The most that a call has alive. flash: attention as a GPU has it; else as this machine has it."""
    counter = StorageCounter()
    attention = flash_attention() if flash else contextlib.nullcontext()
    with torch.no_grad(), attention, _autocast_on_meta(), counter:
        result = run()
    del result
    return counter.peak_bytes


@contextmanager
def _autocast_on_meta() -> Iterator[None]:
    # Cosmos 3 switches it off for a product in float32, and torch has no such switch for the meta device.
    original: Any = torch.autocast

    def autocast(device_type: str, **options: Any) -> Any:
        return contextlib.nullcontext() if device_type == "meta" else original(device_type, **options)

    torch.autocast = autocast  # type: ignore[misc, assignment]
    try:
        yield
    finally:
        torch.autocast = original  # type: ignore[misc]


def built(library: str, class_name: str, config: Mapping[str, Any], dtype: str, device: str = "meta") -> Any:
    """A network with random or no weights."""
    from scripts.catalogue import build

    if device == "meta":
        return build(library, class_name, config).to("meta").to(getattr(torch, dtype)).eval()
    return build(library, class_name, config, device=device).to(getattr(torch, dtype)).eval()


def forward_of_dit(network: Any, frames: int, rows: int, columns: int, *, text: int, timed: bool) -> Callable[[], Any]:
    """A forward of CosmosTransformer3DModel as its pipelines call it."""
    config, options = network.config, {"dtype": network.dtype, "device": network.device}
    wide = config.crossattn_proj_in_channels if config.use_crossattn_projection else config.text_embed_dim
    given = 1 if config.in_channels > config.out_channels else 0
    tokens = frames * rows * columns // 4
    residuals = None
    if config.controlnet_block_every_n:
        count = -(-config.num_layers // config.controlnet_block_every_n)
        width = config.num_attention_heads * config.attention_head_dim
        residuals = [torch.zeros(1, tokens, width, **options) for _ in range(count)]
    context: Any = torch.zeros(1, text, wide, **options)
    if config.img_context_dim_in:
        context = (context, torch.zeros(1, config.img_context_num_tokens, config.img_context_dim_in, **options))
    inputs = {
        "hidden_states": torch.zeros(1, config.in_channels - given, frames, rows, columns, **options),
        "timestep": torch.zeros((1, 1, frames, 1, 1) if timed else (1,), device=network.device),
        "encoder_hidden_states": context,
        "condition_mask": torch.zeros(1, 1, frames, rows, columns, **options) if given else None,
        "padding_mask": torch.zeros(1, 1, 8 * rows, 8 * columns, **options),
        "block_controlnet_hidden_states": residuals,
        "fps": None if timed else 24,
    }
    return lambda: network(**inputs, return_dict=False)


def forward_of_control(network: Any, frames: int, rows: int, columns: int, *, text: int) -> Callable[[], Any]:
    """A forward of CosmosControlNetModel as its pipeline calls it."""
    config, options = network.config, {"dtype": network.dtype, "device": network.device}
    latents = torch.zeros(1, 16, frames, rows, columns, **options)
    context: Any = torch.zeros(1, text, config.crossattn_proj_in_channels, **options)
    if config.img_context_dim_in:
        context = (context, torch.zeros(1, 256, config.img_context_dim_in, **options))
    inputs = {
        "controls_latents": latents,
        "latents": latents,
        "timestep": torch.zeros(1, 1, frames, 1, 1, **options),
        "encoder_hidden_states": context,
        "condition_mask": torch.zeros(1, 1, frames, rows, columns, **options),
        "padding_mask": torch.zeros(1, 1, 8 * rows, 8 * columns, **options),
    }
    return lambda: network(**inputs, return_dict=False)


def forward_of_omni(network: Any, frames: int, rows: int, columns: int, *, text: int) -> Callable[[], Any]:
    """A forward of Cosmos3OmniTransformer as its pipeline calls it."""
    network.time_embedder.to(torch.float32)  # as it is loaded
    high, wide = -(-rows // 2), -(-columns // 2)
    tokens = frames * high * wide
    with torch.device(network.device):
        made = torch.arange(text, text + tokens)
        inputs = {
            "input_ids": torch.zeros(text, dtype=torch.long),
            "text_indexes": torch.arange(text),
            "position_ids": torch.zeros(3, text + tokens),
            "und_len": text,
            "sequence_length": text + tokens,
            "vision_tokens": [
                torch.zeros(1, network.config.latent_channel, frames, rows, columns, dtype=network.lm_head.weight.dtype)
            ],
            "vision_token_shapes": [(frames, high, wide)],
            "vision_sequence_indexes": made,
            "vision_mse_loss_indexes": made,
            "vision_timesteps": torch.zeros(tokens),
            "vision_noisy_frame_indexes": [torch.arange(frames)],
        }
    return lambda: network(**inputs, return_dict=False)


def decode_frame_by_frame(vae: Any, latents: torch.Tensor) -> Callable[[], Any]:
    """A whole decode of AutoencoderKLWan as the families do it."""

    def run() -> None:
        from cosmos_handler.families.pipeline import uint8_frames
        from cosmos_handler.families.vae import decoded_frames

        for piece in decoded_frames(vae, latents):
            uint8_frames(piece)
            del piece

    return run


def read_for_embeddings(model: Any, tokens: int) -> Callable[[], Any]:
    """What the 2.5 pipelines do with their text encoder."""
    ids = torch.zeros(1, tokens, dtype=torch.long, device=model.device)

    def run() -> torch.Tensor:
        outputs = model(ids, output_hidden_states=True)  # which keeps its name, scores and cache included
        normed = [
            (state - state.mean(dim=-1, keepdim=True)) / (state.std(dim=-1, keepdim=True) + 1e-8)
            for state in outputs.hidden_states[1:]
        ]
        return torch.cat(normed, dim=-1)

    return run


def read_for_answer(model: Any, tokens: int) -> Callable[[], Any]:
    """The first forward of generate()."""
    ids = torch.zeros(1, tokens, dtype=torch.long, device=model.device)
    return lambda: model(ids, use_cache=True, logits_to_keep=1)
