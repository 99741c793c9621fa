"""Loading out of files in NVIDIA's own form: exact types, and files that changed after they were looked at."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.detect import detect
from cosmos_handler.errors import CheckpointError

pytestmark = pytest.mark.model

FILE = "base/post-trained/81edfebe-bd6a-4039-8c1d-737df1a790bf_ema_bf16.pt"


@pytest.fixture
def native(tiny_native: Path, tmp_path: Path) -> Path:
    """A folder with a copy of the transformer, and links to the rest."""
    (tmp_path / FILE).parent.mkdir(parents=True)
    (tmp_path / FILE).write_bytes((tiny_native / FILE).read_bytes())
    for name in ("tokenizer.pth", "text_encoder", "tokenizer"):
        (tmp_path / name).symlink_to(tiny_native / name)
    return tmp_path


def change_state(native: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    import torch

    torch.save(change(torch.load(native / FILE, weights_only=True)), native / FILE)


def load_transformer(checkpoint: Checkpoint) -> Any:
    from cosmos_handler.memory.components import PartClass, load_part

    return load_part(checkpoint, checkpoint.parts[1], PartClass("diffusers", "CosmosTransformer3DModel"))


def test_everything_has_the_type_in_which_most_of_it_is_stored(native: Path) -> None:
    import torch

    def mostly_float32(state: dict[str, Any]) -> dict[str, Any]:
        return {
            key: value.float() if value.is_floating_point() and "mlp" not in key else value
            for key, value in state.items()
        }

    change_state(native, mostly_float32)
    checkpoint = detect(native, name="x")
    module = load_transformer(checkpoint)
    assert {tensor.dtype for tensor in module.state_dict().values()} == {torch.float32}
    assert not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_the_extra_state_of_a_training_library_is_passed_over(native: Path) -> None:
    change_state(native, lambda state: state | {"net.blocks.0.self_attn.q_norm._extra_state": io.BytesIO(b"scales")})
    assert len(load_transformer(detect(native, name="x")).state_dict()) == 49


def test_a_tensor_that_went_away_since_is_named(native: Path) -> None:
    checkpoint = detect(native, name="x")
    change_state(native, lambda state: {key: value for key, value in state.items() if "blocks.1.mlp" not in key})
    with pytest.raises(CheckpointError, match=r"does not load: KeyError: 'net\.blocks\.1\.mlp\.layer1\.weight'"):
        load_transformer(checkpoint)


def test_a_tensor_of_another_shape_since_is_named(native: Path) -> None:
    checkpoint = detect(native, name="x")
    change_state(native, lambda state: state | {"net.t_embedding_norm.weight": state["net.final_layer.linear.weight"]})
    with pytest.raises(CheckpointError, match=r"(?s)not load as CosmosTransformer3DModel.*time_embed\.norm\.weight"):
        load_transformer(checkpoint)


def test_a_file_that_would_run_something_is_not_loaded(native: Path, tmp_path: Path) -> None:
    import os

    import torch

    class Runs:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "was-run"),)

    checkpoint = detect(native, name="x")
    torch.save({"net.x_embedder.proj.1.weight": Runs()}, native / FILE)
    with pytest.raises(CheckpointError, match="UnpicklingError"):
        load_transformer(checkpoint)
    assert not (tmp_path / "was-run").exists()
