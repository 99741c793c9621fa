"""Autoregressive checkpoints: what makes one, where its networks are looked for, and all that is told of faults."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.artifacts.checkpoint import Checkpoint, GenerationLimits
from cosmos_handler.artifacts.discover import discover
from cosmos_handler.artifacts.elsewhere import Elsewhere
from cosmos_handler.errors import CheckpointError
from tests.artifacts.autoregressive import (
    change_json,
    state_of,
    write_decoders,
    write_model,
    write_t5,
    write_tokenizer,
)
from tests.artifacts.miniature import write_json, write_reasoner, write_weights

pytestmark = pytest.mark.model

DV, CV = "Cosmos-Tokenize1-DV8x16x16-720p", "Cosmos-Tokenize1-CV8x8x8-720p"
DECODER = "Cosmos-Predict1-7B-Decoder-DV8x16x16ToCV8x8x8-720p"
T5 = "Cosmos-1.0-Diffusion-7B-Text2World"
LIMITS = GenerationLimits(max_frames=9, max_height=48, max_width=64, temporal_factor=8, size_multiple=16)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A model that reads no text, with its tokenizer in it."""
    folder = write_model(tmp_path / "models" / "Cosmos-Predict1-4B")
    write_tokenizer(folder / "tokenizer")
    return folder


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    """One that reads text, all in it."""
    folder = write_model(tmp_path / "models" / "Cosmos-Predict1-5B-Video2World", "autoregressive_text")
    write_tokenizer(folder / "tokenizer")
    write_t5(folder / "text_encoder", folder / "text_tokenizer")
    return folder


def found(root: Path, **elsewhere: Any) -> Checkpoint:
    (checkpoint,) = discover(root, elsewhere=Elsewhere(**elsewhere))
    return checkpoint


def faults_of(root: Path, **elsewhere: Any) -> list[str]:
    with pytest.raises(CheckpointError) as caught:
        discover(root, elsewhere=Elsewhere(**elsewhere))
    return str(caught.value).splitlines()


def folders_of(checkpoint: Checkpoint) -> dict[str, str]:
    return {part.name: part.folder for part in checkpoint.parts}


