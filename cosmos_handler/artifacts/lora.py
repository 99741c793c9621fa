"""Examines the LoRA adapters of a generator: `lora/<name>/`, and in it the file that diffusers saves one as."""

import re
from collections.abc import Mapping

from cosmos_handler.artifacts.checkpoint import Lora, Part
from cosmos_handler.artifacts.inspection import Inspection
from cosmos_handler.artifacts.safetensors_header import Header

FOLDER = "lora"
FILE_NAME = "pytorch_lora_weights.safetensors"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEY = re.compile(r"transformer\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")


def find_loras(look: Inspection, transformer: Part | None) -> tuple[Lora, ...]:
    """The adapters beside a transformer, by name; what is wrong with any of them is noted as a fault."""
    place = look.folder / FOLDER
    if transformer is None or not place.is_dir():
        return ()
    weights = _weights(look, transformer)
    found = []
    for entry in sorted(place.iterdir()):
        if entry.name.startswith(".") or not entry.is_dir():
            continue
        file = f"{FOLDER}/{entry.name}/{FILE_NAME}"
        if not _NAME.fullmatch(entry.name):
            look.fault(f"{FOLDER}/{entry.name}: an adapter is called by 1 to 64 letters, digits and . _ -")
            continue
        header = look.header(file)
        if header is not None:
            _check(look, file, header, weights)
            size_bytes = sum(tensor.size_bytes for tensor in header.tensors.values())
            found.append(Lora(name=entry.name, file=file, size_bytes=size_bytes))
    return tuple(found)


def _weights(look: Inspection, transformer: Part) -> Mapping[str, tuple[int, ...] | None]:
    """The transformer's tensors by the library's names, with their shapes where the files tell them by those."""
    if transformer.native is not None:
        return dict.fromkeys(transformer.native.names.values())
    headers = [look.header(file) for file in transformer.files]
    return {name: tensor.shape for header in headers if header for name, tensor in header.tensors.items()}


def _check(look: Inspection, file: str, header: Header, weights: Mapping[str, tuple[int, ...] | None]) -> None:
    sides: dict[str, dict[str, tuple[int, ...]]] = {}
    for key, tensor in header.tensors.items():
        match = _KEY.fullmatch(key)
        if match is None:
            look.fault(f"{file} holds {key[:120]!r}: only transformer.….lora_A.weight and lora_B.weight are read")
            return
        sides.setdefault(match["module"], {})[match["side"]] = tensor.shape
    if not sides:
        look.fault(f"{file} holds no tensors")
    for module, shapes in sides.items():
        problem = _problem(shapes, weights.get(f"{module}.weight"), known=f"{module}.weight" in weights)
        if problem:
            look.fault(f"{file}: {module[:120]} {problem}")
            return


def _problem(shapes: Mapping[str, tuple[int, ...]], weight: tuple[int, ...] | None, *, known: bool) -> str | None:
    if not known:
        return "is not in the transformer"
    down, up = shapes.get("A"), shapes.get("B")
    if down is None or up is None:
        return f"has no lora_{'A' if down is None else 'B'}"
    if len(down) != 2 or len(up) != 2 or down[0] != up[1]:
        return f"has sides of {down} and {up}, which do not fit each other"
    if weight is not None and (up[0], down[1]) != weight:
        return f"is for a weight of {(up[0], down[1])}, and the transformer's is {weight}"
    return None
