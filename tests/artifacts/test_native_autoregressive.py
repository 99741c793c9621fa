"""model.pt of an autoregressive model: its sizes and configuration, and what is told of one that is not whole."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.artifacts.native.autoregressive import PUBLISHED, find_model
from cosmos_handler.errors import CheckpointError

pytestmark = pytest.mark.model

LISTS = {"4B": "autoregressive", "12B": "autoregressive"} | dict.fromkeys(
    ("5B-Video2World", "13B-Video2World"), "autoregressive_text"
)
STATED = {"norm_eps": 1e-5, "rope_theta": 500000, "video_latent_shape": [2, 3, 4], "apply_yarn": False}


def state_of(name: str, sizes: str) -> dict[str, Any]:
    """All tensors of a model, each with a single value in the file, however large it is."""
    import torch

    from scripts.tiny.native import shapes

    return {key: torch.ones(1, dtype=torch.bfloat16).expand(shape) for key, shape in shapes(name, sizes).items()}


def write(folder: Path, state: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> Path:
    import torch

    torch.save(state, folder / "model.pt")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        find_model(folder)
    return str(caught.value)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_models_need_no_configuration(tmp_path: Path, name: str) -> None:
    from accelerate import init_empty_weights

    from cosmos_handler.families.autoregressive.network import CosmosAutoregressive

    state = state_of(LISTS[name], f"Cosmos-Predict1-{name}")
    part = find_model(write(tmp_path, state)).part
    assert part.native is not None
    assert part.native.config == PUBLISHED[name]
    assert part.native.names.keys() == state.keys()
    with init_empty_weights():
        built = CosmosAutoregressive.from_config(part.native.config).state_dict()
    assert {ours: tuple(state[theirs].shape) for theirs, ours in part.native.names.items()} == {
        key: tuple(tensor.shape) for key, tensor in built.items()
    }
    values = sum(tensor.numel() for tensor in built.values())
    assert (part.dtype, part.size_bytes) == ("bfloat16", 2 * values)
    assert part.num_blocks == PUBLISHED[name]["num_hidden_layers"]


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("prefix", ["", "model."])
def test_the_tensors_lie_as_trainers_leave_them(tmp_path: Path, wrapped: bool, prefix: str) -> None:
    import io

    state: dict[str, Any] = {
        key.replace("model.", prefix, 1): tensor for key, tensor in state_of("autoregressive", "reference").items()
    }
    state[f"{prefix}layers.0.attention._extra_state"] = io.BytesIO(b"of an engine")
    found = find_model(write(tmp_path, {"model": state, "step": 3} if wrapped else state, STATED)).part.native
    assert found is not None
    assert found.wrappers == (("model",) if wrapped else ())
    assert found.names[f"{prefix}layers.1.attention.wq.weight"] == "layers.1.self_attn.q_proj.weight"
    assert len(found.names) == len(state) - 1


def test_config_json_says_what_tensors_do_not(tmp_path: Path) -> None:
    yarn = {"apply_yarn": True, "yarn_scale": 3, "original_latent_shape": [1, 2, 3]}
    stated = STATED | yarn | {"norm_eps": 1e-6, "rope_theta": 9000, "max_seq_len": 64, "n_heads": 4, "head_dim": None}
    found = find_model(write(tmp_path, state_of("autoregressive_text", "reference"), stated)).part.native
    assert found is not None
    assert found.config == {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": 64,
        "context_width": 24,
        "rms_norm_eps": 1e-6,
        "rope_theta": 9000,
        "latent_shape": [2, 3, 4],
        "yarn": {"scale": 3, "beta_fast": 4, "beta_slow": 1, "original_latent_shape": [1, 2, 3]},
    }


def test_all_that_is_missing_strange_or_misshapen_is_told_at_once(tmp_path: Path) -> None:
    import torch

    state = state_of("autoregressive_text", "reference")
    del state["model.layers.1.feed_forward.w2.weight"], state["model.layers.1.cross_attention.q_norm.weight"]
    state["model.layers.0.attention.bias"] = torch.zeros(2)
    state["model.layers.0.attention.wo.weight"] = torch.zeros(3, 4)
    state["model.tok_embeddings.weight"] = torch.zeros(64, 48)
    told = refusal(write(tmp_path, state, STATED | {"n_layers": 3}))
    assert told.splitlines() == [
        f"{tmp_path} is not a complete Cosmos Autoregressive checkpoint:",
        "  - model.pt lacks tensors of Cosmos Autoregressive: model.layers.1.cross_attention.q_norm.weight, "
        "model.layers.1.feed_forward.w2.weight",
        "  - model.pt holds tensors that Cosmos Autoregressive has no place for: model.layers.0.attention.bias",
        "  - model.pt: model.layers.0.attention.wo.weight is [3, 4], not [48, 64]",
        "  - model.pt: model.tok_embeddings.weight is [64, 48], not [128, 48]",
        "  - config.json is of another model: n_layers is 3, not 2",
    ]


@pytest.mark.parametrize("name", ["norm.weight", "output.weight", "layers.0.attention.wk.weight"])
def test_a_tensor_that_tells_a_size_is_missing_or_has_none(tmp_path: Path, name: str) -> None:
    import torch

    state = state_of("autoregressive", "reference")
    del state[f"model.{name}"]
    assert f"model.pt lacks model.{name}" in refusal(write(tmp_path, state, STATED))
    state[f"model.{name}"] = torch.zeros(())
    assert f"model.pt: model.{name} is [], which is no weight of it" in refusal(write(tmp_path, state, STATED))


def test_heads_that_cannot_be_are_refused(tmp_path: Path) -> None:
    import torch

    state = state_of("autoregressive", "reference")
    state["model.layers.0.attention.q_norm.weight"] = torch.ones(15)
    assert "keys is 32, which 15 does not divide" in refusal(write(tmp_path, state, STATED))


def test_other_sizes_without_a_configuration_are_told_what_it_must_say(tmp_path: Path) -> None:
    state = state_of("autoregressive", "reference")
    told = refusal(write(tmp_path, state))
    assert "model.pt has the sizes of none of 4B, 5B-Video2World, 12B, 13B-Video2World" in told
    assert "config.json must say norm_eps, rope_theta, video_latent_shape, apply_yarn" in told
    assert "video_latent_shape is [2, 3], not three counts" in refusal(
        write(tmp_path, state, STATED | {"video_latent_shape": [2, 3]})
    )
    (tmp_path / "config.json").write_text("{")
    assert "config.json is not valid JSON" in refusal(tmp_path)


def test_other_files_are_refused_as_what_they_are(tmp_path: Path) -> None:
    import torch

    assert "model.pt is missing" in refusal(tmp_path)
    write(tmp_path, {"net.blocks.0.self_attn.q_proj.weight": torch.ones(2, 2)})
    assert "model.pt is no Cosmos Autoregressive, but Cosmos Predict2" in refusal(tmp_path)
    write(tmp_path, {"conv1.weight": torch.ones(2, 2)})
    assert "but a model of unknown kind (with tensors such as conv1.weight)" in refusal(tmp_path)
    torch.save(Exception("anything that would have to be run"), tmp_path / "model.pt")
    assert "which weights have no need of: it is not loaded" in refusal(tmp_path)
    (tmp_path / "model.pt").write_bytes(b"not a file of torch")
    assert "model.pt is not a file of torch.save" in refusal(tmp_path)
