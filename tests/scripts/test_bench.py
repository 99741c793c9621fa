"""The benchmark: predictions without a GPU; and all of its code on small networks, counted on the CPU."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import bench
from tests.conftest import ROOT

GIGA = 10**9


def test_without_a_gpu_it_says_so_and_predicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "memory.json"
    assert bench.main(["memory", "--device", "cpu", "--out", str(out)]) == 0
    shown, said = capsys.readouterr()
    assert "there is no GPU here" in said
    for word in (
        "Cosmos-Predict1-7B-Text2World",
        "121 frames at 1280x704",
        "Cosmos-Predict2.5-14B",
        "24.4",
        "streamed",
    ):
        assert word in shown
    small, large = json.loads(out.read_text())["models"]
    peaks = {case["case"]: case["predicted"]["peak_bytes"] for case in small["cases"] if case["predicted"]}
    assert peaks["all"] < peaks["auto"] < peaks["none"]
    assert peaks["auto"] < 22.5 * GIGA
    assert all(case["measured"] is None for case in (*small["cases"], *large["cases"]))


def test_every_row_of_a_table_is_predicted_with_no_more_than_was_published(tmp_path: Path) -> None:
    """The published ones hold a larger guardrail; what a model has no row for is not predicted."""
    out = tmp_path / "memory.json"
    chosen = "predict1-7b,autoregressive-5b,autoregressive-13b"
    assert bench.main(["memory", "--device", "cpu", "--models", chosen, "--out", str(out)]) == 0
    diffusing, *reading = json.loads(out.read_text())["models"]
    (unknown,) = [case for case in diffusing["cases"] if case["case"] == "diffusion_decoder"]
    assert unknown["predicted"] is None
    assert unknown["note"] == "not tried: it has no diffusion_decoder"
    rows = ["none", "guardrails", "text_encoder", "diffusion_decoder", "tokenizer", "all"]
    for model in reading:
        assert (model["request"]["num_frames"], model["request"]["height"], model["request"]["width"]) == (
            33,
            640,
            1024,
        )
        cases = {case["case"]: case for case in model["cases"]}
        peaks = [cases[row]["predicted"]["peak_bytes"] for row in rows]
        assert peaks == sorted(set(peaks), reverse=True)
        published = [cases[row]["published_gigabytes"] for row in rows]
        assert all(peak < most * GIGA for peak, most in zip(peaks, published, strict=True) if most is not None)
        assert len([most for most in published if most is not None]) == (6 if "5B" in model["model"] else 5)


def test_predictions_need_no_torch() -> None:
    code = (
        "import sys; from scripts import bench; from scripts.benching.subjects import NAMES\n"
        "assert bench.main(['memory', '--device', 'cpu', '--models', ','.join(NAMES)]) == 0\n"
        "assert not {'torch', 'transformers', 'diffusers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["memory", "--models", "predict9"], "predict9 is none of predict1-7b"),
        (["memory", "--presets", "everything"], "everything is none of none, all"),
        (["memory", "--steps", "1"], "there must be two"),
        (["memory", "--tiny"], "for --device cpu"),
        (["memory", "--device", "cpu", "--card", "voodoo2"], "voodoo2"),
    ],
)
def test_wrong_arguments(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.model
def test_every_case_runs_on_small_networks(tmp_path: Path) -> None:
    out = tmp_path / "memory.json"
    # The library's sequential way is for GPUs alone.
    cases = "none,all,auto,text_encoder,diffusers group,diffusers model"
    arguments = ["memory", "--device", "cpu", "--tiny", "--presets", cases, "--out", str(out)]
    assert bench.main(arguments) == 0
    models = json.loads(out.read_text())["models"]
    assert [model["model"] for model in models] == ["predict1-7b", "predict2.5-14b"]
    for model in models:
        assert all(case["measured"]["seconds_per_token"] is None for case in model["cases"])
        assert [case["case"] for case in model["cases"]] == cases.split(",")
        for case in model["cases"]:
            measured = case["measured"]
            assert measured is not None, case["note"]
            assert measured["seconds"] > 0
            assert measured["seconds_per_step"] > 0


@pytest.mark.model
def test_models_that_make_tokens_run_through_their_own_family(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "memory.json"
    arguments = ["memory", "--device", "cpu", "--tiny", "--models", "autoregressive-5b", "--out", str(out)]
    assert bench.main([*arguments, "--presets", "none,prompt_upsampler,all,diffusion_decoder,diffusers group"]) == 0
    (model,) = json.loads(out.read_text())["models"]
    whole, same, *away, rival = model["cases"]
    assert (same["measured"], same["note"]) == (None, "places everything as none does")
    assert (rival["measured"], rival["note"]) == (None, "not tried: diffusers has no pipeline for it")
    for case in (whole, *away):
        measured = case["measured"]
        assert list(measured["stages"]) == ["encode_text", "encode_media", "generate", "diffusion_decode", "decode"]
        # Two steps of the diffusion decoder, the first of which is not counted; 96 tokens likewise.
        assert 0 < measured["seconds_per_step"] < measured["stages"]["diffusion_decode"]["seconds"]
        assert 0 < 95 * measured["seconds_per_token"] < measured["stages"]["generate"]["seconds"]
    assert "ms/token" in capsys.readouterr().out


@pytest.mark.model
def test_what_does_not_fit_in_the_time_is_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["memory", "--device", "cpu", "--tiny", "--models", "predict1-7b", "--budget-seconds", "1"]
    assert bench.main(arguments) == 0
    assert "skipped: " in capsys.readouterr().out


class Counted:
    """Bytes that torch really has alive, measured as the allocator's would be."""

    def __init__(self, counter: Any) -> None:
        self._counter = counter

    def reset(self) -> None:
        self._counter.reset_peak()

    def read_bytes(self) -> int | None:
        return int(self._counter.peak_bytes)


