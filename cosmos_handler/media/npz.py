"""Arrays as one .npz file, for clients that want frames unencoded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write the arrays under their names, uncompressed and without pickles. Raises ValueError for object arrays."""
    with path.open("wb") as file:  # given a name, numpy would append a suffix of its own
        np.savez(file, allow_pickle=False, **arrays)
