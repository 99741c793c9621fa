"""What a request to an autoregressive model means where it does not say how tokens are drawn, or who decodes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cosmos_handler.artifacts.checkpoint import Checkpoint

Decoder = Literal["diffusion", "tokenizer"]

_MODEL, _DIFFUSION_DECODER = "ar_model", "diffusion_decoder"
_TEMPERATURE = 1.0
# NVIDIA's for its four models: by whether there are more layers than the 16 of the smaller two, and whether text is
# read.
_LAYERS_OF_SMALL = 16
_TOP_P: Mapping[tuple[bool, bool], float] = {
    (False, False): 0.8,  # 4B
    (False, True): 0.7,  # 5B
    (True, False): 0.9,  # 12B
    (True, True): 0.8,  # 13B
}


@dataclass(frozen=True)
class DrawingDefaults:
    """temperature, top_p: of the draw of every token. decoder: what makes frames of the tokens."""

    temperature: float
    top_p: float
    decoder: Decoder


def drawing_defaults(checkpoint: Checkpoint) -> DrawingDefaults:
    """NVIDIA's for the model that a checkpoint holds, and the better of the decoders that it has."""
    return DrawingDefaults(**draw_of(_config(checkpoint)), decoder=decoders(checkpoint)[0])


def draw_of(config: Mapping[str, Any]) -> dict[str, float]:
    """temperature and top_p for a model that is built from this."""
    is_large = config.get("num_hidden_layers", 0) > _LAYERS_OF_SMALL
    return {"temperature": _TEMPERATURE, "top_p": _TOP_P[is_large, config.get("context_width") is not None]}


def decoders(checkpoint: Checkpoint) -> tuple[Decoder, ...]:
    """What can make frames of its tokens, the best first."""
    has_diffusion = any(part.name == _DIFFUSION_DECODER for part in checkpoint.parts)
    return ("diffusion", "tokenizer") if has_diffusion else ("tokenizer",)


def reads_text(checkpoint: Checkpoint) -> bool:
    """Whether its model goes by a prompt as well."""
    return _config(checkpoint).get("context_width") is not None


def _config(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """What the model is built from, in NVIDIA's own form or in ours."""
    return next(part.config for part in checkpoint.parts if part.name == _MODEL)
