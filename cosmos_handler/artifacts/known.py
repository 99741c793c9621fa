"""Which Cosmos models there are, by the marks their files bear; which of them are served, and words for the others."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cosmos_handler.artifacts.checkpoint import Family
from cosmos_handler.artifacts.inspection import read_object
from cosmos_handler.artifacts.native.layout import NativeCheckpoint, checkpoint_files, choose, own_files
from cosmos_handler.artifacts.repositories import not_served

SUPPORTED = (
    "Cosmos Predict2.5 in diffusers form (model_index.json naming Cosmos2_5_PredictBasePipeline), "
    "Cosmos Transfer2.5 in diffusers form (model_index.json naming Cosmos2_5_TransferPipeline), "
    "Cosmos 3 (model_index.json naming Cosmos3OmniPipeline; its reasoner alone: config.json with model_type "
    "cosmos3_omni) and Cosmos Reason1 and Reason2 in transformers form (config.json with model_type qwen2_5_vl or "
    "qwen3_vl), all with safetensors weights, Cosmos Predict2.5 and Transfer2.5 in NVIDIA's own form (.pt), and Cosmos "
    "1.0 and Predict1 Autoregressive in NVIDIA's own form (model.pt) or converted (config.json with model_type "
    "cosmos_autoregressive), its tokenizer in it or beside it"
)

PREDICT25_PIPELINE, TRANSFER25_PIPELINE = "Cosmos2_5_PredictBasePipeline", "Cosmos2_5_TransferPipeline"
# The second is the class's name in the first files that were published.
COSMOS3_PIPELINES = ("Cosmos3OmniPipeline", "Cosmos3OmniDiffusersPipeline")
# Model type and class of what is in transformers form → its family.
_TYPES: Mapping[tuple[str, str], Family] = {
    ("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration"): "reason1",
    ("qwen3_vl", "Qwen3VLForConditionalGeneration"): "reason2",
    ("cosmos3_omni", "Cosmos3OmniForConditionalGeneration"): "cosmos3",
    ("cosmos_autoregressive", "CosmosAutoregressive"): "autoregressive",
}

_OTHER_PIPELINES: Mapping[str, str] = {
    "CosmosTextToWorldPipeline": "Cosmos 1.0 or Predict1 Text2World",
    "CosmosVideoToWorldPipeline": "Cosmos 1.0 or Predict1 Video2World",
    "Cosmos2TextToImagePipeline": "Cosmos Predict2 Text2Image",
    "Cosmos2VideoToWorldPipeline": "Cosmos Predict2 Video2World",
}
_OTHER_TYPES: Mapping[str, str] = {
    "cosmos3_edge": "Cosmos 3 Edge",
}
_REWARD_MARKS = ("Reward", "SequenceClassification")  # in the class: scores instead of words
_PIPELINE_FOLDERS = ("text_encoder", "transformer", "vae")


@dataclass(frozen=True)
class Recognised:
    """What a folder looks like from its marks alone.

    kind: "supported" (family says which), "unsupported" (a Cosmos model that is not served), "broken" (pieces of a
        model), "stranger" (a model, but none of Cosmos) or "nothing".
    native: which file it is, for a supported model in NVIDIA's own form.
    reason: for all but "supported" and "nothing", a sentence without its subject, such as "is Cosmos 3, which …".
    """

    kind: Literal["supported", "unsupported", "broken", "stranger", "nothing"]
    family: Family | None = None
    reason: str = ""
    native: NativeCheckpoint | None = None


def recognise(folder: Path, *, chosen: str | None = None) -> Recognised:
    """What lies directly in a folder, or in the folders of NVIDIA's own layout.

    chosen: of several checkpoints in that layout, the file or folder to serve.
    Raises CheckpointError where a mark is there but cannot be read.
    """
    recognised = _recognised(folder, chosen)
    other = not_served(folder.name)
    # A name says more than the marks do: a policy has the tensors of Predict2, and little else to tell it by.
    return _unsupported(other) if other is not None and recognised.kind in ("supported", "unsupported") else recognised


def _recognised(folder: Path, chosen: str | None) -> Recognised:
    if (folder / "model_index.json").is_file():
        if _text(folder / "model_index.json", "_class_name") in COSMOS3_PIPELINES:
            return _cosmos3(folder)
        return _by_pipeline(_text(folder / "model_index.json", "_class_name"), "model_index.json")
    if (folder / "modular_model_index.json").is_file():
        return _by_pipeline(_text(folder / "modular_model_index.json", "_class_name"), "modular_model_index.json")
    native = own_files(folder)
    if (folder / "config.json").is_file():
        by_type = _by_type(folder / "config.json", beside_native=bool(native))
        return by_type if by_type.kind != "stranger" or not native else _native(folder, native, chosen)
    if native:
        return _native(folder, native, chosen)
    if sum((folder / part / "config.json").is_file() for part in _PIPELINE_FOLDERS) > 1:
        return Recognised("broken", reason="has the parts of a diffusers pipeline, but its model_index.json is missing")
    weights = sorted(entry.name for entry in folder.glob("*.safetensors"))
    if weights:
        return Recognised("broken", reason=f"has weights ({weights[0]}), but neither model_index.json nor config.json")
    return Recognised("nothing")


def recognise_deeply(folder: Path, *, chosen: str | None = None) -> Recognised:
    """Like recognise, but notices checkpoints in NVIDIA's own form wherever they lie, a few folders further down."""
    recognised = recognise(folder, chosen=chosen)
    if recognised.kind == "nothing" and checkpoint_files(folder):
        return _native(folder, checkpoint_files(folder), chosen)
    return recognised


