"""Checkpoints in NVIDIA's own layout: which file is served, what is missing and where it was looked for."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.detect import detect
from cosmos_handler.artifacts.discover import discover
from cosmos_handler.artifacts.elsewhere import Elsewhere
from cosmos_handler.errors import CheckpointError
from tests.artifacts.miniature import write_reasoner

pytestmark = pytest.mark.model

POST_TRAINED = "base/post-trained/81edfebe-bd6a-4039-8c1d-737df1a790bf_ema_bf16.pt"


def found(root: Path, **elsewhere: Any) -> Checkpoint:
    (checkpoint,) = discover(root, elsewhere=Elsewhere(**elsewhere))
    return checkpoint


def fault_of(root: Path, **elsewhere: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        discover(root, elsewhere=Elsewhere(**elsewhere))
    return str(caught.value)


def file_of(checkpoint: Checkpoint) -> str:
    return checkpoint.parts[1].files[0]


@pytest.fixture
def native(tiny_native: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint that a test may harm."""
    return Path(shutil.copytree(tiny_native, tmp_path / "Cosmos-Predict2.5-2B"))


def move(native: Path, *places: str) -> None:
    """Copies of the checkpoint under other names instead of its own."""
    for place in places:
        (native / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(native / POST_TRAINED, native / place)
    (native / POST_TRAINED).unlink()


def change_state(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    import torch

    state = torch.load(file, weights_only=True)
    torch.save(change(state) or state, file)


def without(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda state: {key: value for key, value in state.items() if key != name}


def test_the_published_layout_is_read_in_full(native: Path) -> None:
    checkpoint = found(native)
    assert (checkpoint.name, checkpoint.family) == ("Cosmos-Predict2.5-2B", "predict2.5")
    assert checkpoint.tasks == ("text2world", "image2world", "video2world")
    assert [(part.name, part.files, part.dtype) for part in checkpoint.parts] == [
        ("text_encoder", ("text_encoder/model.safetensors",), "bfloat16"),
        ("transformer", (POST_TRAINED,), "bfloat16"),
        ("tokenizer", ("tokenizer.pth",), "float32"),
    ]
    assert checkpoint.generation is not None
    assert checkpoint.generation.max_frames == 509
    assert (checkpoint.folder_of("scheduler") / "scheduler_config.json").is_file()
    assert checkpoint.folder_of("tokenizer") == native / "tokenizer"


def test_other_weights_are_another_revision(native: Path) -> None:
    def nudge(state: dict[str, Any]) -> None:
        state["net.t_embedding_norm.weight"] += 1

    before = found(native).revision
    assert found(native).revision == before
    change_state(native / POST_TRAINED, nudge)
    assert found(native).revision != before


@pytest.mark.parametrize(
    ("places", "chosen", "served"),
    [
        (["base/pre-trained/a_ema_bf16.pt", "base/post-trained/b.pt"], None, "base/post-trained/b.pt"),
        (["base/pre-trained/a_ema_bf16.pt", "base/distilled/b_ema_bf16.pt"], None, "base/pre-trained/a_ema_bf16.pt"),
        (["base/pre-trained/a.pt", "base/post-trained/b.pt"], "base/pre-trained", "base/pre-trained/a.pt"),
        (["base/pre-trained/a.pt", "base/pre-trained/b.pt"], "base/pre-trained/b.pt", "base/pre-trained/b.pt"),
        (["model_ema_bf16.pt"], None, "model_ema_bf16.pt"),
        (["model.pt", "model_ema_bf16.pt", "model_ema_fp32.pt"], None, "model_ema_bf16.pt"),
        (["model.pt", "model_ema_fp32.pt"], None, "model_ema_fp32.pt"),
        (["model.pt", "model_ema_bf16.pt"], "model.pt", "model.pt"),
        (["checkpoints/iter_000000200/model.pt"], None, "checkpoints/iter_000000200/model.pt"),
    ],
)  # fmt: skip
def test_the_rule_says_which_of_several_is_served(
    native: Path, places: list[str], chosen: str | None, served: str
) -> None:
    move(native, *places)
    assert file_of(found(native, chosen=chosen)) == served


@pytest.mark.parametrize(
    ("places", "chosen", "said"),
    [
        (["a.pt", "b.pt"], None, "holds several checkpoints side by side: choose with COSMOS_CHECKPOINT one of"),
        (["x/a.pt", "y/b.pt"], None, "holds several checkpoints in NVIDIA's own form: choose with COSMOS_CHECKPOINT"),
        (["a.pt"], "b.pt", "COSMOS_CHECKPOINT='b.pt' is none of the checkpoints in"),
        (["base/distilled/a.pt"], None, "is the distilled Cosmos Predict2.5, which is not supported"),
        (["base/post-trained/a.pt", "base/distilled/a.pt"], "base/distilled", "is the distilled Cosmos Predict2.5"),
        (["auto/multiview/a.pt"], None, "is a multiview Cosmos 2.5, which is not supported"),
        (["robot/multiview-agibot/a.pt"], None, "is a multiview Cosmos 2.5, which is not supported"),
        (["robot/action-cond/a.pt"], None, "is an action-conditioned Cosmos 2.5, which is not supported"),
    ],
)  # fmt: skip
def test_what_is_not_served_or_not_told_is_refused(
    native: Path, places: list[str], chosen: str | None, said: str
) -> None:
    move(native, *places)
    assert said in fault_of(native, chosen=chosen)


def test_a_choice_where_there_is_nothing_to_choose_is_refused(tmp_path: Path) -> None:
    assert "COSMOS_CHECKPOINT='x' applies to checkpoints in NVIDIA's own form, and there is none" in fault_of(
        write_reasoner(tmp_path), chosen="x"
    )


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["net.blocks.0.self_attn.q_proj.weight"], "Cosmos Predict2"),
        (
            ["net.token_embedder.weight", "net.blocks.block0.blocks.0.block.attn.to_q.0.weight"],
            "the diffusion decoder of an ",
        ),
        (["net.blocks.block0.blocks.0.block.attn.to_q.0.weight"], "Cosmos 1.0 or Predict1"),
        (["net.blocks.0.self_attn.q_proj.weight", "net.view_embeddings.weight"], "a multiview Cosmos Predict2 or 2.5"),
        (["net.action_embedder_B_D.fc1.weight"], "an action-conditioned Cosmos Predict2 or 2.5"),
        (["layers.0.attention.wq.weight"], "a language model, such as the prompt upsampler of Cosmos 1.0 or Predict1"),
        (["encoder.downsamples.0.residual.0.gamma"], "the VAE of a Cosmos model (tokenizer.pth) without its transf"),
        (["lm.weight"], "a model of unknown kind (with tensors such as lm.weight)"),
    ],
)
def test_other_models_are_told_by_their_tensors(tmp_path: Path, names: list[str], said: str) -> None:
    import torch

    torch.save({name: torch.zeros(2) for name in names}, tmp_path / "model.pt")
    message = fault_of(tmp_path)
    assert message.startswith(f"{tmp_path} is {said}")
    assert "which is not supported yet; served are" in message


