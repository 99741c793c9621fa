"""Finds the blocks of a network by the names of its tensors: the rule by which they are found in the loaded module."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from cosmos_handler.artifacts.checkpoint import BLOCK_SERIES

# The first match from the left is the outermost list.
_BLOCK = re.compile(rf"(?:^|\.)(?:{'|'.join(BLOCK_SERIES)})\.\d+\.")


@dataclass(frozen=True)
class Blocks:
    """Fields of `checkpoint.Part`, under the names that they have there."""

    num_blocks: int
    block_bytes: int
    rest_bytes: int
    num_tensors: int


def blocks_of(sizes: Mapping[str, int]) -> Blocks:
    """The blocks of a network. sizes: for each tensor its bytes."""
    blocks: Counter[str] = Counter()
    rest_bytes = 0
    for name, size_bytes in sizes.items():
        found = _BLOCK.search(name)
        if found is None:
            rest_bytes += size_bytes
        else:
            blocks[name[: found.end()]] += size_bytes
    return Blocks(len(blocks), max(blocks.values(), default=0), rest_bytes, len(sizes))
