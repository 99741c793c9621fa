"""A sheet says, for one network, what each tensor is called by NVIDIA and by diffusers, and what shape it has."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from cosmos_handler.artifacts.blocks import blocks_of
from cosmos_handler.artifacts.checkpoint import Native, Part
from cosmos_handler.artifacts.inspection import Inspection
from cosmos_handler.artifacts.native.torch_file import read_torch_file
from cosmos_handler.artifacts.safetensors_header import StoredTensor
from cosmos_handler.artifacts.weights import served_dtype

_MOST_NAMED = 5

# NVIDIA's name, ours, and the shape in words for sizes; a figure before a size multiplies it.
Table = Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Line:
    """One tensor. theirs: NVIDIA's name for it. ours: that of the library which runs it."""

    theirs: str
    ours: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Weights:
    """The tensors of one network in a file. prefix: what stands before their names."""

    file: str
    prefix: str
    tensors: Mapping[str, StoredTensor]
    checksums: Mapping[str, int]
    wrappers: tuple[str, ...]


def weights_in(look: Inspection, file: str, *, prefixes: Sequence[str], beside: Sequence[str]) -> Weights | None:
    """The tensors whose names begin with the first of some prefixes that occurs, and are no buffers or counters.

    beside: words in the names of those that are none. None, and a fault noted, where the file is not whole.
    """
    content = look.weight_file(file, read_torch_file)
    if content is None:
        return None
    plain = [key for key in content.tensors if not any(word in key for word in beside)]
    prefix = next((each for each in prefixes if any(key.startswith(each) for key in content.tensors)), "")
    names = [key for key in plain if key.startswith(prefix)]
    strays = sorted(key for key in plain if not key.startswith((prefix, *prefixes)))
    if strays:
        look.fault(f"{file} holds tensors of no network that is known: {_named(strays)}")
    return Weights(
        file=file,
        prefix=prefix,
        tensors={key.removeprefix(prefix): content.tensors[key] for key in names},
        checksums={key.removeprefix(prefix): content.checksums[key] for key in names},
        wrappers=content.wrappers,
    )


def measured(look: Inspection, weights: Weights, measures: Mapping[str, tuple[str, int]]) -> dict[str, int] | None:
    """Sizes of a network, each read from a tensor's axis; None, and faults noted, where one cannot be read."""
    sizes = {}
    for size, (name, axis) in measures.items():
        tensor = weights.tensors.get(name)
        if tensor is None:
            look.fault(f"{weights.file} lacks {weights.prefix}{name}")
        elif len(tensor.shape) <= axis or tensor.shape[axis] < 1:
            look.fault(f"{weights.file}: {weights.prefix}{name} is {list(tensor.shape)}, which is no weight of it")
        else:
            sizes[size] = tensor.shape[axis]
    return sizes if len(sizes) == len(measures) else None


def all_divide(look: Inspection, weights: Weights, sizes: Mapping[str, int], divisors: Mapping[str, int]) -> bool:
    """Whether some sizes are what they must be so many times over; where one is not, a fault is noted."""
    for size, divisor in divisors.items():
        if sizes[size] % divisor:
            look.fault(f"{weights.file}: {size} is {sizes[size]}, which {divisor} does not divide")
            return False
    return True


def num_blocks(weights: Weights, begin: str) -> int:
    """How many equal blocks there are whose names begin so, "blocks." and a number, by the highest of these."""
    found = (re.match(rf"{re.escape(begin)}(\d{{1,4}})\.", name) for name in weights.tensors)
    return max((int(match[1]) + 1 for match in found if match), default=0)


def lines_of(table: Table, sizes: Mapping[str, int], *, theirs: str = "", ours: str = "") -> list[Line]:
    """The tensors of a table for a network of some sizes. theirs, ours: what stands before their names."""
    return [Line(theirs + their, ours + our, _shape(words, sizes)) for their, our, words in table]


def check_names(look: Inspection, weights: Weights, sheet: Iterable[Line], *, what: str) -> None:
    """Notes the tensors that a network lacks, those it has no place for, and those of another shape."""
    shapes = {line.theirs: line.shape for line in sheet}
    _note(look, f"{weights.file} lacks tensors of {what}", weights, sorted(shapes.keys() - weights.tensors.keys()))
    strange = sorted(weights.tensors.keys() - shapes.keys())
    _note(look, f"{weights.file} holds tensors that {what} has no place for", weights, strange)
    for name in sorted(shapes.keys() & weights.tensors.keys()):
        found = weights.tensors[name].shape
        if found != shapes[name]:
            look.fault(f"{weights.file}: {weights.prefix}{name} is {list(found)}, not {list(shapes[name])}")


def part_of(
    look: Inspection, name: str, weights: Weights, lines: Sequence[Line], *, config: Mapping[str, object]
) -> Part | None:
    """The part that some lines of a sheet make; None, and a fault noted, where it is stored as nothing we run."""
    names = {weights.prefix + line.theirs: line.ours for line in lines}
    tensors = [weights.tensors[line.theirs] for line in lines]
    dtype = served_dtype(look, tensors, where=f"in {weights.file}")
    if dtype is None:
        return None
    blocks = blocks_of({line.ours: weights.tensors[line.theirs].size_bytes for line in lines})
    return Part(
        name=name,
        folder=".",
        files=(weights.file,),
        size_bytes=sum(tensor.size_bytes for tensor in tensors),
        dtype=dtype,
        native=Native(wrappers=weights.wrappers, names=names, config=config),
        **asdict(blocks),
        config=config,
    )


def _shape(words: str, sizes: Mapping[str, int]) -> tuple[int, ...]:
    factors = (word.rpartition("*") for word in words.split())
    return tuple(int(factor or 1) * sizes[size] for factor, _, size in factors)


def _note(look: Inspection, sentence: str, weights: Weights, names: Sequence[str]) -> None:
    if names:
        look.fault(f"{sentence}: {_named([weights.prefix + name for name in names])}")


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(name[:120] for name in names[:_MOST_NAMED])
    return shown + (f", … ({len(names)} in all)" if len(names) > _MOST_NAMED else "")
