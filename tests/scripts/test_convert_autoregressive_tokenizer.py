"""The conversion of DV8x16x16: what the programs compute, the converted tokenizer computes, to float32 rounding."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.scripts.converting import check_refusals, runner

# torch means to give up the programs, but not yet.
pytestmark = [pytest.mark.model, pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")]

TOLERANCE = 1e-5  # pixels are about 1; the program may add in another order

run = runner("convert_autoregressive_tokenizer.py")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from scripts.tiny.video_tokenizer import write

    folder = tmp_path_factory.mktemp("programs")
    write(folder, seed=3, report=lambda file: None)
    return folder


@pytest.fixture(scope="module")
def converted(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted") / "tokenizer"
    done = run(programs, folder)
    assert done.returncode == 0, done.stderr
    return folder


def loaded(folder: Path) -> Any:
    from cosmos_handler.families.autoregressive.tokenizer import VideoTokenizer

    tokenizer, report = VideoTokenizer.from_pretrained(folder, use_safetensors=True, output_loading_info=True)
    assert (report["missing_keys"], report["unexpected_keys"]) == ([], [])
    return tokenizer.requires_grad_(requires_grad=False)


def drawn_pixels(frames: int) -> Any:
    import torch

    return torch.rand((2, 3, frames, 48, 32), generator=torch.Generator().manual_seed(frames)) * 2 - 1


@pytest.mark.parametrize("frames", [9, 33])
def test_the_same_tokens_and_pixels(programs: Path, converted: Path, frames: int) -> None:
    import torch

    tokenizer, pixels = loaded(converted), drawn_pixels(frames)
    tokens, codes, _ = torch.jit.load(programs / "encoder.jit")(pixels)
    assert torch.equal(tokenizer.encode(pixels), tokens.long())
    assert torch.equal(tokenizer.quantizer.codes(tokens), codes)
    assert len(tokens.unique()) > 10
    shown = torch.jit.load(programs / "decoder.jit")(tokens)
    assert shown.shape == pixels.shape
    assert (tokenizer.decode(tokens) - shown).abs().max() < TOLERANCE


def test_the_programs_compute_with_the_listed_tensors(programs: Path, converted: Path) -> None:
    import torch

    encoder, decoder = (torch.jit.load(programs / f"{half}.jit") for half in ("encoder", "decoder"))
    tokens, _, _ = encoder(drawn_pixels(9))
    for program, name in ((encoder, "quant_conv.conv3d.bias"), (decoder, "decoder.conv_out.1.conv3d.bias")):
        dict(program.named_parameters())[name].data += 1
    assert not torch.equal(encoder(drawn_pixels(9))[0], tokens)
    assert (decoder(tokens) - loaded(converted).decode(tokens)).abs().max() > 0.1


def test_tensors_keep_their_values_and_the_configuration_comes_from_their_shapes(
    programs: Path, converted: Path
) -> None:
    import torch
    from safetensors.torch import load_file

    written = load_file(converted / "diffusion_pytorch_model.safetensors")
    state = torch.jit.load(programs / "decoder.jit").state_dict()
    assert torch.equal(written["decoder.up_blocks.2.resnets.0.conv_shortcut.weight"],
                       state["decoder.up.0.block.0.nin_shortcut.conv3d.weight"])  # fmt: skip
    assert json.loads((converted / "config.json").read_text()) == {
        "_class_name": "VideoTokenizer",
        "width": 4,
        "latent_channels": 16,
        "mirrored": True,
    }


def test_the_programs_are_loaded_as_a_part_as_they_are(programs: Path, converted: Path) -> None:
    import torch

    from cosmos_handler.artifacts.checkpoint import Checkpoint
    from cosmos_handler.artifacts.inspection import Inspection
    from cosmos_handler.artifacts.native.video_tokenizer import examine_video_tokenizer
    from cosmos_handler.memory.components import PartClass, load_part

    part = examine_video_tokenizer(Inspection(programs), ".", name="tokenizer")
    assert part is not None
    checkpoint = Checkpoint("x", (), str(programs), "predict2.5", (), "files-0", (part,), None, None)
    part_class = PartClass("cosmos_handler.families.autoregressive.tokenizer", "VideoTokenizer")
    first, second = load_part(checkpoint, part, part_class).state_dict(), loaded(converted).state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_what_cannot_be_converted_is_told(programs: Path, converted: Path, tmp_path: Path) -> None:
    import torch

    swapped = tmp_path / "swapped"
    swapped.mkdir()
    (swapped / "encoder.jit").symlink_to(programs / "decoder.jit")
    (swapped / "decoder.jit").symlink_to(programs / "encoder.jit")
    plain = tmp_path / "plain"
    plain.mkdir()
    for half in ("encoder", "decoder"):
        torch.save({"a": torch.zeros(2)}, plain / f"{half}.jit")
    cases = (
        ((programs, converted), "is there already and is not an empty folder"),
        ((tmp_path / "none", tmp_path / "x"), "encoder.jit is missing; decoder.jit is missing"),
        ((plain, tmp_path / "x"), "encoder.jit is not a TorchScript program; decoder.jit is not a"),
        ((swapped, tmp_path / "x"), "encoder.jit is not the encoder of DV8x16x16"),
    )
    check_refusals(run, cases, tmp_path / "x")
