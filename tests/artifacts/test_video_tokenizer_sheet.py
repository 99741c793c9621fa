"""The sheet of DV8x16x16 against the lists of NVIDIA's tensors and our class, and what is told of files that differ."""

from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.artifacts.inspection import Inspection
from cosmos_handler.artifacts.native.video_tokenizer import Architecture, examine_video_tokenizer
from tests.artifacts.programs import listed_tensors, written

# torch means to give up the programs, but not yet.
pytestmark = [pytest.mark.model, pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")]

LISTS = {"encoder": "dv8x16x16_encoder", "decoder": "dv8x16x16_decoder"}
MOVED = ("decoder.up.1.upsample.conv1.", "decoder.up.2.upsample.conv1.")  # in the older form


def state(half: str) -> dict[str, Any]:
    return listed_tensors(LISTS[half])


def faults_of(folder: Path) -> list[str]:
    look = Inspection(folder)
    assert examine_video_tokenizer(look, ".", name="tokenizer") is None
    return look.faults


@pytest.mark.parametrize(("model", "width"), [("published", 128), ("tiny", 4)])
def test_named_and_shaped_as_published(model: str, width: int) -> None:
    from scripts.tiny.native import shapes

    sheet = Architecture(width=width, latent_channels=16, mirrored=True)
    assert {line.theirs: line.shape for line in sheet.encoder()} == shapes("dv8x16x16_encoder", model)
    assert {line.theirs: line.shape for line in sheet.decoder()} == shapes("dv8x16x16_decoder", model)


@pytest.mark.parametrize(("width", "mirrored"), [(128, True), (128, False), (6, False)])
def test_named_and_shaped_as_our_class(width: int, mirrored: bool) -> None:
    from accelerate import init_empty_weights

    from cosmos_handler.families.autoregressive.tokenizer import VideoTokenizer

    sheet = Architecture(width=width, latent_channels=16, mirrored=mirrored)
    lines = [*sheet.encoder(), *sheet.decoder()]
    with init_empty_weights():
        built = VideoTokenizer(**sheet.config()).state_dict()
    assert {line.ours: line.shape for line in lines} == {key: tuple(tensor.shape) for key, tensor in built.items()}
    assert len({line.ours for line in lines}) == len(lines)


def test_the_part(tmp_path: Path) -> None:
    look = Inspection(written(tmp_path, state("encoder"), state("decoder")))
    part = examine_video_tokenizer(look, ".", name="tokenizer")
    assert part is not None, look.faults
    assert part.native is not None
    assert (part.files, part.dtype) == (("encoder.jit", "decoder.jit"), "bfloat16")
    assert part.config == {"width": 4, "latent_channels": 16, "mirrored": True}
    assert part.native.names["encoder.mid.attn_1.1.proj_out.conv3d.bias"] == (
        "encoder.mid_block.temp_attentions.0.to_out.0.bias"
    )
    assert (part.num_tensors, part.size_bytes) == (318, 2 * 247_390)
    assert look.headers.keys() == set(part.files)


def test_the_older_form_is_told_by_its_names(tmp_path: Path) -> None:
    older = {key.replace(*MOVED): tensor for key, tensor in state("decoder").items()}
    part = examine_video_tokenizer(Inspection(written(tmp_path, state("encoder"), older)), ".", name="tokenizer")
    assert part is not None
    assert part.config["mirrored"] is False


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    import torch

    encoder, decoder = state("encoder"), state("decoder")
    del encoder["encoder.norm_out.norm.bias"], decoder["decoder.conv_in.1.conv3d.bias"]
    decoder["decoder.up.0.attn.0.q.conv3d.bias"] = torch.zeros(8)
    decoder["post_quant_conv.conv3d.weight"] = torch.zeros(16, 5, 1, 1, 1)
    encoder["quantizer._levels"] = torch.tensor([8, 8, 8, 8, 5, 5], dtype=torch.int32)
    decoder["decoder.unpatcher3d.wavelets"] = torch.ones(2)
    assert faults_of(written(tmp_path, encoder, decoder)) == [
        "encoder.jit is not of DV8x16x16: its quantizer._levels is (8, 8, 8, 8, 5, 5), not (8, 8, 8, 5, 5, 5)",
        "decoder.jit is not of DV8x16x16: its decoder.unpatcher3d.wavelets is (1.0, 1.0), not (0.7071, 0.7071)",
        "encoder.jit lacks tensors of the encoder of DV8x16x16: encoder.norm_out.norm.bias",
        "decoder.jit lacks tensors of the decoder of DV8x16x16: decoder.conv_in.1.conv3d.bias",
        "decoder.jit holds tensors that the decoder of DV8x16x16 has no place for: decoder.up.0.attn.0.q.conv3d.bias",
        "decoder.jit: post_quant_conv.conv3d.weight is [16, 5, 1, 1, 1], not [16, 6, 1, 1, 1]",
    ]


def test_another_program(tmp_path: Path) -> None:
    import torch

    one = {"quant_conv.conv3d.weight": torch.zeros(6)}
    assert faults_of(written(tmp_path, one, one)) == [
        "encoder.jit is not the encoder of DV8x16x16: it lacks its first and last convolutions"
    ]


def test_missing_files(tmp_path: Path) -> None:
    assert faults_of(tmp_path) == ["encoder.jit is missing", "decoder.jit is missing"]
