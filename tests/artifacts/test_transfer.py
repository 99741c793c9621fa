"""A transfer model's control branches: where they lie, what each is for, and whether they fit the transformer."""

import json
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.artifacts.checkpoint import Part
from cosmos_handler.artifacts.detect import detect
from cosmos_handler.artifacts.discover import discover
from cosmos_handler.errors import CheckpointError
from tests.artifacts.miniature import PIPELINE, write_generator, write_json, write_weights

WEIGHTS = "diffusion_pytorch_model.safetensors"
TRANSFORMER = {
    "_class_name": "CosmosTransformer3DModel",
    "max_size": [128, 240, 240],
    "num_layers": 28,
    "num_attention_heads": 16,
    "attention_head_dim": 128,
    "controlnet_block_every_n": 7,
}
BRANCH = {"_class_name": "CosmosControlNetModel", "n_controlnet_blocks": 4, "model_channels": 2048}


def write_transfer(folder: Path, *branches: str) -> Path:
    """A complete Transfer2.5 checkpoint with branches in the folders that are named."""
    write_generator(folder)
    write_json(folder / "model_index.json", PIPELINE | {"_class_name": "Cosmos2_5_TransferPipeline"})
    write_json(folder / "transformer/config.json", TRANSFORMER)
    for branch in branches:
        write_json(folder / branch / "config.json", BRANCH)
        write_weights(folder / branch / WEIGHTS)
    return folder


def faults_of(folder: Path, **options: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        detect(folder, name="m", **options)
    return str(caught.value)


def test_branches_in_folders_of_their_own(tmp_path: Path) -> None:
    checkpoint = detect(write_transfer(tmp_path, "controlnet/blur", "controlnet/edge"), name="t")
    assert (checkpoint.family, checkpoint.tasks) == ("transfer2.5", ("transfer",))
    assert checkpoint.controls == ("edge", "vis")
    assert [part.name for part in checkpoint.parts[:3]] == ["text_encoder", "transformer", "tokenizer"]
    assert checkpoint.parts[4] == Part(
        "control_vis", "controlnet/blur", (f"controlnet/blur/{WEIGHTS}",), 72, "bfloat16"
    )


def test_a_chunk_has_no_more_frames_than_the_pipeline_takes(tmp_path: Path) -> None:
    limits = detect(write_transfer(tmp_path, "controlnet/edge"), name="t").generation
    assert limits is not None
    assert (limits.max_frames, limits.max_height, limits.temporal_factor) == (125, 1920, 4)


@pytest.mark.parametrize(
    ("name", "control"),
    [("transfer2.5-edge", "edge"), ("Cosmos-Transfer2.5-2B_blur", "vis"), ("vis", "vis"), ("seg.v2", "seg")],
)
def test_a_plain_branch_is_for_what_the_folder_is_called(tmp_path: Path, name: str, control: str) -> None:
    assert detect(write_transfer(tmp_path / name, "controlnet"), name="t").controls == (control,)


@pytest.mark.parametrize("name", ["transfer2.5", "edge-and-depth", "sedge"])
def test_a_plain_branch_that_nothing_names_is_refused(tmp_path: Path, name: str) -> None:
    message = faults_of(write_transfer(tmp_path / name, "controlnet"))
    assert "nothing says which control the branch in controlnet is for" in message
    assert "controlnet/edge, controlnet/blur, controlnet/depth, controlnet/seg" in message


def test_cosmos_json_says_what_a_plain_branch_is_for(tmp_path: Path) -> None:
    write_transfer(tmp_path / "edge-v1", "controlnet")
    write_json(tmp_path / "cosmos.json", {"models": [{"path": "edge-v1", "name": "d", "control": "depth"}]})
    (checkpoint,) = discover(tmp_path)
    assert checkpoint.controls == ("depth",)
    write_json(tmp_path / "cosmos.json", {"models": [{"path": "edge-v1", "name": "d", "control": "hdmap"}]})
    with pytest.raises(CheckpointError, match=r"models\.0\.control"):
        discover(tmp_path)


def test_a_control_is_given_to_plain_branches_only(tmp_path: Path) -> None:
    whole = write_transfer(tmp_path / "t", "controlnet/edge")
    assert "controlnet itself holds no branch" in faults_of(whole, control="edge")
    assert "which only a Transfer2.5 checkpoint has" in faults_of(write_generator(tmp_path / "p"), control="edge")


def test_what_is_wrong_with_the_branches_is_told(tmp_path: Path) -> None:
    assert "there is no control branch" in faults_of(write_transfer(tmp_path / "none"))
    both = write_transfer(tmp_path / "both", "controlnet", "controlnet/seg")
    assert "is a control branch itself and holds controlnet/seg besides" in faults_of(both)
    empty = write_transfer(tmp_path / "empty", "controlnet/edge")
    (empty / "controlnet/depth").mkdir()
    assert "controlnet/depth/config.json is missing" in faults_of(empty)
    other = write_transfer(tmp_path / "other", "controlnet/edge")
    write_json(other / "controlnet/edge/config.json", {"_class_name": "FluxControlNetModel"})
    assert "_class_name is 'FluxControlNetModel'" in faults_of(other)
    lost = write_transfer(tmp_path / "lost", "controlnet/edge")
    (lost / "controlnet/edge" / WEIGHTS).unlink()
    assert f"controlnet/edge/{WEIGHTS} is missing" in faults_of(lost)


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        ("controlnet/edge", {"n_controlnet_blocks": 3}, "n_controlnet_blocks is 3, and the transformer takes 4"),
        ("controlnet/edge", {"model_channels": 32}, "model_channels is 32, and the transformer's width 2048"),
        ("transformer", {"controlnet_block_every_n": None}, "are not all positive whole numbers"),
        ("transformer", {"num_layers": "many"}, "are not all positive whole numbers"),
    ],
)
def test_a_branch_for_another_transformer_is_refused(
    tmp_path: Path, file: str, changes: dict[str, Any], said: str
) -> None:
    config = write_transfer(tmp_path, "controlnet/edge") / file / "config.json"
    write_json(config, json.loads(config.read_text()) | changes)
    assert said in faults_of(tmp_path)


def test_each_branch_counts_in_the_revision(tmp_path: Path) -> None:
    one = detect(write_transfer(tmp_path / "a", "controlnet/edge"), name="t").revision
    two = detect(write_transfer(tmp_path / "b", "controlnet/edge", "controlnet/seg"), name="t").revision
    assert one != two
