"""What a Cosmos 3 folder is told by: whole, without its reasoner, the reasoner alone, and the kinds not served."""

from pathlib import Path

import pytest

from cosmos_handler.artifacts.detect import detect
from cosmos_handler.errors import CheckpointError
from tests.artifacts.miniature import write_json, write_omni, write_reasoner

MODES = ("text2image", "text2video", "image2video", "video2video")


def test_one_folder_does_everything(tmp_path: Path) -> None:
    found = detect(write_omni(tmp_path), name="m")
    assert (found.family, found.tasks, found.context_tokens) == ("cosmos3", (*MODES, "reasoner"), 4321)
    assert [(part.name, part.folder) for part in found.parts] == [
        ("transformer", "transformer"),
        ("tokenizer", "vae"),
        ("vision_encoder", "vision_encoder"),
    ]
    assert found.generation is not None
    assert (found.generation.temporal_factor, found.generation.size_multiple) == (4, 16)


def test_a_generator_alone(tmp_path: Path) -> None:
    found = detect(write_omni(tmp_path, reasoner=False), name="m")
    assert (found.tasks, found.context_tokens) == (MODES, None)
    assert [part.name for part in found.parts] == ["transformer", "tokenizer"]


def test_a_reasoner_alone(tmp_path: Path) -> None:
    write_reasoner(tmp_path)
    write_json(tmp_path / "config.json", {"model_type": "cosmos3_omni", "text_config": {}})
    found = detect(tmp_path, name="m")
    assert (found.family, found.tasks, found.generation) == ("cosmos3", ("reasoner",), None)
    assert [part.name for part in found.parts] == ["model"]


@pytest.mark.parametrize(
    "missing",
    [
        "scheduler/scheduler_config.json",
        "text_tokenizer/tokenizer.json",
        "transformer/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vision_encoder/model.safetensors",
        "preprocessor_config.json",
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, missing: str) -> None:
    write_omni(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(CheckpointError) as caught:
        detect(tmp_path, name="m")
    assert f"is not a complete Cosmos 3 checkpoint:\n  - {missing} is missing" in str(caught.value)


def test_another_class_and_a_crooked_vae_are_named(tmp_path: Path) -> None:
    write_omni(tmp_path)
    write_json(tmp_path / "transformer/config.json", {"_class_name": "CosmosTransformer3DModel"})
    write_json(tmp_path / "vae/config.json", {"_class_name": "AutoencoderKLWan", "scale_factor_temporal": 0})
    with pytest.raises(CheckpointError) as caught:
        detect(tmp_path, name="m")
    assert "_class_name is 'CosmosTransformer3DModel', not 'Cosmos3OmniTransformer'" in str(caught.value)
    assert "scale_factor_temporal is not a whole number" in str(caught.value)


def test_a_modular_index_alone_does_not_make_it_a_distilled_one(tmp_path: Path) -> None:
    write_json(write_omni(tmp_path) / "modular_model_index.json", {"_class_name": "Cosmos3OmniModularPipeline"})
    assert "text2video" in detect(tmp_path, name="m").tasks


def test_distilled_and_edge_are_named_and_refused(tmp_path: Path) -> None:
    distilled, edge = write_omni(tmp_path / "distilled"), write_omni(tmp_path / "edge")
    write_json(distilled / "modular_model_index.json", {"distilled_sigmas": [1.0, 0.9375, 0.8333, 0.625]})
    write_json(edge / "transformer/config.json", {"_class_name": "Cosmos3OmniTransformer", "hidden_act": "relu2"})
    reasoner = write_omni(tmp_path / "reasoner")
    write_json(reasoner / "config.json", {"model_type": "cosmos3_edge"})
    for folder, said in (
        (distilled, "is a distilled Cosmos 3"),
        (edge, "is Cosmos 3 Edge"),
        (reasoner, "is Cosmos 3 Edge"),
    ):
        with pytest.raises(CheckpointError, match=said):
            detect(folder, name="m")