def test_older_repositories_with_several_files_are_told_by_what_is_in_them(tmp_path: Path) -> None:
    import torch

    for number, (files, said) in enumerate(
        (
            (["base_model.pt", "edge_control.pt", "vis_control.pt"], "Cosmos Transfer1"),
            (["model-480p-10fps.pt", "model-720p-16fps.pt"], "Cosmos Predict2"),
        )
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        for file in files:
            torch.save({"net.blocks.0.self_attn.q_proj.weight": torch.zeros(2)}, folder / file)
        assert fault_of(folder).startswith(f"{folder} is {said}, which is not supported yet")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Cosmos-Policy-LIBERO-Predict2-2B", "Cosmos Policy"),
        ("Cosmos-Predict2-2B-Multiview", "a multiview Cosmos Predict2"),
        ("something-else", "Cosmos Predict2"),
    ],
)
def test_a_folder_called_after_its_repository_is_told_by_that(tmp_path: Path, name: str, said: str) -> None:
    import torch

    (folder := tmp_path / name).mkdir()
    torch.save({"net.blocks.0.self_attn.q_proj.weight": torch.zeros(2)}, folder / "model.pt")
    assert fault_of(folder).startswith(f"{folder} is {said}, which is not supported yet; served are")


def test_averaged_weights_come_before_those_they_were_averaged_from(native: Path) -> None:
    def both(state: dict[str, Any]) -> dict[str, Any]:
        import torch

        averaged = {key.replace("net.", "net_ema."): value for key, value in state.items()}
        return {"model": averaged | {key: torch.zeros_like(value) for key, value in state.items()}, "iteration": 7}

    change_state(native / POST_TRAINED, both)
    part = found(native).parts[1]
    assert part.native is not None
    assert part.native.wrappers == ("model",)
    assert all(name.startswith("net_ema.") for name in part.native.names)


