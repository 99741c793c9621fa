"""Cosmos 3's reasoner has no weights of its own."""

import json
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.artifacts.detect import detect
from cosmos_handler.artifacts.guardrail import NO_GUARDRAILS
from cosmos_handler.errors import CheckpointError
from cosmos_handler.memory.stages import part_sheets
from scripts import make_tiny

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cosmos3")
    make_tiny.write_checkpoint("cosmos3", folder, say=lambda line: None)
    return folder


@pytest.fixture
def loaded(folder: Path) -> dict[str, Any]:
    """The parts as the worker loads them."""
    from cosmos_handler.families.cosmos3.runner import Cosmos3
    from cosmos_handler.memory.components import load_part

    checkpoint = detect(folder, name="m")
    return {part.name: load_part(checkpoint, part, Cosmos3.PART_CLASSES[part.name]) for part in checkpoint.parts}


def reasoner_over(loaded: dict[str, Any], folder: Path) -> Any:
    from cosmos_handler.families.cosmos3 import reasoner

    return reasoner.reasoner_over(loaded["transformer"], loaded["vision_encoder"], folder)


def places(module: Any) -> dict[str, int]:
    return {name: tensor.data_ptr() for name, tensor in module.state_dict().items()}


def test_every_tensor_of_it_is_one_of_the_generators_or_of_the_vision_encoder(
    loaded: dict[str, Any], folder: Path
) -> None:
    from transformers import Cosmos3OmniForConditionalGeneration

    model = reasoner_over(loaded, folder)
    own = set(places(loaded["transformer"]).values()) | set(places(loaded["vision_encoder"]).values())
    shared = places(model)
    alone = Cosmos3OmniForConditionalGeneration.from_pretrained(folder)
    assert shared.keys() == alone.state_dict().keys()
    assert set(shared.values()) <= own
    assert 0 not in shared.values()
    parameters = {
        id(parameter) for name in ("transformer", "vision_encoder") for parameter in loaded[name].parameters()
    }
    assert {id(parameter) for parameter in model.parameters()} <= parameters


def test_a_move_of_the_parts_moves_it(loaded: dict[str, Any], folder: Path) -> None:
    import torch

    model = reasoner_over(loaded, folder)
    loaded["transformer"].to(torch.float32)
    assert model.lm_head.weight.dtype == torch.float32
    assert model.lm_head.weight.data_ptr() == loaded["transformer"].lm_head.weight.data_ptr()


def test_the_plan_counts_what_is_in_the_files(folder: Path) -> None:
    checkpoint = detect(folder, name="m")
    sheets = part_sheets([checkpoint], NO_GUARDRAILS, for_model="m")
    assert [sheet.name for sheet in sheets] == ["transformer", "tokenizer", "vision_encoder"]
    sizes = {part.name: part.size_bytes for part in checkpoint.parts}
    assert all(sheet.size_bytes >= sizes[sheet.name] for sheet in sheets)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert sizes["transformer"] + sizes["vision_encoder"] == index["metadata"]["total_size"]


def test_a_config_of_another_reasoner_is_refused(loaded: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    for change, said in (({"intermediate_size": 64}, "describes a reasoner"), ({"num_hidden_layers": 5}, "lacks")):
        text_config = {**config["text_config"], **change}
        (tmp_path / "config.json").write_text(json.dumps({**config, "text_config": text_config}))
        with pytest.raises(CheckpointError, match=said):
            reasoner_over(loaded, tmp_path)