def _by_pipeline(class_name: str, mark: str) -> Recognised:
    if class_name == PREDICT25_PIPELINE and mark == "model_index.json":
        return Recognised("supported", "predict2.5")
    if class_name == TRANSFER25_PIPELINE and mark == "model_index.json":
        return Recognised("supported", "transfer2.5")
    if class_name in _OTHER_PIPELINES:
        return _unsupported(_OTHER_PIPELINES[class_name])
    if class_name.startswith("Cosmos3") or class_name in COSMOS3_PIPELINES:
        return _unsupported(f"a Cosmos 3 of the class {class_name}")
    if "cosmos" in class_name.lower():
        return _unsupported(f"a Cosmos model of the class {class_name}")
    return Recognised(
        "stranger",
        reason=f"is not a Cosmos checkpoint: {mark} names {class_name or 'no pipeline'}; served are {SUPPORTED}",
    )


def _cosmos3(folder: Path) -> Recognised:
    """Nano and Super are served; the distilled ones and Edge bear the same name and are told by other marks."""
    modular = folder / "modular_model_index.json"
    if modular.is_file():
        content = read_object(modular, shown_as=str(modular))
        named = f"{content.get('_class_name')} {content.get('_blocks_class_name')}"
        if "distilled_sigmas" in content or "Distilled" in named:
            return _unsupported("a distilled Cosmos 3 (its modular_model_index.json says so), which samples otherwise")
    config = folder / "transformer" / "config.json"
    if config.is_file() and _text(config, "hidden_act") == "relu2":
        return _unsupported("Cosmos 3 Edge (its transformer's hidden_act is relu2)")
    whole = folder / "config.json"
    if whole.is_file() and (title := _OTHER_TYPES.get(_text(whole, "model_type"))):
        return _unsupported(f"{title} (its config.json says so)")
    return Recognised("supported", "cosmos3")


def _by_type(config: Path, *, beside_native: bool) -> Recognised:
    content = read_object(config, shown_as=str(config))
    model_type = content.get("model_type")
    architectures = content.get("architectures")
    classes = [item for item in architectures if isinstance(item, str)] if isinstance(architectures, list) else []
    if any(mark in name for name in classes for mark in _REWARD_MARKS):
        return _unsupported(f"Cosmos Reason1 Reward, or another model with a head of its own ({classes[0]})")
    for (known_type, known_class), family in _TYPES.items():
        if model_type == known_type or (model_type is None and known_class in classes):
            return Recognised("supported", family)
    if isinstance(model_type, str) and model_type in _OTHER_TYPES:
        return _unsupported(_OTHER_TYPES[model_type])
    named = [name for name in (model_type, *classes) if isinstance(name, str)]
    for name in named:
        if "cosmos" in name.lower() and not beside_native:  # whose tensors say more than an unknown name
            return _unsupported(f"a Cosmos model of the type {name}")
    shown = " ".join(named) or "no model_type"
    return Recognised(
        "stranger", reason=f"is not a Cosmos checkpoint: config.json names {shown}; served are {SUPPORTED}"
    )


def _native(folder: Path, files: list[str], chosen: str | None) -> Recognised:
    checkpoints = checkpoint_files(folder)
    found = choose(folder, checkpoints, chosen=chosen) if checkpoints else _shown(files)
    if isinstance(found, str):
        return _unsupported(found)
    return Recognised("supported", found.family, native=found)


def _shown(files: list[str]) -> str:
    return f"a model in NVIDIA's own form ({', '.join(files[:3])}{', …' if len(files) > 3 else ''})"


def _unsupported(model: str) -> Recognised:
    return Recognised("unsupported", reason=not_supported(model))


def not_supported(model: str) -> str:
    """What to say of a Cosmos model that is not served, without a subject."""
    return f"is {model}, which is not supported yet; served are {SUPPORTED}"


def _text(file: Path, key: str) -> str:
    value = read_object(file, shown_as=str(file)).get(key)
    return value if isinstance(value, str) else ""
