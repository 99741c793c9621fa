"""The conversion of an autoregressive model: the same tensors and the same answers, from safetensors."""

import json
from pathlib import Path

import pytest

from tests.scripts.converting import check_refusals, runner

pytestmark = pytest.mark.model

run = runner("convert_autoregressive.py")


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from scripts.tiny.native_autoregressive import FULL, write_model

    folder = tmp_path_factory.mktemp("native")
    write_model(folder, "autoregressive_text", FULL, seed=0)
    return folder


@pytest.fixture(scope="module")
def converted(native: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted") / "model"
    done = run(native, folder)
    assert done.returncode == 0, done.stderr
    assert "model.safetensors: 100% of 0.01 GB\ndone in " in done.stdout
    return folder


def test_every_tensor_is_the_native_one(native: Path, converted: Path) -> None:
    import torch
    from safetensors.torch import load_file

    from cosmos_handler.artifacts.native.autoregressive import our_names

    state = torch.load(native / "model.pt", weights_only=True)
    written = load_file(converted / "model.safetensors")
    names = our_names(2, reads_text=True)
    assert written.keys() == set(names.values())
    for theirs, ours in names.items():
        assert written[ours].dtype == torch.bfloat16
        assert torch.equal(written[ours], state[f"model.{theirs}"])


def test_it_is_loaded_as_a_model_of_transformers_and_is_the_same(native: Path, converted: Path) -> None:
    import torch

    from cosmos_handler.families.autoregressive.loading import load_model
    from cosmos_handler.families.autoregressive.network import CosmosAutoregressive

    loaded, report = CosmosAutoregressive.from_pretrained(
        converted, dtype=torch.bfloat16, use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    model = load_model(native)
    first, second = model.state_dict(), loaded.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert loaded.config.num_slots == model.config.num_slots == 12864
    stated = json.loads((converted / "config.json").read_text())
    assert (stated["model_type"], stated["dtype"]) == ("cosmos_autoregressive", "bfloat16")
    assert stated["architectures"] == ["CosmosAutoregressive"]


def test_large_models_are_written_in_shards(native: Path, tmp_path: Path) -> None:
    from cosmos_handler.families.autoregressive.network import CosmosAutoregressive

    done = run(native, tmp_path / "c", "--shard-gb", "0.005")
    shares = [line.split()[1] for line in done.stdout.splitlines()[:-1]]
    assert (done.returncode, len(shares), shares[-1]) == (0, 2, "100%"), done.stdout
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]
    _, report = CosmosAutoregressive.from_pretrained(tmp_path / "c", output_loading_info=True)
    assert not report["missing_keys"]


def test_what_cannot_be_converted_is_told(native: Path, converted: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/model.pt").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    cases = (
        ((native, converted), "is there already and is not an empty folder"),
        ((tmp_path / "none", tmp_path / "x"), "model.pt is missing"),
        ((converted, tmp_path / "x"), "model.pt is missing"),
        ((tmp_path / "other", tmp_path / "x"), "is a Git LFS pointer, not the weights"),
    )
    check_refusals(run, cases, tmp_path / "x")


def test_the_manual_is_its_help() -> None:
    shown = run("--help").stdout
    for word in ("model.pt", "config.json", "--shard-gb", "video_latent_shape", "example:"):
        assert word in shown
