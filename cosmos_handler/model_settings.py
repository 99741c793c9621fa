"""The settings of which weights are served, and where they lie."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cosmos_handler.variable import Variable, path, switch, text, whole


@dataclass(frozen=True)
class ModelSettings:
    """Their rows in MODEL_VARIABLES say what they are."""

    model_dir: Path | None
    hub_model_id: str | None
    hub_revision: str | None
    hub_token: str | None = field(repr=False)
    hub_offline: bool
    hub_seconds: int
    checkpoint: str | None
    text_encoder_dir: Path | None
    vae_path: Path | None


MODEL_VARIABLES = (
    Variable(
        "COSMOS_MODEL_DIR",
        "model_dir",
        path,
        None,
        "folder of one checkpoint, or of one per subfolder; by default, and without HF_MODEL_ID, /opt/ml/model where "
        "there is a model in it, else /opt/ml/additional-model-data-sources/model",
    ),
    Variable(
        "HF_MODEL_ID",
        "hub_model_id",
        text,
        None,
        "in place of it: the repository to fetch from the Hugging Face hub (owner/name), or the path of a folder",
    ),
    Variable("HF_MODEL_REVISION", "hub_revision", text, None, "its branch, tag or commit"),
    Variable("HF_TOKEN", "hub_token", text, None, "access token for gated repositories; never printed", is_secret=True),
    Variable("HF_HUB_OFFLINE", "hub_offline", switch, "0", "1: use only what the hub's cache already holds"),
    Variable(
        "COSMOS_HUB_SECONDS",
        "hub_seconds",
        whole(1, 600),
        "30",
        "most time for the hub to answer at all, after which it counts as out of reach",
    ),
    Variable(
        "COSMOS_CHECKPOINT",
        "checkpoint",
        text,
        None,
        "of several .pt checkpoints in NVIDIA's own layout, the file or folder to serve; by default base/post-trained",
    ),
    Variable(
        "COSMOS_TEXT_ENCODER_DIR",
        "text_encoder_dir",
        path,
        None,
        "Cosmos-Reason1-7B (for autoregressive models T5), which checkpoints in NVIDIA's own layout lack; else the "
        "channel text_encoder is looked at",
    ),
    Variable(
        "COSMOS_VAE_PATH",
        "vae_path",
        path,
        None,
        "tokenizer.pth, or a folder with a VAE, for such checkpoints without one; else the channel vae is looked at",
    ),
)


def contradictions(source: Mapping[str, str]) -> list[str]:
    """What cannot be meant together: nobody is to guess which of two models is served."""
    faults = []
    if source.get("COSMOS_MODEL_DIR") and source.get("HF_MODEL_ID"):
        faults.append("COSMOS_MODEL_DIR and HF_MODEL_ID both say where the model is: unset one of them")
    if source.get("HF_MODEL_REVISION") and not source.get("HF_MODEL_ID"):
        faults.append("HF_MODEL_REVISION is set, but HF_MODEL_ID is not: there is nothing that it could apply to")
    return faults
