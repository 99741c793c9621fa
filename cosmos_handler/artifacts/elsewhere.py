"""Where SageMaker mounts models and their parts, and where parts are looked for that NVIDIA's repositories lack."""

from dataclasses import dataclass
from pathlib import Path

# SageMaker mounts the data of a model here, read-only.
MODEL_MOUNT = Path("/opt/ml/model")
# SageMaker mounts the additional model data sources of a model here, one folder a channel.
CHANNELS = Path("/opt/ml/additional-model-data-sources")
MODEL_CHANNEL = CHANNELS / "model"
TEXT_ENCODER_CHANNEL, VAE_CHANNEL = CHANNELS / "text_encoder", CHANNELS / "vae"
GUARDRAIL_CHANNEL = CHANNELS / "guardrails"


@dataclass(frozen=True)
class Elsewhere:
    """Places beside the checkpoint's own folder, in the order in which they are looked at.

    text_encoders: folders with Cosmos-Reason1 in transformers form, its tokenizer in it or in its folder `tokenizer`;
        for autoregressive models with T5, likewise.
    vaes: a tokenizer.pth, or folders with one or with a VAE in diffusers form.
    chosen: a file, or a folder of one, relative to a repository that holds several checkpoints in NVIDIA's own form.
    """

    text_encoders: tuple[Path, ...] = ()
    vaes: tuple[Path, ...] = ()
    chosen: str | None = None


NOWHERE = Elsewhere()
