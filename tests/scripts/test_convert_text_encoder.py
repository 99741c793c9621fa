"""The conversion of T5: the half that reads, with the same values, and a tokenizer, where a model finds them."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from scripts.convert_text_encoder import main
from tests.scripts.converting import runner

pytestmark = pytest.mark.model


def write_whole(folder: Path, *, is_old: bool) -> Path:
    """T5 with both halves, as its own repository has it. is_old: in the format of torch before 1.6."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    from scripts.tiny.tokenizer import write_tokenizer

    torch.manual_seed(0)
    config = T5Config(
        vocab_size=40, d_model=16, d_kv=4, d_ff=32, num_layers=2, num_heads=2, architectures=["T5WithLMHeadModel"]
    )
    write_tokenizer(folder, longest_tokens=512)
    config.save_pretrained(folder)
    state = T5ForConditionalGeneration(config).state_dict()
    torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=not is_old)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whole(tmp_path_factory.mktemp("t5"), is_old=True)


def state_of(source: Path) -> dict[str, Any]:
    import torch

    state: dict[str, Any] = torch.load(source / "pytorch_model.bin", weights_only=True)
    return state


def loaded(folder: Path) -> Any:
    from transformers import T5EncoderModel

    model, report = T5EncoderModel.from_pretrained(
        folder, dtype="auto", use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model


@pytest.mark.parametrize("is_old", [True, False])
def test_the_half_that_reads_is_the_same(is_old: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch
    from transformers import AutoTokenizer

    source = write_whole(tmp_path / "t5", is_old=is_old)
    assert main([str(source), str(tmp_path / "out"), "--shard-gb", "0.000005"]) == 0
    assert ".safetensors: 100% of 0.00 GB\ndone in " in capsys.readouterr().out
    assert len(list((tmp_path / "out/text_encoder").glob("*.safetensors"))) > 1
    state, model = state_of(source), loaded(tmp_path / "out/text_encoder")
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == torch.bfloat16
        assert torch.equal(tensor, state[name].bfloat16()), name
    words = [
        AutoTokenizer.from_pretrained(folder)("A red cube.").input_ids
        for folder in (source, tmp_path / "out/tokenizer")
    ]
    assert words[0] == words[1]


def test_the_type_is_kept_where_that_is_asked_for(source: Path, tmp_path: Path) -> None:
    import torch

    assert main([str(source), str(tmp_path / "out"), "--dtype", "float32"]) == 0
    state, model = state_of(source), loaded(tmp_path / "out/text_encoder")
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_a_model_finds_it_beside_it(source: Path, tmp_path: Path) -> None:
    from cosmos_handler.artifacts.elsewhere import Elsewhere
    from cosmos_handler.artifacts.inspection import Inspection
    from cosmos_handler.artifacts.t5 import examine_text_encoder

    assert main([str(source), str(tmp_path / "Cosmos-1.0-Diffusion-7B-Text2World")]) == 0
    (tmp_path / "model").mkdir()
    look, places = Inspection(tmp_path / "model"), {}  # type: ignore[var-annotated]
    part = examine_text_encoder(look, Elsewhere(), places, context_width=16)
    assert (look.faults, places.keys()) == ([], {"text_encoder", "text_tokenizer"})
    assert part is not None
    assert part.dtype == "bfloat16"


def test_what_cannot_be_converted_is_told(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    def spoilt(name: str) -> Path:
        shutil.copytree(source, tmp_path / name)
        return tmp_path / name

    nothing, other, code, wide, bare = map(spoilt, ("nothing", "other", "code", "wide", "bare"))
    (nothing / "pytorch_model.bin").unlink()
    (nothing / "tokenizer.json").unlink()
    (other / "config.json").write_text('{"model_type": "bert"}')
    torch.save({"a": Path("b")}, code / "pytorch_model.bin")
    state = state_of(source)
    torch.save(state | {"shared.weight": state["shared.weight"][:, :8]}, wide / "pytorch_model.bin")
    torch.save({}, bare / "pytorch_model.bin")
    target = tmp_path / "x"
    cases = (
        ((source, other), "is there already and is not an empty folder"),
        ((nothing, target), "pytorch_model.bin is missing; tokenizer.json is missing"),
        ((other, target), "config.json is not of a T5"),
        ((code, target), "does not load: UnpicklingError"),
        ((wide, target), "shared.weight is [40, 8], not [40, 16]"),
        ((bare, target), "shared.weight is missing; encoder.block.0.layer.0.SelfAttention.q.weight is missing; "),
    )
    for arguments, said in cases:
        assert main([str(argument) for argument in arguments]) == 1
        assert said in capsys.readouterr().err
    assert not target.exists()


def test_the_manual_is_its_help() -> None:
    shown = runner("convert_text_encoder.py")("--help").stdout
    for word in ("pytorch_model.bin", "tokenizer.json", "--dtype", "--shard-gb", "45 GB", "example"):
        assert word in shown