def test_a_model_with_all_in_it_is_found(reader: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    checkpoint = found(reader)
    assert (checkpoint.name, checkpoint.family) == ("Cosmos-Predict1-5B-Video2World", "autoregressive")
    assert (checkpoint.tasks, checkpoint.generation) == (("image2world", "video2world"), LIMITS)
    assert folders_of(checkpoint) == {"text_encoder": "text_encoder", "ar_model": ".", "tokenizer": "tokenizer"}
    model = checkpoint.parts[1]
    assert (model.config["latent_shape"], model.config["context_width"]) == ([2, 3, 4], 24)
    assert checkpoint.folder_of("text_tokenizer") == reader / "text_tokenizer"
    assert checkpoint.places == {}


def test_a_model_that_reads_no_text_needs_no_t5(plain: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    checkpoint = found(plain)
    assert folders_of(checkpoint) == {"ar_model": ".", "tokenizer": "tokenizer"}
    assert checkpoint.parts[0].config["context_width"] is None
    without = "Cosmos-Predict1-4B has no diffusion decoder: its tokens become frames by the tokenizer alone"
    assert caplog.messages.count(without) == 1


def test_a_diffusion_decoder_is_found_with_the_tokenizer_of_its_latents(
    plain: Path, reader: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    root = plain.parent
    write_decoders(root / DECODER, root / CV)
    for checkpoint in discover(root):
        assert [part.name for part in checkpoint.parts[-2:]] == ["diffusion_decoder", "decoder_tokenizer"]
        assert checkpoint.parts[-2].files == (f"{root}/{DECODER}/model.pt",)
        assert checkpoint.parts[-1].folder == f"{root}/{CV}"
    aux = {checkpoint.name: checkpoint.places.get("aux_vars") for checkpoint in discover(root)}
    assert aux == {plain.name: f"{root}/{DECODER}/aux_vars.pt", reader.name: None}
    write_decoders(plain / "diffusion_decoder", plain / "decoder_tokenizer")
    own = found(plain)
    assert own.parts[-2].files == ("diffusion_decoder/model.pt",)
    assert own.parts[-1].folder == "decoder_tokenizer"
    assert own.places["aux_vars"] == f"{plain}/diffusion_decoder/aux_vars.pt"
    assert not [message for message in caplog.messages if "has no diffusion decoder" in message]


def test_half_of_a_diffusion_decoder_is_a_fault(plain: Path) -> None:
    write_decoders(plain / "diffusion_decoder", plain / "decoder_tokenizer")
    (plain / "decoder_tokenizer").rename(plain.parent / "aside")
    assert faults_of(plain)[1:] == [
        f"  - the video tokenizer CV8x8x8 of the diffusion decoder is missing; looked for in the folders "
        f"decoder_tokenizer, {CV}, Cosmos-1.0-Tokenizer-CV8x8x8 of this one, and for the latter in {plain.parent}: "
        f"fetch it with `hf download nvidia/{CV} --local-dir {plain}/decoder_tokenizer`; or take away "
        "diffusion_decoder, which does nothing without it"
    ]
    shutil.rmtree(plain / "diffusion_decoder")
    (plain.parent / "aside").rename(plain / CV)
    (fault,) = faults_of(plain)[1:]
    assert fault.startswith("  - the diffusion decoder is missing; looked for in the folders diffusion_decoder, ")
    assert fault.endswith(
        f"`hf download nvidia/{DECODER} --local-dir {plain}/diffusion_decoder`; or take away {CV}, which does nothing "
        "without it"
    )


def test_a_model_that_reads_no_text_needs_embeddings_for_its_decoder(plain: Path, reader: Path) -> None:
    import torch

    for folder in (plain, reader):
        write_decoders(folder / "diffusion_decoder", folder / "decoder_tokenizer")
        (folder / "diffusion_decoder/aux_vars.pt").unlink()
    assert len(found(reader).parts) == 5
    assert faults_of(plain)[1:] == [
        "  - diffusion_decoder/aux_vars.pt is missing: the embeddings of a prompt, which the diffusion decoder needs "
        f"beside a model that reads none; nvidia/{DECODER} holds it"
    ]
    torch.save({"context": torch.zeros(1, 6, 25)}, plain / "diffusion_decoder/aux_vars.pt")
    assert faults_of(plain)[1:] == ["  - diffusion_decoder/aux_vars.pt: context is [1, 6, 25], not 1 x tokens x 24"]


def test_networks_that_do_not_go_together_are_told(reader: Path) -> None:
    write_decoders(reader / "diffusion_decoder", reader / "decoder_tokenizer")
    import torch

    state = torch.load(reader / "diffusion_decoder/model.pt", weights_only=True)
    for number in range(2):
        for kind in "kv":
            state[f"net.blocks.block{number}.blocks.1.block.attn.to_{kind}.0.weight"] = torch.zeros(32, 20)
    state["net.token_embedder.weight"] = state["net.token_embedder.weight"][:60]
    torch.save(state, reader / "diffusion_decoder/model.pt")
    assert faults_of(reader)[1:] == [
        "  - diffusion_decoder/model.pt knows 60 codes, but the model makes 64",
        "  - diffusion_decoder/model.pt reads embeddings of 20, but those of the text encoder are 24 wide",
    ]


def test_nvidias_own_layout_has_the_repositories_side_by_side(reader: Path) -> None:
    root = reader.parent
    (reader / "tokenizer").rename(root / DV)
    (root / T5).mkdir()
    (reader / "text_encoder").rename(root / T5 / "text_encoder")
    (reader / "text_tokenizer").rename(root / T5 / "tokenizer")
    write_json(root / "google-t5/t5-11b/config.json", {"model_type": "t5"})  # as NVIDIA's code has it
    (root / "google-t5/t5-11b/pytorch_model.bin").touch()
    write_decoders(root / DECODER, root / CV)
    for folder in (root, reader):
        checkpoint = found(folder)
        assert checkpoint.path == str(reader)
        assert folders_of(checkpoint) == {
            "text_encoder": f"{root}/{T5}/text_encoder",
            "ar_model": ".",
            "tokenizer": f"{root}/{DV}",
            "diffusion_decoder": ".",
            "decoder_tokenizer": f"{root}/{CV}",
        }
        assert checkpoint.folder_of("text_encoder") == root / T5 / "text_encoder"
        assert checkpoint.folder_of("text_tokenizer") == root / T5 / "tokenizer"


def test_a_link_to_a_model_has_its_companions_where_either_lies(plain: Path, tmp_path: Path) -> None:
    (plain / "tokenizer").rename(plain.parent / DV)
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "4B").symlink_to(plain)
    assert folders_of(found(tmp_path / "served"))["tokenizer"] == f"{plain.parent}/{DV}"
    write_tokenizer(tmp_path / "served" / DV)
    assert folders_of(found(tmp_path / "served"))["tokenizer"] == f"{tmp_path}/served/{DV}"


def test_the_own_folder_comes_before_repositories_in_it_and_these_before_what_is_beside(plain: Path) -> None:
    write_tokenizer(plain.parent / DV)
    write_tokenizer(plain / DV)
    assert folders_of(found(plain))["tokenizer"] == "tokenizer"
    shutil.rmtree(plain / "tokenizer")
    assert folders_of(found(plain))["tokenizer"] == DV
    shutil.rmtree(plain / DV)
    assert folders_of(found(plain))["tokenizer"] == f"{plain.parent}/{DV}"


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("Cosmos-Predict1-4B", DV),
        ("mine", DV),
        ("Cosmos-1.0-Autoregressive-4B", "Cosmos-1.0-Tokenizer-DV8x16x16"),
    ],
)
def test_the_tokenizer_of_a_models_own_generation_comes_first(plain: Path, name: str, taken: str) -> None:
    (plain / "tokenizer").rename(plain / DV)
    write_tokenizer(plain / "Cosmos-1.0-Tokenizer-DV8x16x16")
    assert folders_of(found(plain.rename(plain.parent / name)))["tokenizer"] == taken


