"""How the real process starts and refuses to start."""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tests.artifacts.autoregressive import state_of, write_model
from tests.conftest import ROOT, running_server, serve_command


def refusal(folder: Path, model_dir: Path, **environ: str) -> tuple[int, str, float]:
    """Exit code, log and seconds of a server that must not come up."""
    began = time.monotonic()
    with running_server(model_dir, folder, **environ) as server:
        code = server.process.wait(60)
    return code, server.log, time.monotonic() - began


def test_no_model_folder(tmp_path: Path) -> None:
    code, log, _ = refusal(tmp_path, tmp_path / "nothing")
    assert code == 3
    assert str(tmp_path / "nothing") in log
    assert "Traceback" not in log


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    code, log, _ = refusal(tmp_path, tmp_path / "models")
    assert code == 3
    assert "Traceback" not in log


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def promise_a_shard(file: Path) -> None:
    content = {"metadata": {}, "weight_map": {"some.weight": "model-00002-of-00002.safetensors"}}
    file.rename(file.with_name("model-00001-of-00002.safetensors"))
    file.with_name("model.safetensors.index.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("spoil", "file", "said"),
    [
        (cut, "predict2.5/transformer/diffusion_pytorch_model.safetensors", "is truncated"),
        (promise_a_shard, "reason2/model.safetensors", "model-00002-of-00002.safetensors is missing, though"),
        (Path.unlink, "predict2.5/vae/diffusion_pytorch_model.safetensors", "is missing"),
        (cut, "predict2.5/guardrails/Qwen3Guard-Gen-0.6B/model.safetensors", "is truncated"),
        (cut, "predict2.5/guardrails/face_blur_filter/Resnet50_Final.pth", "is truncated"),
    ],
)
def test_partial_weights_name_the_file(
    tiny_models: Path, tmp_path: Path, spoil: Callable[[Path], None], file: str, said: str
) -> None:
    shutil.copytree(tiny_models, tmp_path / "models")
    spoil(tmp_path / "models" / file)
    code, log, _ = refusal(tmp_path, tmp_path / "models")
    assert code == 3
    (line,) = [line for line in log.splitlines() if said in line]
    assert Path(file).name in line or "model-00002" in line
    assert "cannot serve" in log
    assert "model process" not in log  # refused before one was started
    assert "Traceback" not in log


@pytest.mark.model
def test_a_pt_that_is_not_whole_ends_the_start_with_the_list_of_what_is_wrong(tmp_path: Path) -> None:
    state = state_of("autoregressive_text")
    del state["model.layers.0.ffn_norm.weight"]
    state["model.layers.1.attention.wq.weight"] = state["model.layers.1.attention.wk.weight"]
    folder = write_model(tmp_path / "models" / "Cosmos-Predict1-5B-Video2World", state=state)
    code, log, _ = refusal(tmp_path, tmp_path / "models")
    assert code == 3
    for said in (
        f"cannot serve: {folder} is not a complete Cosmos Autoregressive checkpoint:",
        "  - model.pt lacks tensors of Cosmos Autoregressive: model.layers.0.ffn_norm.weight",
        "  - model.pt: model.layers.1.attention.wq.weight is [32, 48], not [64, 48]",
        "  - the text encoder is missing: T5, which this model reads prompts by; looked for its config.json in ",
        "  - the video tokenizer DV8x16x16 is missing; looked for in the folders tokenizer, ",
    ):
        assert said in log
    assert "model process" not in log
    assert "Traceback" not in log


@pytest.mark.model
def test_a_machine_without_room_for_any_request(tiny_models: Path, tmp_path: Path) -> None:
    code, log, _ = refusal(tmp_path, tiny_models / "predict2.5", COSMOS_DEVICE_MEMORY_BYTES="1024")
    assert code == 4
    (line,) = [line for line in log.splitlines() if "cannot serve" in line]
    assert "predict2.5: it takes at least " in line
    assert line.endswith("whatever is asked for")
    assert not [line for line in log.splitlines() if ": loaded " in line]
    assert log.count("model process") == 1  # it is not tried again
    assert "Traceback" not in log


def test_a_bad_environment_lists_every_fault(tmp_path: Path) -> None:
    code, log, _ = refusal(tmp_path, tmp_path, COSMOS_MAX_JOBS="none", COSMOS_DEVICE="cuda")
    assert code == 2
    assert "COSMOS_MAX_JOBS" in log
    assert "did you mean COSMOS_DEVICES?" in log