@pytest.fixture(scope="module")
def small_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from scripts.benching.memory import write_small_files

    return write_small_files(tmp_path_factory.mktemp("files"))


@pytest.mark.model
@pytest.mark.parametrize("name", ["predict1-7b", "predict2.5-14b", "autoregressive-5b"])
def test_nothing_takes_more_than_was_predicted(name: str, small_files: Path) -> None:
    import torch

    from scripts.benching.house import House
    from scripts.benching.memory import machine_here
    from scripts.benching.meters import one_thread
    from scripts.benching.tiny import tiny_subject
    from tests.memory.storages import StorageCounter

    counter = StorageCounter()
    subject = tiny_subject(name, small_files, num_steps=2)
    house = House(subject, small_files, torch.device("cpu"), Counted(counter))
    machine = machine_here("cpu").model_copy(update={"device_bytes": GIGA, "host_bytes": GIGA})
    for preset in ("all", "none", "auto"):
        plan = subject.plan(preset, machine)
        with counter, torch.no_grad(), one_thread():
            taken = house.measure(plan)
        for stage, (peak_bytes, _) in taken.stages.items():
            planned = plan.stage(stage)
            assert planned is not None, stage
            assert peak_bytes is not None
            assert peak_bytes <= planned.peak_bytes, (preset, stage)
    house.close()


@pytest.mark.model
@pytest.mark.parametrize("name", ["predict2.5-14b", "autoregressive-5b", "autoregressive-13b"])
def test_full_size_networks_are_what_is_planned_with(name: str) -> None:
    """To the byte; they are made without memory here."""
    from scripts.benching.house import classes_of
    from scripts.benching.subjects import subject
    from scripts.benching.weights import build

    model = subject(name, num_steps=2)
    for part in model.parts:
        made = build(part, classes_of(model)[part.name])
        assert sum(parameter.nbytes for parameter in made.parameters()) == part.size_bytes, part.name


@pytest.mark.model
def test_weights_are_there_once(small_files: Path) -> None:
    """What is on the CPU is a view of the stretch that is copied to the device, in every module over it."""
    from cosmos_handler.memory.layout import lay_out
    from scripts.benching.house import classes_of
    from scripts.benching.tiny import tiny_subject
    from scripts.benching.weights import RandomPart, random_pattern

    subject = tiny_subject("predict1-7b", small_files, num_steps=2)
    part = subject.parts[1]
    weights = RandomPart(part, classes_of(subject)[part.name], random_pattern())
    begin = weights.host.bytes.data_ptr()
    for module in (weights.module(), weights.module()):
        for parameter in module.parameters():
            assert begin <= parameter.data_ptr() < begin + weights.size_bytes
            assert parameter.float().std() > 0.005
    assert weights.size_bytes == lay_out(weights.module()).size_bytes
    weights.close()