def test_names_without_a_prefix_and_other_extra_state_are_read(native: Path) -> None:
    import io

    def plain(state: dict[str, Any]) -> dict[str, Any]:
        bare = {key.removeprefix("net."): value for key, value in state.items()}
        return bare | {"blocks.0.self_attn.q_norm._extra_state": io.BytesIO(b"x")}

    change_state(native / POST_TRAINED, plain)
    assert found(native).parts[1].size_bytes == 93824


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            without("net.blocks.1.mlp.layer1.weight"),
            f"{POST_TRAINED} lacks tensors of Cosmos Predict2.5: net.blocks.1.mlp.layer1.weight",
        ),
        (
            without("net.blocks.0.mlp.layer1.weight"),
            f"{POST_TRAINED} lacks net.blocks.0.mlp.layer1.weight",
        ),
        (
            lambda state: state | {"net.blocks.0.lora.weight": state["net.t_embedding_norm.weight"]},
            f"{POST_TRAINED} holds tensors that Cosmos Predict2.5 has no place for: net.blocks.0.lora.weight",
        ),
        (
            lambda state: state | {"head.weight": state["net.t_embedding_norm.weight"]},
            f"{POST_TRAINED} holds tensors of no network that is known: head.weight",
        ),
        (
            lambda state: state | {"net.t_embedding_norm.weight": state["net.final_layer.linear.weight"]},
            f"{POST_TRAINED}: net.t_embedding_norm.weight is [64, 32], not [32]",
        ),
        (
            lambda state: {key: value.double() for key, value in state.items()},
            f"the weights in {POST_TRAINED} are stored as float64: only bfloat16, float16, float32 are supported",
        ),
        (
            lambda state: {
                key: value for key, value in state.items() if "blocks." not in key or ".0.self_attn.q" in key
            },
            f"{POST_TRAINED} lacks net.blocks.0.mlp.layer1.weight",
        ),
    ],
)
def test_every_tensor_that_is_wrong_is_named(native: Path, change: Callable[[Any], Any], said: str) -> None:
    change_state(native / POST_TRAINED, change)
    message = fault_of(native)
    assert message.startswith(f"{native} is not a complete Cosmos Predict2.5 checkpoint:")
    assert f"  - {said}" in message.splitlines()


def test_a_long_list_of_missing_tensors_is_counted(native: Path) -> None:
    change_state(native / POST_TRAINED, lambda state: {k: v for k, v in state.items() if "blocks.1.mlp" not in k
                                                       and "blocks.1.self_attn" not in k})  # fmt: skip
    assert ", … (8 in all)" in fault_of(native)


def test_a_vae_of_another_kind_is_named(native: Path) -> None:
    change_state(native / "tokenizer.pth", without("conv1.bias"))
    assert "tokenizer.pth lacks tensors of the Wan2.1 VAE: conv1.bias" in fault_of(native)
    change_state(native / "tokenizer.pth", lambda state: {"other": state["conv2.bias"]})
    assert "tokenizer.pth is not the Wan2.1 VAE: it has no encoder.conv1.weight" in fault_of(native)


def test_what_the_repository_lacks_is_named_with_the_places(native: Path, tmp_path: Path) -> None:
    for folder in ("text_encoder", "tokenizer"):
        shutil.move(native / folder, tmp_path / folder)
    shutil.move(native / "tokenizer.pth", tmp_path / "tokenizer.pth")
    lacking = fault_of(native, text_encoders=(tmp_path / "none",), vaes=(tmp_path / "no.pth",)).splitlines()
    assert lacking[0] == f"{native} is not a complete Cosmos Predict2.5 checkpoint:"
    assert lacking[1].startswith("  - the text encoder is missing: Cosmos-Reason1-7B, which NVIDIA's own repositories")
    assert f"in the folder text_encoder of this one, {tmp_path}/none: put it there, set COSMOS_TEXT_ENCO" in lacking[1]
    assert lacking[2].startswith("  - tokenizer.pth is missing (the Wan2.1 VAE, which nvidia/Cosmos-Predict2.5-2B")
    assert f"in this folder, its folder vae, {tmp_path}/no.pth: put it there, set COSMOS_VAE_PATH" in lacking[2]

    checkpoint = found(native, text_encoders=(tmp_path,), vaes=(tmp_path / "no.pth", tmp_path))
    assert checkpoint.folder_of("tokenizer") == tmp_path / "tokenizer"
    assert checkpoint.parts[0].files == (f"{tmp_path}/text_encoder/model.safetensors",)
    assert checkpoint.parts[2].files == (f"{tmp_path}/tokenizer.pth",)

    # As Reason1 is published: weights and tokenizer side by side.
    published = Path(shutil.copytree(tmp_path / "text_encoder", tmp_path / "reason1"))
    shutil.copytree(tmp_path / "tokenizer", published, dirs_exist_ok=True)
    checkpoint = found(native, text_encoders=(published,), vaes=(tmp_path / "tokenizer.pth",))
    assert checkpoint.folder_of("tokenizer") == checkpoint.folder_of("text_encoder") == published


