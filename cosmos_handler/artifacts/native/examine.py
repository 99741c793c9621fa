"""Examines a checkpoint of 2.5 in NVIDIA's own form: its files, and the parts that lie elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cosmos_handler.artifacts import generator, transfer
from cosmos_handler.artifacts.checkpoint import GenerationLimits, Part
from cosmos_handler.artifacts.elsewhere import TEXT_ENCODER_CHANNEL, VAE_CHANNEL, Elsewhere
from cosmos_handler.artifacts.inspection import Inspection, component_config, joined
from cosmos_handler.artifacts.native import transformer, vae
from cosmos_handler.artifacts.native.branches import examine_branches
from cosmos_handler.artifacts.native.layout import VAE_FILE, NativeCheckpoint
from cosmos_handler.artifacts.native.sheet import Weights, check_names, part_of, weights_in
from cosmos_handler.artifacts.tokenizer import check_tokenizer, check_tokenizer_template
from cosmos_handler.artifacts.weights import DIFFUSERS, TRANSFORMERS, find_part

# NVIDIA's code has the numbers of the scheduler, not its repositories; these are the published diffusers form's.
SCHEDULER_FOLDER = Path(__file__).parent / "scheduler"

_VAE_PREFIXES = ("",)


@dataclass(frozen=True)
class Found:
    """What was found. places: folders of components that do not lie in the checkpoint under their own name."""

    parts: tuple[Part, ...]
    generation: GenerationLimits | None
    places: dict[str, str]


def examine_native(
    look: Inspection, checkpoint: NativeCheckpoint, elsewhere: Elsewhere, *, control: str | None
) -> Found:
    """The parts in the order of the stages, control branches last; what is wrong or missing is noted as faults.

    control: what the one control branch of a transfer model is for, where cosmos.json says it.
    """
    places: dict[str, str] = {}
    text_encoder = _text_encoder(look, elsewhere, places)
    scheduler = "scheduler/scheduler_config.json"
    if look.has(scheduler):
        look.json_object(scheduler)
    else:
        places["scheduler"] = str(SCHEDULER_FOLDER)
    weights = weights_in(look, checkpoint.file, prefixes=transformer.PREFIXES, beside=transformer.BESIDE)
    if checkpoint.family == "transfer2.5":
        base, branches = examine_branches(look, checkpoint, weights, control=control)
    else:
        base, branches = _transformer(look, weights), ()
    decoder = _vae(look, elsewhere)
    limits = None
    if base is not None and base.native is not None and decoder is not None:
        config = decoder.native.config if decoder.native else look.json_object(joined(decoder.folder, "config.json"))
        limits = generator.limits_of(look, dict(base.native.config), dict(config or {}))
        if checkpoint.family == "transfer2.5":
            limits = transfer.chunk_limits(limits, dict(base.native.config))
    parts = (text_encoder, base, decoder)
    return Found(parts=(*(part for part in parts if part), *branches), generation=limits, places=places)


def _transformer(look: Inspection, weights: Weights | None) -> Part | None:
    faults_before = len(look.faults)
    found = transformer.architecture(look, weights, with_control=False) if weights is not None else None
    if weights is None or found is None:
        return None
    check_names(look, weights, found.base(), what="Cosmos Predict2.5")
    if len(look.faults) > faults_before:
        return None
    return part_of(look, "transformer", weights, found.base(), config=found.base_config())


def _vae(look: Inspection, elsewhere: Elsewhere) -> Part | None:
    """NVIDIA's word for the VAE is tokenizer; the folder called tokenizer holds the text tokenizer."""
    for place in (Path(VAE_FILE), Path("vae"), *elsewhere.vaes):
        for file in (place, place / VAE_FILE):
            if look.has(file.as_posix()):
                return _native_vae(look, file.as_posix())
        folder = next((each for each in (place, place / "vae") if look.has((each / "config.json").as_posix())), None)
        if folder is not None:
            component_config(look, folder.as_posix(), key="_class_name", expected="AutoencoderKLWan")
            return find_part(look, "tokenizer", folder=folder.as_posix(), rule=DIFFUSERS)
    look.fault(
        f"{VAE_FILE} is missing (the Wan2.1 VAE, which nvidia/Cosmos-Predict2.5-2B holds); looked for it, or for a VAE "
        f"in diffusers form, in {_listed(['this folder', 'its folder vae'], elsewhere.vaes)}: put it there, set "
        f"COSMOS_VAE_PATH, or mount it as the additional model data source {VAE_CHANNEL.name}"
    )
    return None


def _native_vae(look: Inspection, file: str) -> Part | None:
    weights = weights_in(look, file, prefixes=_VAE_PREFIXES, beside=())
    if weights is None:
        return None
    first = weights.tensors.get(vae.FIRST)
    if first is None or not first.shape or first.shape[0] < 1:
        look.fault(f"{file} is not the Wan2.1 VAE: it has no {vae.FIRST}")
        return None
    faults_before = len(look.faults)
    sheet = vae.sheet(first.shape[0])
    check_names(look, weights, sheet, what="the Wan2.1 VAE")
    if len(look.faults) > faults_before:
        return None
    return part_of(look, "tokenizer", weights, sheet, config=vae.config(first.shape[0]))


def _text_encoder(look: Inspection, elsewhere: Elsewhere, places: dict[str, str]) -> Part | None:
    """The text encoder and, noted as a place, its tokenizer."""
    candidates = [Path("text_encoder")]
    for place in elsewhere.text_encoders:
        candidates += [place, place / "text_encoder"]
    folder = next((each for each in candidates if look.has((each / "config.json").as_posix())), None)
    if folder is None:
        own = ["the folder text_encoder of this one"]
        look.fault(
            "the text encoder is missing: Cosmos-Reason1-7B, which NVIDIA's own repositories of 2.5 do not hold; "
            f"looked for its config.json in {_listed(own, elsewhere.text_encoders)}: put "
            "it there, set COSMOS_TEXT_ENCODER_DIR, or mount it as the additional model data source "
            f"{TEXT_ENCODER_CHANNEL.name}"
        )
        return None
    if str(folder) != "text_encoder":
        places["text_encoder"] = str(folder)
    _tokenizer(look, folder, places)
    component_config(look, folder.as_posix(), key="model_type", expected="qwen2_5_vl")
    return find_part(look, "text_encoder", folder=folder.as_posix(), rule=TRANSFORMERS)


def _tokenizer(look: Inspection, text_encoder: Path, places: dict[str, str]) -> None:
    candidates = [Path("tokenizer"), text_encoder, text_encoder / "tokenizer", text_encoder.parent / "tokenizer"]
    found = [each for each in candidates if look.has((each / "tokenizer_config.json").as_posix())]
    folder = found[0] if found else candidates[0]
    if str(folder) != "tokenizer":
        places["tokenizer"] = str(folder if folder.is_absolute() else look.folder.resolve() / folder)
    check_tokenizer(look, folder=folder.as_posix())
    check_tokenizer_template(look, folder=folder.as_posix())


def _listed(own: Sequence[str], others: Sequence[Path]) -> str:
    return ", ".join([*own, *map(str, others)])