def test_other_models_beside_it_are_served_too(plain: Path) -> None:
    write_reasoner(plain.parent / "reason2")
    (plain / "tokenizer").rename(plain.parent / DV)
    assert [checkpoint.family for checkpoint in discover(plain.parent)] == ["autoregressive", "reason2"]


def test_a_tokenizer_alone_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / DV).mkdir()
    (tmp_path / DV / "encoder.jit").touch()
    assert faults_of(tmp_path)[0].startswith(f"{tmp_path}/{DV} is a Cosmos tokenizer alone, which is not supported yet")


def test_a_text_encoder_may_lie_elsewhere(reader: Path, tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    for name, place in (("text_encoder", "text_encoder"), ("text_tokenizer", "tokenizer")):
        mounted.mkdir(exist_ok=True)
        (reader / name).rename(mounted / place)
    reason = write_reasoner(tmp_path / "reason")  # of another model: no T5
    for given in (mounted, mounted / "text_encoder"):
        checkpoint = found(reader, text_encoders=(reason, given))
        assert folders_of(checkpoint)["text_encoder"] == str(mounted / "text_encoder")
        assert checkpoint.folder_of("text_tokenizer") == mounted / "tokenizer"
    fault = faults_of(reader, text_encoders=(reason,))[1]
    assert f"(there is no T5 in {reason})" in fault
    assert f"{reason}/text_encoder: fetch the folders text_encoder and tokenizer of nvidia/{T5}" in fault
    assert "COSMOS_TEXT_ENCODER_DIR" in fault


def test_t5_as_its_own_repository_has_it_is_refused_with_the_one_to_fetch(reader: Path) -> None:
    t5 = reader.parent / "google-t5/t5-11b"
    t5.parent.mkdir()
    (reader / "text_encoder").rename(t5)
    (reader / "text_tokenizer/tokenizer.json").rename(t5 / "tokenizer.json")
    change_json(t5 / "config.json", architectures=["T5WithLMHeadModel"], d_model=1024)
    (t5 / "model.safetensors").rename(t5 / "pytorch_model.bin")
    fetch = (
        f"fetch the folders text_encoder and tokenizer of nvidia/{T5}, which hold it as safetensors: "
        f"`hf download nvidia/{T5} --include 'text_encoder/*' 'tokenizer/*' --local-dir {reader}/{T5}`"
    )
    assert faults_of(reader) == [
        f"{reader} is not a complete Cosmos Autoregressive checkpoint:",
        f"  - {t5}/config.json names T5WithLMHeadModel, not T5EncoderModel: {fetch}",
        f"  - {t5}/config.json: d_model is 1024, but the model reads embeddings of 24",
        f"  - {t5} holds T5 only as pytorch_model.bin, but safetensors are needed: convert it once with "
        f"scripts/convert_text_encoder.py, or {fetch}",
    ]


def test_a_tokenizer_of_the_text_that_libraries_here_cannot_read_is_told(reader: Path) -> None:
    (reader / "text_tokenizer/tokenizer.json").rename(reader / "text_tokenizer/spiece.model")
    assert "tokenizer.json of the text encoder is missing (spiece.model alone is not read)" in faults_of(reader)[1]


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    state = state_of("autoregressive_text")
    del state["model.layers.1.feed_forward.w2.weight"]
    state["model.norm.weight"] = state["model.norm.weight"][:40]
    folder = write_model(tmp_path / "Cosmos-1.0-Autoregressive-5B-Video2World", state=state)
    told = faults_of(folder)
    assert told[0] == f"{folder} is not a complete Cosmos Autoregressive checkpoint:"
    assert told[1] == ("  - model.pt lacks tensors of Cosmos Autoregressive: model.layers.1.feed_forward.w2.weight")
    assert any("model.pt: model.layers.0.attention.wq.weight is [64, 48], not [64, 40]" in line for line in told)
    assert told[-2].startswith("  - the text encoder is missing: T5")
    assert told[-1] == (
        f"  - the video tokenizer DV8x16x16 is missing; looked for in the folders tokenizer, {DV}, "
        f"Cosmos-1.0-Tokenizer-DV8x16x16 of this one, and for the latter in {tmp_path}: fetch it with "
        f"`hf download nvidia/Cosmos-1.0-Tokenizer-DV8x16x16 --local-dir {folder}/tokenizer`"
    )


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["conv1.weight"], "a model of unknown kind (with tensors such as conv1.weight)"),
        (["net.blocks.0.self_attn.q_proj.weight"], "Cosmos Predict2"),
        (["tok_embeddings.weight", "layers.0.attention.wq.weight"], "a language model, such as the prompt upsampler"),
    ],
)
def test_other_weights_are_refused_as_what_they_are(plain: Path, names: list[str], said: str) -> None:
    import torch

    torch.save({name: torch.zeros(2) for name in names}, plain / "model.pt")
    assert faults_of(plain)[0].startswith(f"{plain} is {said}")


