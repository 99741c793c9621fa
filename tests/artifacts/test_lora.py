"""Adapters are found beside the transformer they are for, and held against it by their headers."""

from pathlib import Path

import pytest

from cosmos_handler.artifacts.detect import detect
from cosmos_handler.errors import CheckpointError
from tests.artifacts.miniature import write_generator, write_weights

TRANSFORMER = {"blocks.0.to_q.weight": ("BF16", (6, 4)), "blocks.0.to_k.weight": ("BF16", (6, 4))}
Q = "transformer.blocks.0.to_q.lora_"
GOOD = {f"{Q}A.weight": ("BF16", (2, 4)), f"{Q}B.weight": ("BF16", (6, 2))}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_generator(tmp_path)
    write_weights(tmp_path / "transformer/diffusion_pytorch_model.safetensors", TRANSFORMER)
    return tmp_path


def test_each_folder_is_an_adapter(folder: Path) -> None:
    without = detect(folder, name="p")
    assert without.loras == ()
    for name in ("wet-paint", "fog"):
        write_weights(folder / "lora" / name / "pytorch_lora_weights.safetensors", GOOD)
    found = detect(folder, name="p")
    assert [(lora.name, lora.size_bytes) for lora in found.loras] == [("fog", 40), ("wet-paint", 40)]
    assert found.loras[0].file == "lora/fog/pytorch_lora_weights.safetensors"
    assert found.revision != without.revision


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({**GOOD, "text_encoder.x.lora_A.weight": ("BF16", (2, 4))}, "holds 'text_encoder.x.lora_A.weight'"),
        ({**GOOD, f"{Q}A.alpha": ("F32", (1,))}, "holds 'transformer.blocks.0.to_q.lora_A.alpha'"),
        ({f"{Q}A.weight": ("BF16", (2, 4))}, "blocks.0.to_q has no lora_B"),
        ({**GOOD, f"{Q}B.weight": ("BF16", (6, 3))}, "do not fit each other"),
        ({**GOOD, f"{Q}A.weight": ("BF16", (2, 5))}, "is for a weight of (6, 5), and the transformer's is (6, 4)"),
        ({"transformer.other.lora_A.weight": ("BF16", (2, 4))}, "other is not in the transformer"),
    ],
)
def test_what_does_not_fit_is_named(folder: Path, tensors: dict[str, tuple[str, tuple[int, ...]]], said: str) -> None:
    write_weights(folder / "lora/fog/pytorch_lora_weights.safetensors", tensors)
    with pytest.raises(CheckpointError, match=r"lora/fog/pytorch_lora_weights\.safetensors") as caught:
        detect(folder, name="p")
    assert said in str(caught.value)


def test_a_folder_without_its_file_is_a_fault(folder: Path) -> None:
    (folder / "lora/fog").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"lora/fog/pytorch_lora_weights\.safetensors is missing"):
        detect(folder, name="p")
