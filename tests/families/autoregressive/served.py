"""A model of a few thousand weights with all that it needs around it, as the runner is given it; without any files."""

from pathlib import Path
from typing import Any

import numpy as np

from cosmos_handler.artifacts.checkpoint import Checkpoint, Part
from cosmos_handler.families.base import Context
from cosmos_handler.media.clip import MediaFile
from cosmos_handler.messages.tasks import Continue

LATENT_SHAPE = [3, 2, 2]
NUM_FRAMES, HEIGHT, WIDTH = 17, 32, 32
CONTEXT_WIDTH = 24


def modules(*, reads_text: bool, has_decoder: bool = False) -> dict[str, Any]:
    """The parts with random weights."""
    import torch
    from diffusers import AutoencoderKLCosmos
    from transformers import T5Config, T5EncoderModel

    from cosmos_handler.families.autoregressive.diffusion_decoder import DiffusionDecoder
    from cosmos_handler.families.autoregressive.network import CosmosAutoregressive
    from tests.families.autoregressive.test_video_tokenizer import with_weights

    torch.manual_seed(0)
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "intermediate_size": 96, "num_attention_heads": 4,
             "num_key_value_heads": 2, "head_dim": 16}  # fmt: skip
    context = {"context_width": CONTEXT_WIDTH if reads_text else None}
    model = CosmosAutoregressive.from_config({**sizes, **context, "latent_shape": LATENT_SHAPE})
    parts = {"ar_model": model, "tokenizer": with_weights(mirrored=True)}
    if reads_text:
        t5 = T5Config(vocab_size=1000, d_model=CONTEXT_WIDTH, d_kv=8, d_ff=48, num_layers=2, num_heads=3)
        parts["text_encoder"] = T5EncoderModel(t5)
    if has_decoder:
        parts["diffusion_decoder"] = DiffusionDecoder(
            code_width=4, in_channels=20, num_attention_heads=2, attention_head_dim=16, num_layers=2,
            text_embed_dim=CONTEXT_WIDTH, adaln_lora_dim=4,
        )  # fmt: skip
        widths = [4, 8, 16, 16]
        parts["decoder_tokenizer"] = AutoencoderKLCosmos(
            encoder_block_out_channels=widths, decode_block_out_channels=[*widths[1:], 16]
        )
    return {name: part.eval().requires_grad_(False) for name, part in parts.items()}


def checkpoint(folder: Path, names: tuple[str, ...]) -> Checkpoint:
    """As detection would find it, but for what files say."""
    if "text_encoder" in names:
        from scripts.tiny.tokenizer import write_tokenizer

        write_tokenizer(folder / "text_tokenizer", longest_tokens=512)
    parts = tuple(Part(name=name, folder=name, files=(), size_bytes=0, dtype="float32") for name in names)
    return Checkpoint(
        name="tiny", aliases=(), path=str(folder), family="autoregressive", tasks=("image2world", "video2world"),
        revision="none", parts=parts, generation=None, context_tokens=None,
        places={"aux_vars": str(folder / "aux_vars.pt")},
    )  # fmt: skip


def medium(folder: Path, num_frames: int) -> MediaFile:
    """Frames of another size than the model's."""
    coarse = np.random.default_rng(num_frames).integers(0, 256, (num_frames, 5, 9, 3), dtype=np.uint8)
    frames = coarse.repeat(8, axis=1).repeat(8, axis=2)
    path = folder / f"{num_frames}.npy"
    np.save(path, frames)
    kind: Any = "image" if num_frames == 1 else "video"
    return MediaFile(kind, str(path), num_frames, 40, 72, 25.0, num_frames, tuple(range(num_frames)))


def task(media: MediaFile, **changes: Any) -> Continue:
    """A task for all frames that the model makes at a time."""
    values: dict[str, Any] = {
        "prompt": "", "negative_prompt": None, "seed": 7, "guidance": 1.8, "num_steps": 15, "num_frames": NUM_FRAMES,
        "num_output_frames": NUM_FRAMES, "height": HEIGHT, "width": WIDTH, "fps": 25.0, "encoding": "npz",
        "inference_type": "image2world" if media.num_frames == 1 else "video2world", "media": media,
        "num_input_frames": min(media.num_frames, 9), "temperature": 1.0, "top_p": 0.9, "decoder": "tokenizer",
    }  # fmt: skip
    return Continue.model_validate(values | changes)


class Told:
    """What a run says, and whether it is to go on."""

    def __init__(self, cancel_at: tuple[str, int, int] | None = None) -> None:
        self.progress: list[tuple[str, int, int]] = []
        self.cancel_at = cancel_at

    @property
    def stages(self) -> list[str]:
        """In order, each once for every time that it was entered."""
        return [name for number, (name, _, _) in enumerate(self.progress) if self._is_first(number, name)]

    def _is_first(self, number: int, name: str) -> bool:
        return number == 0 or self.progress[number - 1][0] != name

    def context(self, parts: Any, **more: Any) -> Context:
        """For one run."""
        return Context(
            parts=parts,
            is_cancelled=lambda: self.cancel_at in self.progress,
            on_progress=lambda *said: self.progress.append(said),
            on_words=lambda text, reasoning: None,
            **more,
        )


def family(folder: Path, parts: dict[str, Any]) -> tuple[Any, Any]:
    """The runner, and its placed parts."""
    from cosmos_handler.families.autoregressive.runner import Autoregressive
    from tests.placed import at_rest

    placed = at_rest(parts)
    return Autoregressive(checkpoint(folder, tuple(parts)), placed), placed