def test_what_no_file_of_torch_is_is_told(plain: Path) -> None:
    (plain / "model.pt").write_bytes(b"PK no more")
    assert faults_of(plain) == [f"{plain}/model.pt is truncated, or no file of torch.save: it does not end as one"]


def test_a_model_of_single_frames_is_told(plain: Path) -> None:
    change_json(plain / "config.json", video_latent_shape=[1, 3, 4])
    assert faults_of(plain)[1:] == ["  - its videos have 1 frame of tokens, so that nothing follows any"]


def test_a_type_in_config_json_that_is_unknown_does_not_hide_the_weights(plain: Path) -> None:
    change_json(plain / "config.json", model_type="cosmos_ar_v2w", architectures=["CosmosARModel"])
    assert found(plain).family == "autoregressive"


def test_a_training_of_ones_own_has_its_settings_beside_its_file(plain: Path) -> None:
    place = plain / "checkpoints/iter_000001000"
    place.mkdir(parents=True)
    for name in ("model.pt", "config.json"):
        (plain / name).rename(place / name)
    (plain / "guardrail/video_content_safety_filter").mkdir(parents=True)  # as NVIDIA's repositories have it
    (plain / "guardrail/video_content_safety_filter/safety_filter.pt").touch()
    checkpoint = found(plain.parent)
    assert checkpoint.parts[0].files == ("checkpoints/iter_000001000/model.pt",)
    assert checkpoint.generation == LIMITS


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that reads text, converted."""
    from scripts.convert_autoregressive import main

    out = tmp_path_factory.mktemp("converted")
    source = write_model(out / "source", "autoregressive_text")
    assert main([str(source), str(out / "model"), "--shard-gb", "1e-5"]) == 0
    write_tokenizer(out / "model/tokenizer")
    write_t5(out / "model/text_encoder", out / "model/text_tokenizer")
    return out / "model"


def test_a_converted_model_is_found(converted: Path) -> None:
    checkpoint = found(converted)
    assert (checkpoint.family, checkpoint.generation) == ("autoregressive", LIMITS)
    assert [part.name for part in checkpoint.parts] == ["text_encoder", "ar_model", "tokenizer"]
    model = checkpoint.parts[1]
    assert len(model.files) > 1
    assert (model.native, model.num_blocks, model.config["context_width"]) == (None, 2, 24)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda folder: change_json(folder / "config.json", latent_shape=[5, 40], hidden_size=0, context_width="x"),
            [
                "config.json: hidden_size is 0, not a positive whole number",
                "config.json: latent_shape is [5, 40], not three counts: frames, rows and columns",
                "config.json: context_width is neither null nor a positive whole number",
            ],
        ),
        (
            lambda folder: change_json(folder / "config.json", intermediate_size=95),
            ["model.safetensors.index.json: layers.0.mlp.down_proj.weight is [48, 96], not [48, 95]"],
        ),
        (
            lambda folder: change_json(folder / "config.json", num_hidden_layers=3),
            ["model.safetensors.index.json lacks tensors of Cosmos Autoregressive: layers.2.cross_attn.k_norm.weight"],
        ),
        (
            lambda folder: (folder / "model.safetensors.index.json").unlink(),
            ["model.safetensors is missing, and so is model.safetensors.index.json with shards"],
        ),
    ],
)
def test_a_converted_model_that_is_not_whole_is_told(
    converted: Path, tmp_path: Path, spoil: Callable[[Path], None], said: list[str]
) -> None:
    folder = Path(shutil.copytree(converted, tmp_path / "model"))
    spoil(folder)
    told = faults_of(folder)
    for sentence in said:
        assert any(line.startswith(f"  - {sentence}") for line in told), told


def test_a_tokenizer_of_another_kind_is_told(plain: Path) -> None:
    write_json(plain / "tokenizer/config.json", {"_class_name": "AutoencoderKLCosmos"})
    assert "  - tokenizer/config.json: _class_name is 'AutoencoderKLCosmos', not 'VideoTokenizer'" in faults_of(plain)
    shutil.rmtree(plain / "tokenizer")
    write_weights(plain / "tokenizer" / "model.safetensors")
    assert "  - tokenizer/encoder.jit is missing" in faults_of(plain)
