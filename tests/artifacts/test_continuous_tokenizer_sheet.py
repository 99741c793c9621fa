"""The sheet of CV8x8x8 against the lists of NVIDIA's tensors and the library's class, and what is told of others."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.artifacts.checkpoint import Part
from cosmos_handler.artifacts.inspection import Inspection
from cosmos_handler.artifacts.native.continuous_tokenizer import Architecture, examine_decoder_tokenizer
from cosmos_handler.artifacts.native.statistics import Statistics, examine_statistics
from tests.artifacts.miniature import write_json, write_weights
from tests.artifacts.programs import listed_tensors, written

# torch means to give up the programs, but not yet.
pytestmark = [pytest.mark.model, pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")]

NONE = Statistics((), ())


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from scripts.tiny import decoder_tokenizer

    folder = tmp_path_factory.mktemp("pair")
    decoder_tokenizer.write(folder, seed=0, report=lambda _: None)
    return folder


def examined(folder: Path, place: str = ".") -> tuple[Part | None, list[str]]:
    look = Inspection(folder)
    return examine_decoder_tokenizer(look, place), look.faults


def statistics_of(folder: Path, content: Any) -> tuple[Statistics | None, list[str]]:
    import torch

    torch.save(content, folder / "mean_std.pt")
    look = Inspection(folder)
    return examine_statistics(look, "mean_std.pt", channels=2, least_frames=3), look.faults


def vae(folder: Path, config: Mapping[str, Any]) -> Path:
    write_weights(folder / "vae" / "diffusion_pytorch_model.safetensors")
    write_json(folder / "vae" / "config.json", {"_class_name": "AutoencoderKLCosmos", **config})
    return folder


@pytest.mark.parametrize(("model", "width"), [("published", 128), ("tiny", 4)])
def test_named_and_shaped_as_published_and_as_the_class(model: str, width: int) -> None:
    from accelerate import init_empty_weights
    from diffusers import AutoencoderKLCosmos

    from scripts.tiny.native import shapes

    sheet = Architecture(width)
    assert {line.theirs: line.shape for line in sheet.encoder()} == shapes("cv8x8x8_encoder", model)
    assert {line.theirs: line.shape for line in sheet.decoder()} == shapes("cv8x8x8_decoder", model)
    with init_empty_weights():
        built = AutoencoderKLCosmos(**sheet.config(NONE)).state_dict()
    lines = [*sheet.encoder(), *sheet.decoder()]
    assert {line.ours: line.shape for line in lines} == {key: tuple(tensor.shape) for key, tensor in built.items()}
    assert len({line.ours for line in lines}) == len(lines)


def test_loads_and_shows_what_the_programs_do(pair: Path) -> None:
    import torch

    from cosmos_handler.memory.components import PartClass, load_part
    from scripts.tiny.decoder_tokenizer import statistics

    part, faults = examined(pair)
    assert part is not None, faults
    assert (part.name, part.files, part.dtype) == ("decoder_tokenizer", ("encoder.jit", "decoder.jit"), "float32")
    checkpoint: Any = _Located(str(pair))
    model: Any = load_part(checkpoint, part, PartClass("diffusers", "AutoencoderKLCosmos"))
    latents = torch.randn((1, 16, 3, 2, 4), generator=torch.Generator().manual_seed(0))
    shown = torch.jit.load(pair / "decoder.jit")(latents)
    assert shown.shape == (1, 3, 17, 16, 32)
    assert torch.allclose(model.decode(latents).sample, shown, atol=1e-5)
    assert torch.allclose(model.encode(shown).latent_dist.mode(), torch.jit.load(pair / "encoder.jit")(shown)[0])
    means, deviations = statistics(seed=0)
    assert model.config.latents_mean == means.flatten().tolist()
    assert model.config.latents_std == deviations.flatten().tolist()


class _Located:
    def __init__(self, path: str) -> None:
        self.path = path


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    import torch

    encoder, decoder = listed_tensors("cv8x8x8_encoder"), listed_tensors("cv8x8x8_decoder")
    del encoder["encoder.norm_out.norm.bias"]
    decoder["post_quant_conv.conv3d.weight"] = torch.zeros(16, 6, 1, 1, 1)
    decoder["decoder.up.2.upsample.conv3.conv3d.bias"] = torch.zeros(16)  # of another resolution, or an older form
    decoder["decoder.unpatcher3d.wavelets"] = torch.ones(2)
    torch.save((torch.zeros(16), torch.ones(16)), tmp_path / "mean_std.pt")
    assert examined(written(tmp_path, encoder, decoder)) == (
        None,
        [
            "decoder.jit is not of CV8x8x8: its decoder.unpatcher3d.wavelets is (1.0, 1.0), not (0.7071, 0.7071)",
            "mean_std.pt holds 16 means and 16 deviations, not as many of both: one for each of 16 channels in each of "
            "8 latent frames or more",
            "encoder.jit lacks tensors of the encoder of CV8x8x8: encoder.norm_out.norm.bias",
            "decoder.jit holds tensors that the decoder of CV8x8x8 has no place for: "
            "decoder.up.2.upsample.conv3.conv3d.bias",
            "decoder.jit: post_quant_conv.conv3d.weight is [16, 6, 1, 1, 1], not [16, 16, 1, 1, 1]",
        ],
    )


def test_another_tokenizer(tmp_path: Path) -> None:
    folder = written(tmp_path, listed_tensors("dv8x16x16_encoder"), listed_tensors("dv8x16x16_decoder"))
    part, faults = examined(folder)
    assert part is None
    assert faults[0] == "mean_std.pt is missing"
    assert "encoder.jit: quant_conv.conv3d.weight is [6, 16, 1, 1, 1], not [16, 16, 1, 1, 1]" in faults


def test_missing_files(tmp_path: Path) -> None:
    assert examined(tmp_path) == (None, ["encoder.jit is missing", "decoder.jit is missing", "mean_std.pt is missing"])


def test_statistics(tmp_path: Path) -> None:
    import torch

    means = torch.tensor([[0.5, 1.0, -2.0], [0.25, 0.0, 3.0]])
    content = (means.to(torch.bfloat16), (means.T.abs() + 0.5).T)  # the second one does not lie row after row
    found, faults = statistics_of(tmp_path, content)
    assert found == Statistics((0.5, 1.0, -2.0, 0.25, 0.0, 3.0), (1.0, 1.5, 2.5, 0.75, 0.5, 3.5)), faults


@pytest.mark.parametrize(
    ("means", "deviations", "fault"),
    [
        ([0.0] * 6, [1.0] * 4, "holds 6 means and 4 deviations"),
        ([0.0] * 7, [1.0] * 7, "holds 7 means and 7 deviations"),
        ([0.0] * 4, [1.0] * 4, "one for each of 2 channels in each of 3 latent frames or more"),
        ([0.0] * 6, [1.0] * 5 + [0.0], "deviations that are not above zero"),
        ([0.0] * 5 + [float("nan")], [1.0] * 6, "means that are no numbers"),
    ],
)
def test_statistics_that_are_none(tmp_path: Path, means: list[float], deviations: list[float], fault: str) -> None:
    import torch

    found, (told,) = statistics_of(tmp_path, (torch.tensor(means), torch.tensor(deviations)))
    assert found is None
    assert told.startswith("mean_std.pt holds ")
    assert fault in told


def test_other_content_instead_of_statistics(tmp_path: Path) -> None:
    import torch

    one = torch.ones(6)
    unknown = "mean_std.pt does not hold two tensors: means and deviations of latents"
    assert statistics_of(tmp_path, (one,)) == (None, [unknown])
    assert statistics_of(tmp_path, {"mean": one, "std": one}) == (None, [unknown])
    assert statistics_of(tmp_path, (one.long(), one)) == (
        None, ["mean_std.pt holds [6] of int64, not a few decimal numbers"]
    )  # fmt: skip
    large = torch.ones(1).expand(2, 40_000)
    assert statistics_of(tmp_path, (large, large)) == (
        None, ["mean_std.pt holds [2, 40000] of float32, not a few decimal numbers"]
    )  # fmt: skip


@pytest.mark.parametrize("place", [".", "vae"])
def test_the_form_of_diffusers(tmp_path: Path, place: str) -> None:
    part, faults = examined(vae(tmp_path, {"latents_mean": [0.1] * 256, "latents_std": [1] * 256}), place)
    assert part is not None, faults
    assert (part.name, part.folder, part.native) == ("decoder_tokenizer", "vae", None)
    assert examined(vae(tmp_path, {}))[1] == []  # as the library has it


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"_class_name": "AutoencoderKLWan"}, "_class_name is 'AutoencoderKLWan', not 'AutoencoderKLCosmos'"),
        ({"spatial_compression_ratio": 16}, "is not of CV8x8x8: spatial_compression_ratio is 16, not 8"),
        ({"latents_mean": None, "latents_std": None}, "latents_mean and latents_std are not two lists of numbers"),
        ({"latents_mean": [0.0] * 256}, "latents_mean and latents_std are not two lists of numbers"),
        ({"latents_mean": ["0"] * 256, "latents_std": [1.0] * 256}, "are not two lists of numbers"),
        ({"latents_mean": [0.0] * 16, "latents_std": [1.0] * 16}, "16 channels in each of 8 latent frames or more"),
    ],
)
def test_another_model_in_the_form_of_diffusers(tmp_path: Path, config: Mapping[str, Any], fault: str) -> None:
    part, (told,) = examined(vae(tmp_path, config))
    assert part is None
    assert told.startswith("vae/config.json")
    assert fault in told


def test_nothing_but_a_damaged_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps([]))
    part, faults = examined(tmp_path)
    assert part is None
    assert "config.json is not a JSON object" in faults