def test_a_repository_without_a_vae_is_one_checkpoint_and_not_a_folder_of_several(native: Path) -> None:
    (native / "tokenizer.pth").unlink()
    assert fault_of(native).startswith(f"{native} is not a complete")
    shutil.rmtree(native / "text_encoder")
    shutil.rmtree(native / "tokenizer")
    assert fault_of(native).startswith(f"{native} is not a complete")


def test_several_models_may_be_in_their_own_form_beside_others(native: Path) -> None:
    write_reasoner(native.parent / "reason")
    assert [each.family for each in discover(native.parent)] == ["predict2.5", "reason2"]


def test_a_broken_file_is_named(native: Path) -> None:
    (native / POST_TRAINED).write_bytes((native / POST_TRAINED).read_bytes()[:-50])
    assert f"{native}/{POST_TRAINED} is truncated" in fault_of(native)


def test_the_scheduler_of_the_folder_is_used_where_it_has_one(native: Path) -> None:
    (native / "scheduler").mkdir()
    (native / "scheduler/scheduler_config.json").write_text("{}")
    assert detect(native, name="x").folder_of("scheduler") == native / "scheduler"


EDGE = "general/edge/61f5694b-0ad5-4ecd-8ad7-c8545627d125_ema_bf16.pt"
BLUR = "general/blur/ba2f44f2-c726-4fe7-949f-597069d9b91c_ema_bf16.pt"


@pytest.fixture
def transfer(tiny_native_transfer: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_native_transfer, tmp_path / "Cosmos-Transfer2.5-2B"))


def test_every_control_of_a_transfer_repository_is_one_model(transfer: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(transfer / "general/edge", transfer / "distilled/general/edge")
    caplog.set_level("INFO")
    checkpoint = found(transfer)
    assert (checkpoint.family, checkpoint.tasks) == ("transfer2.5", ("transfer",))
    assert checkpoint.controls == ("edge", "vis", "depth", "seg")
    assert {part.name: part.files[0] for part in checkpoint.parts[1:5]} == {
        "transformer": EDGE,
        "tokenizer": "tokenizer.pth",
        "control_edge": EDGE,
        "control_vis": BLUR,
    }
    assert f"not distilled/{EDGE}" in caplog.text
    assert "differ" not in caplog.text


def test_one_control_may_be_chosen_or_be_alone(transfer: Path) -> None:
    assert found(transfer, chosen="general/blur").controls == ("vis",)
    assert found(transfer, chosen=BLUR).parts[1].files == (BLUR,)
    shutil.rmtree(transfer / "general/edge")
    assert found(transfer).controls == ("vis", "depth", "seg")


def test_a_branch_whose_control_nothing_tells_is_refused(transfer: Path) -> None:
    shutil.move(transfer / BLUR, transfer / "model_ema_bf16.pt")
    shutil.rmtree(transfer / "general")
    assert "nothing says which control model_ema_bf16.pt is for: call its folder general/edge" in fault_of(transfer)
    assert found(transfer.rename(transfer.parent / "my-transfer-blur")).controls == ("vis",)


def test_transformers_that_differ_are_told(transfer: Path, caplog: pytest.LogCaptureFixture) -> None:
    def nudge(state: dict[str, Any]) -> None:
        state["net.t_embedding_norm.weight"] += 1

    change_state(transfer / BLUR, nudge)
    assert found(transfer).controls == ("edge", "vis", "depth", "seg")
    assert f"{BLUR}: 1 of 111 tensors of the transformer differ from those in {EDGE}" in caplog.text


def test_every_tensor_that_a_branch_lacks_is_named(transfer: Path) -> None:
    change_state(transfer / BLUR, without("net.control_blocks.1.after_proj.bias"))
    assert f"{BLUR} lacks tensors of Cosmos Transfer2.5: net.control_blocks.1.after_proj.bias" in fault_of(transfer)


def test_branches_of_other_sizes_or_none_do_not_go_together(transfer: Path, native: Path) -> None:
    shutil.copy(native / POST_TRAINED, transfer / BLUR)
    assert f"do not go together: {EDGE} is Cosmos Transfer2.5, {BLUR} is Cosmos Predict2.5" in fault_of(transfer)

    def smaller(state: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in state.items() if not key.startswith("net.blocks.3.")}

    shutil.copy(transfer / EDGE, transfer / BLUR)
    change_state(transfer / BLUR, smaller)
    assert f"{BLUR} holds another transformer than {EDGE}: serve them as two checkpoints" in fault_of(transfer)
