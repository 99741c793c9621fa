"""model.pt itself: the same network as by hand, nothing of it run, its tensors as they are stored."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.families.autoregressive import tiny

pytestmark = pytest.mark.model


@pytest.fixture
def native(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a case as NVIDIA would: model.pt and config.json."""
    import torch

    def write(case: str) -> Path:
        reads_text, stretched = tiny.CASES[case]
        state = {name: torch.from_numpy(values) for name, values in tiny.weights(reads_text=reads_text).items()}
        torch.save({"model": state}, tmp_path / "model.pt")
        stated: dict[str, Any] = {"norm_eps": 1e-5, "rope_theta": 500000, "video_latent_shape": tiny.LATENT_SHAPE}
        stated["apply_yarn"] = stretched
        stated["original_latent_shape"] = tiny.YARN["original_latent_shape"]
        (tmp_path / "config.json").write_text(json.dumps(stated))
        return tmp_path

    return write


@pytest.mark.parametrize("case", sorted(tiny.CASES))
def test_it_answers_as_nvidia_s_code_does(
    native: Callable[[str], Path], reference: Mapping[str, NDArray[Any]], case: str
) -> None:
    from cosmos_handler.families.autoregressive.loading import load_model
    from tests.families.autoregressive.test_network import TOLERANCE, empty_cache, inputs

    model = load_model(native(case))
    tokens, text = inputs(model)
    scores = model(tokens, empty_cache(model), text=text)[0].numpy()
    assert np.abs(scores - reference[case]).max() < TOLERANCE
    assert not model.training
    assert not any(weight.requires_grad or weight.is_meta for weight in model.parameters())


def test_what_is_not_whole_is_not_loaded(native: Callable[[str], Path]) -> None:
    from cosmos_handler.errors import CheckpointError
    from cosmos_handler.families.autoregressive.loading import load_model

    folder = native("plain")
    (folder / "model.pt").write_bytes((folder / "model.pt").read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"model\.pt is truncated"):
        load_model(folder)