@pytest.mark.parametrize("place", ["absent", "file"])
def test_a_work_folder_that_cannot_be_used(tmp_path: Path, place: str) -> None:
    """Root may write everywhere, so a read-only folder would prove nothing here."""
    (tmp_path / "file").touch()
    code, log, _ = refusal(tmp_path, tmp_path, COSMOS_WORK_DIR=str(tmp_path / place))
    assert code == 2
    assert f"COSMOS_WORK_DIR={str(tmp_path / place)!r}" in log
    assert "Traceback" not in log


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, log, _ = refusal(tmp_path, tmp_path, SAGEMAKER_BIND_TO_PORT=str(port))
    assert code == 2
    assert f"SAGEMAKER_BIND_TO_PORT={port}" in log
    assert "Address already in use" in log
    assert "Traceback" not in log


def test_a_host_that_is_none(tmp_path: Path) -> None:
    code, log, _ = refusal(tmp_path, tmp_path, COSMOS_HOST="no.such.host.invalid")
    assert code == 2
    assert "COSMOS_HOST='no.such.host.invalid'" in log


def test_help_and_version() -> None:
    for option, word in (("--help", "SAGEMAKER_BIND_TO_PORT"), ("--version", "0.")):
        shown = subprocess.run([*serve_command(), option], cwd=ROOT, capture_output=True, text=True, check=True)
        assert word in shown.stdout


@pytest.mark.model
def test_ping_says_503_until_the_weights_are_loaded(tiny_models: Path, tmp_path: Path) -> None:
    """Also: the hub's name for the model, its cache, no network; one checkpoint, so that nothing need be named."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--nvidia--tiny"
    shutil.copytree(tiny_models / "predict2.5", repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    environ = {"HF_MODEL_ID": "nvidia/tiny", "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub")}
    with running_server(None, tmp_path, **environ) as server:
        statuses, nims = set(), set()
        while 200 not in statuses:
            assert server.process.poll() is None, server.log
            try:
                assert server.client.get("/v1/health/live").json()["status"] == "live"
                nim = server.client.get("/v1/health/ready")
                nims.add((nim.status_code, nim.json()["status"]))
                statuses.add(server.client.get("/ping").status_code)
            except httpx2.ConnectError:
                time.sleep(0.05)
        assert statuses == {503, 200}
        assert (503, "not_ready") in nims
        answer = server.invoke({"prompt": "a robot", "resolution": "64,64", "num_frames": 1, "num_steps": 1}).json()
        assert (answer["model"], answer["revision"]) == ("tiny", commit)


def test_a_hub_that_never_answers_ends_the_start_in_bounded_time(tmp_path: Path) -> None:
    """As where packets are dropped: /ping says 503 as long as it takes, and the line says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hub = {"HF_MODEL_ID": "org/model", "HF_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        environ = hub | {"HF_HOME": str(tmp_path / "hub"), "NO_PROXY": "127.0.0.1", "COSMOS_HUB_SECONDS": "3"}
        with running_server(None, tmp_path, **environ) as server:
            statuses = set()
            while server.process.poll() is None:
                with contextlib.suppress(httpx2.TransportError):
                    statuses.add(server.client.get("/ping").status_code)
                time.sleep(0.05)
            assert server.process.returncode == 3
    assert statuses == {503}
    (line,) = [line for line in server.log.splitlines() if "cannot serve" in line]
    assert "org/model (revision main) cannot be fetched: the hub did not answer within 3 s (COSMOS_HUB_SECONDS)" in line
    assert line.endswith("put its files into /opt/ml/model and unset HF_MODEL_ID")
    assert "Traceback" not in server.log


def test_signals_that_come_again_and_again_do_not_spoil_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    for _ in range(3):
        # Ends by itself too, with code 3 for a folder without a model: both ways out must be deaf at the end.
        with running_server(tmp_path / "models", tmp_path) as server:
            until = time.monotonic() + 20
            while server.process.poll() is None and time.monotonic() < until:
                if b"listening on" in server.log_path.read_bytes():
                    server.process.send_signal(signal.SIGTERM)
                time.sleep(0.0005)
            assert server.process.returncode in (0, 3)
