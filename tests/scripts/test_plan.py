"""Plans on the command line: for any card, without torch, a GPU or weights."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cosmos_handler.memory.catalogue import catalogue_models
from scripts import plan
from tests.conftest import ROOT, make_tiny

GIGA = 10**9


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert plan.main(list(arguments)) == status
    return capsys.readouterr().out


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> dict[str, object]:
    found: dict[str, object] = json.loads(printed(capsys, *arguments, "--json", status=status))
    return found


def test_it_needs_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys; sys.argv = ['plan', '--model', 'Cosmos3-Nano', '--device-gb', '24']\n"
        "from scripts import plan; assert plan.main() == 0\n"
        "assert not {'torch', 'numpy', 'transformers', 'diffusers', 'fastapi'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_plan_is_a_table_of_parts_and_stages(capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(capsys, "--model", "nvidia/Cosmos-Predict2.5-14B", "--device-gb", "24", "--frames", "77")
    assert "planned with 22.3 GB of it" in shown
    for word in (
        "text_encoder",
        "transformer",
        "streamed",
        "denoise",
        "decode",
        "guard_frames",
        "77 frames at 1280x704",
    ):
        assert word in shown


def test_several_together_take_less_time_each(capsys: pytest.CaptureFixture[str]) -> None:
    shared = ("--model", "Cosmos-Predict1-13B-Video2World", "--card", "l40s")
    one, four = as_json(capsys, *shared), as_json(capsys, *shared, "--batch-size", "4")
    assert (one["batch_size"], four["batch_size"]) == (1, 4)
    seconds = [made["plan"]["seconds"] for made in (one, four)]  # type: ignore[index]
    assert seconds[0] < seconds[1] < 2 * seconds[0]
    assert f"; 4 together, {seconds[1] / 4:.0f} s for each\n" in printed(capsys, *shared, "--batch-size", "4")
    assert "together" not in printed(capsys, *shared)


def test_what_makes_one_at_a_time_is_not_planned_for_several(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        plan.main(["--model", "Cosmos3-Nano", "--card", "h100", "--batch-size", "2"])
    assert "Cosmos3-Nano makes one at a time" in capsys.readouterr().err


def test_the_numbers_of_a_request_count(capsys: pytest.CaptureFixture[str]) -> None:
    shared = ("--model", "predict2.5-2b", "--card", "h100")
    whole = as_json(capsys, *shared)
    small = as_json(capsys, *shared, "--frames", "10", "--size", "640x352", "--steps", "5", "--guidance", "1")
    assert whole["request"] == {"frames": 77, "height": 704, "width": 1280, "steps": 35, "guidance": 7.0}
    assert small["request"] == {"frames": 13, "height": 352, "width": 640, "steps": 5, "guidance": 1.0}
    assert small["plan"]["seconds"] < whole["plan"]["seconds"] / 100  # type: ignore[index]


def test_a_long_video_is_made_in_chunks(capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, "--model", "Predict2.5-2B", "--card", "h100", "--frames", "200")
    assert found["request"]["frames"] == 77  # type: ignore[index]
    assert found["request"]["chunks"] == 3  # type: ignore[index]


def test_an_autoregressive_model_goes_on_in_frames_of_tokens(capsys: pytest.CaptureFixture[str]) -> None:
    shared = ("--model", "Cosmos-Predict1-5B-Video2World", "--card", "h100")
    shown = printed(capsys, *shared, "--offload", "all")
    assert "33 frames at 1024x640, 15 steps" in shown
    for word in ("ar_model", "decoder_tokenizer", "encode_text", "generate", "diffusion_decode", "swapped"):
        assert word in shown
    usual, short, long = (as_json(capsys, *shared, "--frames", frames) for frames in ("33", "12", "50"))
    assert usual["is_served"]
    assert short["request"]["frames"] == 17  # type: ignore[index]
    assert short["plan"]["seconds"] < usual["plan"]["seconds"]  # type: ignore[index]
    assert (long["request"]["frames"], long["request"]["chunks"]) == (33, 2)  # type: ignore[index]


def test_what_does_not_fit_is_refused_with_what_would(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--model", "Cosmos-Predict2.5-14B", "--device-gb", "16", "--frames", "121")
    shown = printed(capsys, *arguments, status=1)
    assert "cannot be done: it takes at least" in shown
    assert "nearest that can: " in shown
    assert "the plan that lacks least" in shown
    nearest = as_json(capsys, *arguments, status=1)["nearest"]
    assert 77 <= nearest["frames"] < 121  # type: ignore[index]
    assert as_json(capsys, *arguments[:-1], str(nearest["frames"]))["fits"]  # type: ignore[index]


def test_too_little_host_memory_is_said_and_how_much_would_do(capsys: pytest.CaptureFixture[str]) -> None:
    shared = ("--model", "Cosmos3-Super", "--device-gb", "80", "--frames", "5", "--size", "320x192")
    shown = printed(capsys, *shared, "--host-gb", "32", status=1)
    gigabytes = shown.split("with ")[2].split(" GB of host memory")[0]
    assert as_json(capsys, *shared, "--host-gb", str(int(gigabytes) + 1))["fits"]


def test_what_takes_too_long_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--model", "Cosmos-Predict2.5-14B", "--instance", "ml.g6e.2xlarge", "--window-seconds", "900")
    found = as_json(capsys, *arguments, status=1)
    assert "has 900 s" in str(found["problem"])
    assert found["nearest"]["frames"] < 77  # type: ignore[index]
    assert "its fastest plan" in printed(capsys, *arguments, status=1)


def test_instances_bring_their_card_and_their_host(capsys: pytest.CaptureFixture[str]) -> None:
    small = as_json(capsys, "--model", "reason2-2b", "--instance", "ml.g5.xlarge")["plan"]["machine"]  # type: ignore[index]
    large = as_json(capsys, "--model", "reason2-2b", "--instance", "ml.g5.48xlarge")["plan"]["machine"]  # type: ignore[index]
    assert small["device_bytes"] == large["device_bytes"] < 24 * GIGA
    assert small["host_bytes"] < 16 * 2**30 < 700 * GIGA < large["host_bytes"]
    assert "share one copy" in printed(capsys, "--model", "reason2-2b", "--instance", "ml.g5.48xlarge")


def test_offloading_as_the_variables_have_it(capsys: pytest.CaptureFixture[str]) -> None:
    shared = ("--model", "predict2.5-2b", "--card", "h200")
    none = as_json(capsys, *shared, "--offload", "none")["plan"]
    by_hand = as_json(capsys, *shared, "--offload", "none", "--placement", "text_encoder=swapped")["plan"]
    assert {part["placement"] for part in none["parts"]} == {"resident"}  # type: ignore[index]
    places = {part["part"]: part["placement"] for part in by_hand["parts"]}  # type: ignore[index]
    assert places["text_encoder"] == "swapped"
    assert places["transformer"] == "resident"


def test_every_public_model_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(capsys, "--all-models", "--device-gb", "24")
    lines = {line.split()[0]: line for line in shown.splitlines() if line.startswith("Cosmos")}
    assert set(lines) == set(catalogue_models())
    assert "22.3 GB" in shown
    for name in ("Cosmos-Predict2.5-2B", "Cosmos-Predict2.5-14B", "Cosmos-Transfer2.5-2B", "Cosmos-Reason1-7B"):
        assert " no " not in lines[name]


def test_a_folder_of_checkpoints_is_planned_from_its_headers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_tiny("predict2.5", tmp_path / "tiny")
    found = as_json(capsys, "--model", str(folder), "--device-gb", "16", "--frames", "9", "--size", "96x64")
    assert found["model"] == "tiny"
    assert found["is_served"]
    assert 0 < found["plan"]["peak_bytes"] < GIGA  # type: ignore[index]


def test_everything_known_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(capsys, "--list")
    for word in ("Cosmos-Predict1-7B-Text2World *", "h100", "ml.g5.xlarge", "ml.p6-b200.48xlarge", "host 16 GiB"):
        assert word in shown


def test_a_card_without_bf16_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan.main(["--model", "reason2-2b", "--instance", "ml.g4dn.xlarge"]) == 1
    assert "does not compute in bf16" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "reason2-2b"], "--device-gb"),
        (["--model", "nonsense", "--card", "l4"], "less than one of Cosmos-"),
        (["--model", "reason", "--card", "l4"], "more than one of Cosmos-"),
        (["--model", "reason2-2b", "--card", "voodoo2"], "voodoo2"),
        (["--model", "reason2-2b", "--card", "l4", "--steps", "5"], "no guidance"),
        (["--model", "predict2.5-2b", "--card", "l4", "--size", "100x100"], "multiples of 16"),
        (["--model", "cosmos3-nano", "--card", "l4", "--frames", "9999"], "at the most"),
        (["--model", "predict1-4b", "--card", "l4", "--size", "640x352"], "1024x640 alone"),
        (["--model", "predict1-4b", "--card", "l4", "--frames", "9"], "are those that are given"),
        (["--model", "predict2.5-2b", "--card", "l4", "--placement", "vae=swapped"], "vae"),
    ],
)
def test_wrong_arguments(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        plan.main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
