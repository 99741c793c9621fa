"""Networks with the formula's weights, and the reference's answers."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.families.autoregressive import tiny


@pytest.fixture(scope="session")
def reference() -> Mapping[str, NDArray[Any]]:
    with np.load(tiny.REFERENCE) as stored:
        return {name: stored[name] for name in stored.files}


@pytest.fixture(scope="session")
def network() -> Callable[[str], Any]:
    """Makes the network of a case, as NVIDIA's names say what goes where."""
    import torch

    from cosmos_handler.artifacts.native.autoregressive import our_names
    from cosmos_handler.families.autoregressive.network import CosmosAutoregressive

    def make(case: str) -> Any:
        model = CosmosAutoregressive.from_config(tiny.config(case)).eval().requires_grad_(False)
        reads_text = model.config.reads_text
        names = our_names(2, reads_text=reads_text)
        state = {
            names[name.removeprefix("model.")]: torch.from_numpy(values)
            for name, values in tiny.weights(reads_text=reads_text).items()
        }
        model.load_state_dict(state, strict=True)
        return model

    return make
