"""The files of the text checks: NVIDIA's word lists with NLTK's WordNet, and one of three classifiers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from cosmos_handler.artifacts.checkpoint import Part
from cosmos_handler.artifacts.inspection import Inspection, joined
from cosmos_handler.artifacts.tokenizer import check_tokenizer
from cosmos_handler.artifacts.weights import TRANSFORMERS, LoadingRule, find_part

ClassifierKind = Literal["qwen3guard", "llama_guard_3", "aegis"]

TEXT_CLASSIFIER_PART = "guardrail_text_classifier"
ADAPTER_PART = "guardrail_text_classifier_adapter"
LISTS = ("custom", "exact_match", "whitelist")
_BLOCKLIST = "blocklist"
# In NVIDIA's repository NLTK's data lies among the lists.
_NLTK_FOLDERS = ("blocklist/nltk_data", "nltk_data")
_NOUNS = ("index.noun", "noun.exc")
_ADAPTER = LoadingRule("adapter_model.safetensors", "adapter_model.safetensors.index.json", sharded_first=False)
_TEMPLATE_OF_LLAMA_3 = "<|start_header_id|>"
# The hub's cache lays a model four folders down: aegis/models--owner--name/snapshots/commit.
_DEEPEST = 5


def check_blocklist(look: Inspection) -> tuple[Part, ...]:
    """Notes what the blocklist lacks; it has no weights."""
    for name in LISTS:
        if not look.names(f"{_BLOCKLIST}/{name}"):
            look.fault(f"{_BLOCKLIST}/{name} is missing, or holds no list of words")
    if wordnet_of(look.folder) is None:
        needed = f"nltk_data/corpora/wordnet with {' and '.join(_NOUNS)}, or wordnet.zip"
        look.fault(f"NLTK's WordNet is missing: {needed}, there or in {_BLOCKLIST}")
    return ()


def wordnet_of(folder: Path) -> Path | None:
    """Where WordNet lies among the guardrails: a folder, or the archive as NLTK loads it down; None where it is not."""
    for place in _NLTK_FOLDERS:
        corpus = folder / place / "corpora" / "wordnet"
        if all((corpus / name).is_file() for name in _NOUNS):
            return corpus
        if corpus.with_suffix(".zip").is_file():
            return corpus.with_suffix(".zip")
    return None


def find_text_classifier(look: Inspection) -> tuple[Part, ...]:
    """The classifier's weights, and its adapter's where it is Aegis; what is wrong is noted as faults."""
    folders = _models(look)
    adapter = next(_folders_with(look.folder, "adapter_config.json"), None)
    if not folders:
        look.fault(
            "a text classifier is missing: Qwen3Guard-Gen, Llama-Guard-3, or LlamaGuard-7b with the Aegis adapter, "
            "in transformers' form, in a folder such as aegis"
        )
        return ()
    folder = folders[0]
    check_tokenizer(look, folder=folder)
    model = find_part(look, TEXT_CLASSIFIER_PART, folder=folder, rule=TRANSFORMERS)
    if kind_of(look.folder / folder) != "aegis":
        return (model,) if model else ()
    if adapter is None:
        look.fault(f"{folder} is LlamaGuard-7b without the Aegis adapter (adapter_config.json and its weights)")
        return ()
    weights = find_part(look, ADAPTER_PART, folder=adapter, rule=_ADAPTER)
    return (model, weights) if model and weights else ()


def kind_of(folder: Path) -> ClassifierKind:
    """Which of the classifiers a folder holds that find_text_classifier has found."""
    look = Inspection(folder)
    if (look.json_object("config.json") or {}).get("model_type") == "qwen3":
        return "qwen3guard"
    return "llama_guard_3" if _TEMPLATE_OF_LLAMA_3 in _template(look) else "aegis"


def _models(look: Inspection) -> list[str]:
    """Folders with a language model, the newest kind first."""
    order: tuple[ClassifierKind, ...] = ("qwen3guard", "llama_guard_3", "aegis")
    found = [
        folder
        for folder in _folders_with(look.folder, "config.json")
        if (look.json_object(joined(folder, "config.json")) or {}).get("model_type") in ("qwen3", "llama")
    ]
    return sorted(found, key=lambda folder: order.index(kind_of(look.folder / folder)))


def _template(look: Inspection) -> str:
    if look.has("chat_template.jinja"):
        return (look.folder / "chat_template.jinja").read_text(encoding="utf-8")
    settings = look.json_object("tokenizer_config.json") or {}
    return str(settings.get("chat_template", ""))


def _folders_with(root: Path, file: str) -> Iterator[str]:
    """Folders that hold a file of that name, relative to the root, those nearest to it first."""
    for level in range(_DEEPEST + 1):
        for path in sorted(root.glob("*/" * level + file)):
            yield path.parent.relative_to(root).as_posix()
