"""The conversion: the same tensors under diffusers' names, in files that diffusers and the server load."""

import json
from pathlib import Path

import pytest

from cosmos_handler.artifacts.discover import discover
from tests.scripts.converting import check_refusals, runner

pytestmark = pytest.mark.model

run = runner("convert.py")


def convert(native: Path, folder: Path) -> Path:
    done = run(native, folder)
    assert done.returncode == 0, done.stderr
    assert "transformer/diffusion_pytorch_model.safetensors: 100% of 0.00 GB" in done.stdout
    return folder


@pytest.fixture(scope="module")
def converted(tiny_native: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(tiny_native, tmp_path_factory.mktemp("converted") / "checkpoint")


@pytest.fixture(scope="module")
def converted_transfer(tiny_native_transfer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(tiny_native_transfer, tmp_path_factory.mktemp("converted") / "checkpoint")


def test_every_tensor_is_the_native_one(tiny_native: Path, converted: Path) -> None:
    import torch
    from safetensors.torch import load_file

    (checkpoint,) = discover(tiny_native)
    for part, folder in zip(checkpoint.parts[1:], ("transformer", "vae"), strict=True):
        assert part.native is not None
        state = torch.load(tiny_native / part.files[0], weights_only=True)
        written = load_file(converted / folder / "diffusion_pytorch_model.safetensors")
        assert len(written) == len(part.native.names)
        for theirs, ours in part.native.names.items():
            assert written[ours].dtype == state[theirs].dtype
            assert torch.equal(written[ours], state[theirs])
        beside = {key for key in state if key not in part.native.names}
        assert all(".pos_embedder." in key or ".accum_" in key for key in beside)


def test_diffusers_loads_what_was_written_with_nothing_missing(converted: Path) -> None:
    import torch
    from diffusers import AutoencoderKLWan, CosmosTransformer3DModel

    for loader, folder in ((CosmosTransformer3DModel, "transformer"), (AutoencoderKLWan, "vae")):
        model, report = loader.from_pretrained(converted / folder, dtype=torch.float32, output_loading_info=True)
        assert (report["missing_keys"], report["unexpected_keys"]) == ([], [])
        assert model.config["_class_name"] == loader.__name__


@pytest.mark.parametrize("form", ["", "_transfer"])
def test_the_loaded_parts_hold_the_same_tensors_either_way(form: str, request: pytest.FixtureRequest) -> None:
    import torch

    tiny_native = request.getfixturevalue(f"tiny_native{form}")
    converted = request.getfixturevalue(f"converted{form}")

    from cosmos_handler.families.registry import family_class
    from cosmos_handler.memory.components import load_part

    (native,), (library,) = discover(tiny_native), discover(converted)
    classes = family_class(native.family).PART_CLASSES
    for one, two in zip(native.parts, library.parts, strict=True):
        first, second = (
            load_part(checkpoint, part, classes[part.name]).state_dict()
            for checkpoint, part in ((native, one), (library, two))
        )
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) and first[key].dtype == second[key].dtype for key in first)


def test_each_control_branch_is_its_own_and_its_copies_are_the_transformer_s(
    tiny_native_transfer: Path, converted_transfer: Path
) -> None:
    import torch
    from safetensors.torch import load_file

    base = load_file(converted_transfer / "transformer/diffusion_pytorch_model.safetensors")
    seen = set()
    for branch in ("edge", "blur", "depth", "seg"):
        written = load_file(converted_transfer / f"controlnet/{branch}/diffusion_pytorch_model.safetensors")
        (file,) = (tiny_native_transfer / "general" / branch).glob("*.pt")
        state = torch.load(file, weights_only=True)
        assert torch.equal(written["patch_embed.proj.weight"], state["net.control_embedder.proj.1.weight"])
        assert torch.equal(written["patch_embed_base.proj.weight"], base["patch_embed.proj.weight"])
        assert torch.equal(written["control_blocks.1.after_proj.bias"], state["net.control_blocks.1.after_proj.bias"])
        seen.add(written["control_blocks.0.before_proj.weight"].float().sum().item())
    assert len(seen) == 4


def test_the_checkpoint_is_detected_as_before(tiny_native: Path, converted: Path) -> None:
    (native,), (library,) = discover(tiny_native), discover(converted)
    assert (library.family, library.tasks, library.generation) == (native.family, native.tasks, native.generation)
    assert [(part.size_bytes, part.dtype) for part in library.parts] == [
        (part.size_bytes, part.dtype) for part in native.parts
    ]
    assert json.loads((converted / "model_index.json").read_text())["_class_name"] == "Cosmos2_5_PredictBasePipeline"


def test_large_parts_are_written_in_shards_and_text_encoders_may_be_linked(tiny_native: Path, tmp_path: Path) -> None:
    assert run(tiny_native, tmp_path / "c", "--shard-gb", "0.0005", "--link").returncode == 0
    assert len(list((tmp_path / "c/vae").glob("*-of-00002.safetensors"))) == 2
    assert (tmp_path / "c/text_encoder").readlink() == tiny_native / "text_encoder"
    (sharded,) = discover(tmp_path / "c")
    assert sharded.parts[2].size_bytes == discover(tiny_native)[0].parts[2].size_bytes


def test_adapters_come_along(tiny_native: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    source = tmp_path / "native"
    source.mkdir()
    for entry in tiny_native.iterdir():
        (source / entry.name).symlink_to(entry)
    (source / "lora/mine").mkdir(parents=True)
    module = "transformer.transformer_blocks.0.attn1.to_q"
    sides = {f"{module}.lora_A.weight": torch.ones(2, 32), f"{module}.lora_B.weight": torch.ones(32, 2)}
    save_file(sides, source / "lora/mine/pytorch_lora_weights.safetensors")
    assert run(source, tmp_path / "c", "--link").returncode == 0
    assert [lora.name for lora in discover(tmp_path / "c")[0].loras] == ["mine"]


def test_what_cannot_be_converted_is_told(tiny_native: Path, converted: Path, tmp_path: Path) -> None:
    cases = (
        ((tiny_native, converted), "is there already and is not an empty folder"),
        ((converted, tmp_path / "x"), "is not in NVIDIA's own form: it is served as it is"),
        ((tmp_path / "none", tmp_path / "x"), "which does not exist"),
        ((tiny_native, tmp_path / "x", "--checkpoint", "base/pre-trained"), "is none of the checkpoints in"),
    )
    check_refusals(run, cases, tmp_path / "x")


def test_the_manual_is_its_help() -> None:
    shown = run("--help").stdout
    for word in ("--text-encoder", "--vae", "--checkpoint", "base/post-trained", "examples:"):
        assert word in shown
