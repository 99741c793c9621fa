"""The T5 text encoder that autoregressive models read prompts by, and its tokenizer: their places and their files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cosmos_handler.artifacts.checkpoint import Part
from cosmos_handler.artifacts.companions import T5_FOLDERS, T5_HUB_ID, T5_NAME, homes_beside
from cosmos_handler.artifacts.elsewhere import TEXT_ENCODER_CHANNEL, Elsewhere
from cosmos_handler.artifacts.inspection import Inspection, joined
from cosmos_handler.artifacts.weights import TRANSFORMERS, find_part

OWN, OWN_TOKENIZER = "text_encoder", "text_tokenizer"

_CLASS = "T5EncoderModel"
_OTHER_FORMS = (".bin", ".h5", ".msgpack")
_FETCH = f"fetch the folders text_encoder and tokenizer of {T5_HUB_ID}, which hold it as safetensors: "


def examine_text_encoder(
    look: Inspection, elsewhere: Elsewhere, places: dict[str, str], *, context_width: int | None
) -> Part | None:
    """The text encoder and, noted as a place, its tokenizer; None, and faults noted, where it is not there or whole.

    context_width: of the embeddings that the model reads; None where that is not known.
    """
    folders = [place for place in _places(look, elsewhere) if look.has(joined(place, "config.json"))]
    # A Cosmos-Reason1 may be mounted as the text encoder of another model.
    found = [place for place in folders if _content(look, place).get("model_type") == "t5"]
    if not found:
        look.fault(_missing(look, elsewhere, folders))
        return None
    folder = next((place for place in found if _has_safetensors(look, place)), found[0])
    if folder != OWN:
        places[OWN] = str(look.folder.resolve() / folder)
    _find_tokenizer(look, folder, places)
    faults_before = len(look.faults)
    _check_config(look, folder, context_width)
    others = [name for name in look.names(folder) if name.endswith(_OTHER_FORMS)]
    if others and not _has_safetensors(look, folder):
        look.fault(
            f"{folder} holds T5 only as {', '.join(others)}, but safetensors are needed: convert it once with "
            f"scripts/convert_text_encoder.py, or {_command(look)}"
        )
    if len(look.faults) > faults_before:
        return None
    return find_part(look, OWN, folder=folder, rule=TRANSFORMERS)


def holds_text_encoder(place: Path) -> bool:
    """Whether a folder of the deployer's holds T5 and its tokenizer, whole."""
    look = Inspection(place)
    examine_text_encoder(look, Elsewhere(text_encoders=(place,)), {}, context_width=None)
    return not look.faults


def _places(look: Inspection, elsewhere: Elsewhere) -> Iterator[str]:
    yield OWN
    for home in ("", *(f"{each}/" for each in homes_beside(look))):
        yield from (f"{home}{folder}" for folder in (*T5_FOLDERS, f"{T5_NAME}/{OWN}"))
    for place in elsewhere.text_encoders:
        yield from (str(place), str(place / OWN))


def _has_safetensors(look: Inspection, folder: str) -> bool:
    return any(look.has(joined(folder, file)) for file in (TRANSFORMERS.single, TRANSFORMERS.index))


def _find_tokenizer(look: Inspection, folder: str, places: dict[str, str]) -> None:
    parent = Path(folder).parent
    candidates = [OWN_TOKENIZER, folder, joined(folder, "tokenizer"), (parent / "tokenizer").as_posix()]
    found = next((place for place in candidates if look.has(joined(place, "tokenizer.json"))), None)
    if found is None:
        alone = " (spiece.model alone is not read)" if any(_has_pieces(look, place) for place in candidates) else ""
        look.fault(
            f"tokenizer.json of the text encoder is missing{alone}; looked for it in {', '.join(candidates)}: "
            f"{_command(look)}"
        )
    elif found != OWN_TOKENIZER:
        places[OWN_TOKENIZER] = str(look.folder.resolve() / found)


def _has_pieces(look: Inspection, folder: str) -> bool:
    return look.has(joined(folder, "spiece.model"))


def _check_config(look: Inspection, folder: str, context_width: int | None) -> None:
    config, file = _content(look, folder), joined(folder, "config.json")
    classes = config.get("architectures")
    if isinstance(classes, list) and classes and _CLASS not in classes:
        look.fault(f"{file} names {classes[0]}, not {_CLASS}: {_command(look)}")
    width = config.get("d_model")
    if context_width is not None and width != context_width:
        look.fault(f"{file}: d_model is {width}, but the model reads embeddings of {context_width}")


def _content(look: Inspection, folder: str) -> dict[str, Any]:
    return look.json_object(joined(folder, "config.json")) or {}


def _missing(look: Inspection, elsewhere: Elsewhere, others: list[str]) -> str:
    looked = ", ".join(dict.fromkeys(_places(look, elsewhere)))
    wrong = f" (there is no T5 in {', '.join(others)})" if others else ""
    return (
        f"the text encoder is missing: T5, which this model reads prompts by{wrong}; looked for its config.json in "
        f"{looked}: {_command(look)}, set COSMOS_TEXT_ENCODER_DIR, or mount it as the additional model data source "
        f"{TEXT_ENCODER_CHANNEL.name}"
    )


def _command(look: Inspection) -> str:
    folder = look.folder / T5_NAME
    return f"{_FETCH}`hf download {T5_HUB_ID} --include 'text_encoder/*' 'tokenizer/*' --local-dir {folder}`"
