"""Finds the weight files of one part, single or sharded, by the rules of the library that will load them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

from cosmos_handler.artifacts.blocks import blocks_of
from cosmos_handler.artifacts.checkpoint import Part
from cosmos_handler.artifacts.inspection import Inspection, joined
from cosmos_handler.artifacts.safetensors_header import Header, StoredTensor

_OTHER_FORMS = (".bin", ".pt", ".pth", ".ckpt", ".jit", ".gguf", ".h5", ".msgpack", ".flashpack")
_SERVED_DTYPES = ("bfloat16", "float16", "float32")


@dataclass(frozen=True)
class LoadingRule:
    """How a library names weights. sharded_first: what it takes where a single file and an index lie side by side."""

    single: str
    index: str
    sharded_first: bool


TRANSFORMERS = LoadingRule("model.safetensors", "model.safetensors.index.json", sharded_first=False)
DIFFUSERS = LoadingRule(
    "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.safetensors.index.json", sharded_first=True
)


def find_part(look: Inspection, name: str, *, folder: str, rule: LoadingRule) -> Part | None:
    """The part whose weights lie in a folder; None, and every fault noted, where they are not all there and whole."""
    faults_before = len(look.faults)
    headers = _headers(look, folder, rule)
    if len(look.faults) > faults_before:
        return None
    tensors = [tensor for header in headers.values() for tensor in header.tensors.values()]
    size_bytes = sum(tensor.size_bytes for tensor in tensors)
    if not size_bytes:
        look.fault(f"{', '.join(headers)} holds no tensors")
        return None
    dtype = served_dtype(look, tensors, where=f"of {_shown(folder)}")
    if dtype is None:
        return None
    blocks = blocks_of({name: one.size_bytes for header in headers.values() for name, one in header.tensors.items()})
    config = joined(folder, "config.json")
    return Part(
        name=name,
        folder=folder,
        files=tuple(sorted(headers)),
        size_bytes=size_bytes,
        dtype=dtype,
        **asdict(blocks),
        config=(look.json_object(config) or {}) if look.has(config) else {},
    )


def served_dtype(look: Inspection, tensors: Iterable[StoredTensor], *, where: str) -> str | None:
    """The type in which most bytes of some tensors are stored; None, and a fault noted, where it is none we run.

    where: which weights they are, for the fault.
    """
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        sizes[tensor.dtype] += tensor.size_bytes
    dtype = max(sorted(sizes), key=lambda candidate: sizes[candidate])
    if dtype in _SERVED_DTYPES:
        return dtype
    look.fault(f"the weights {where} are stored as {dtype}: only {', '.join(_SERVED_DTYPES)} are supported")
    return None


def _headers(look: Inspection, folder: str, rule: LoadingRule) -> dict[str, Header]:
    single, index = joined(folder, rule.single), joined(folder, rule.index)
    if look.has(index) and (rule.sharded_first or not look.has(single)):
        return _shard_headers(look, index, folder=folder)
    if not look.has(single):
        look.fault(_no_weights(look, folder, rule))
        return {}
    header = look.header(single)
    return {single: header} if header else {}


def _shard_headers(look: Inspection, index: str, *, folder: str) -> dict[str, Header]:
    headers = {}
    for shard, promised in _promised_tensors(look, index).items():
        if not _stays_inside(shard):
            look.fault(f"{index} names {shard!r}, which is not a safetensors file inside its folder")
            continue
        file = joined(folder, shard)
        if not look.keeps(file, folder=folder):
            look.fault(f"{index} names {shard!r}, which is a link that leads out of its folder")
            continue
        if not look.has(file):
            look.fault(f"{file} is missing, though {index} lists it")
            continue
        header = look.header(file)
        if header:
            headers[file] = header
            _check_promises(look, file, index=index, lacking=promised - header.tensors.keys())
    return headers


def _check_promises(look: Inspection, file: str, *, index: str, lacking: Iterable[str]) -> None:
    lacking = sorted(lacking)
    if lacking:
        look.fault(f"{file} lacks {len(lacking)} of the tensors that {index} promises, such as {lacking[0][:120]!r}")


def _promised_tensors(look: Inspection, index: str) -> dict[str, set[str]]:
    """For each shard that an index lists, the tensors it should hold."""
    content = look.json_object(index)
    if content is None:
        return {}
    weight_map = content.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map or not all(isinstance(s, str) for s in weight_map.values()):
        look.fault(f"{index} has no weight_map from tensors to files")
        return {}
    promised: dict[str, set[str]] = {}
    for tensor, shard in weight_map.items():
        promised.setdefault(shard, set()).add(tensor)
    return promised


def _stays_inside(shard: str) -> bool:
    # By the words of the path; where its links lead is another question.
    path = PurePosixPath(shard)
    return path.suffix == ".safetensors" and not path.is_absolute() and ".." not in path.parts


def _no_weights(look: Inspection, folder: str, rule: LoadingRule) -> str:
    missing = f"{joined(folder, rule.single)} is missing, and so is {joined(folder, rule.index)} with shards"
    names = look.names(folder)
    safetensors = [name for name in names if name.endswith(".safetensors")]
    if safetensors:
        return f"{missing} (there is {', '.join(safetensors[:5])})"
    others = [name for name in names if name.endswith(_OTHER_FORMS)]
    if others:
        return f"{missing}: the weights are only there as {', '.join(others[:5])}, but safetensors are needed"
    return missing


def _shown(folder: str) -> str:
    return "the checkpoint's folder" if folder == "." else folder
