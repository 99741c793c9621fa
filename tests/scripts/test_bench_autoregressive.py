"""The benchmark of token generation: all of its code on a small network on the CPU, and its arithmetic."""

import json
from pathlib import Path

import pytest

from scripts import bench
from scripts.benching import autoregressive


@pytest.mark.model
def test_it_measures_a_small_network_and_a_whole_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "tokens.json"
    arguments = ["--device", "cpu", "--size", "tiny", "--batches", "1,2", "--given", "4", "--steps", "3", "--whole"]
    assert bench.main(["autoregressive", *arguments, "--out", str(out)]) == 0
    record = json.loads(out.read_text())
    assert [(each["batch"], each["given_frames"], each["way"]) for each in record["paces"]] == [
        (1, 4, "plain"),
        (2, 4, "plain"),
    ]
    for each in record["paces"]:
        assert each["tokens_per_second"] == pytest.approx(each["batch"] / each["step_seconds"])
        assert 0 < each["limit_seconds"] < each["step_seconds"]
    whole = record["whole_video"]
    assert (whole["tokens"], whole["frames"]) == (96, [33, 64, 128])
    assert whole["seconds"] == pytest.approx(sum(stage["seconds"] for stage in whole["stages"].values()))
    shown = capsys.readouterr().out
    assert "tokens/s" in shown
    assert "diffusion_decode" in shown


@pytest.mark.model
def test_what_a_step_must_read() -> None:
    from scripts.benching import tokens

    assert tuple(tokens.SIZES) == autoregressive.SIZES
    model = tokens.build(tokens.config_of("5b", None))
    # 4.58 billion weights but the embedding's 64064 rows of 4096 and what was made of the text in 16 layers; in bf16.
    weights = 2 * (sum(each.numel() for each in model.parameters()) - 64064 * 4096 - 16 * 2 * 1024 * 1024)
    assert tokens.step_bytes(model, 3, 1000) == weights + 3 * 1512 * 2 * 16 * 8 * 128 * 2
    cache = 3 * (12864 + 512) * 2 * 16 * 8 * 128 * 2
    alone = tokens.needed_bytes(model, 3, whole=False, tiny=False)
    assert alone == 2 * sum(each.numel() for each in model.parameters()) + cache
    decoders = tokens.needed_bytes(model, 3, whole=True, tiny=False) - alone
    assert 14e9 < decoders < 15e9


@pytest.mark.model
def test_what_does_not_fit_is_refused_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    from cosmos_handler.messages.machine import Machine

    rates = dict.fromkeys(
        (
            "link_bytes_per_second", "disk_bytes_per_second", "memory_bytes_per_second", "linear_flops_per_second",
            "attention_flops_per_second",
        ),
        1.0,
    )  # fmt: skip
    small = Machine(name="small", device_bytes=10**10, host_bytes=10**10, **rates)
    monkeypatch.setattr(autoregressive, "machine_here", lambda device: small)
    with pytest.raises(SystemExit, match=r"13b with 8 requests at a time takes 44\.. GB.* there are 9\.0 GB"):
        bench.main(["autoregressive", "--device", "cpu", "--size", "13b"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--size", "7b"], "invalid choice: '7b'"),
        (["--batches", "0"], "'0' is no list of numbers from 1 to 64"),
        (["--given", "5"], "'5' is no list of numbers from 1 to 4"),
        (["--layers", "41"], "--layers: 41 is not from 1 to 40"),
        (["--steps", "0"], "--steps: 0 is not from 1 to 400"),
    ],
)
def test_wrong_arguments(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main(["autoregressive", *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
