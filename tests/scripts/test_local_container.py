"""The front door with an image behind it: a runtime that starts the real serve, and writes down how it was called."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.conftest import CPU_THREADS, ROOT, free_port

pytestmark = pytest.mark.model

COMMAND = [sys.executable, str(ROOT / "scripts" / "local_endpoint.py"), "--container", "cosmos-handler"]
WORDS = {"prompt": "Say something.", "max_tokens": 3}


@pytest.fixture
def runtime(tmp_path: Path) -> dict[str, str]:
    """An environment with docker and podman on the PATH, and with what no container may see."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("docker", "podman"):
        (programs / name).symlink_to(Path(__file__).with_name("fake_docker.py"))
    path = f"{programs}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "FAKE_DOCKER": str(tmp_path), "COSMOS_MAX_JOBS": "not for the container"}


def wished(folder: Path) -> list[str]:
    return ["--container-env", f"COSMOS_CPU_THREADS={CPU_THREADS}", "--container-env", f"COSMOS_WORK_DIR={folder}"]


def calls(folder: Path) -> list[list[str]]:
    return [json.loads(line) for line in (folder / "calls").read_text().splitlines()]


@contextmanager
def door(arguments: list[str], runtime: dict[str, str], log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    port = free_port()
    with log.open("wb") as said:
        process = subprocess.Popen([*COMMAND, "--port", str(port), *arguments], env=runtime, stdout=said, stderr=said)
        try:
            yield process, f"http://127.0.0.1:{port}/endpoints/any"
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(60)


def invoke(process: subprocess.Popen[bytes], address: str, body: object) -> httpx2.Response:
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None
        assert time.monotonic() < deadline
        try:
            return httpx2.post(f"{address}/invocations", json=body, trust_env=False, timeout=60)
        except httpx2.ConnectError:
            time.sleep(0.2)


def test_a_container_lives_as_the_platform_lets_it(tiny_models: Path, tmp_path: Path, runtime: dict[str, str]) -> None:
    models, guardrails, log = tiny_models / "reason2", tmp_path / "programs", tmp_path / "log"
    arguments = ["--container-channel", f"guardrails={guardrails}", "--container-model-dir", str(models)]
    with door([*arguments, *wished(tmp_path)], runtime, log) as (process, address):
        answer = invoke(process, address, WORDS)
        assert answer.json()["text"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
    started, stopped = calls(tmp_path)
    name = started[started.index("--name") + 1]
    (bound,) = [word for word in started if word.startswith("SAGEMAKER_BIND_TO_PORT=")]
    port = bound.partition("=")[2]
    assert started == [
        "docker", "run", "--rm", "--name", name, "--publish", f"127.0.0.1:{port}:{port}",
        "--mount", f"type=bind,source={models},target=/opt/ml/model,readonly",
        "--mount", f"type=bind,source={guardrails},target=/opt/ml/additional-model-data-sources/guardrails,readonly",
        "--env", f"COSMOS_CPU_THREADS={CPU_THREADS}", "--env", f"COSMOS_WORK_DIR={tmp_path}", "--env", bound,
        "cosmos-handler", "serve",
    ]  # fmt: skip
    assert stopped == ["docker", "stop", "-t", "30", name]


def test_a_batch_in_a_container_with_gpus_on_the_hosts_network(
    tiny_models: Path, tmp_path: Path, runtime: dict[str, str]
) -> None:
    (tmp_path / "records.jsonl").write_text(f"{json.dumps(WORDS)}\n{{not json\n")
    wishes = ["--container-runtime", "podman", "--container-gpus", "all", "--container-network", "host"]
    files = ["--batch-input", str(tmp_path / "records.jsonl"), "--batch-output", str(tmp_path / "out")]
    done = subprocess.run(
        [*COMMAND, *wishes, *files, *wished(tmp_path), "--container-env", "AWS_DEFAULT_REGION"],
        env=runtime | {"COSMOS_MODEL_DIR": str(tiny_models / "reason2"), "AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (tmp_path / "out" / "records.jsonl.out").read_text().splitlines()
    assert json.loads(first)["text"]
    assert json.loads(second)["error"]["type"] == "invalid_body"
    started, stopped = calls(tmp_path)
    assert (started[0], stopped[:2]) == ("podman", ["podman", "stop"])
    line = " ".join(started)
    assert " --network host --gpus all " in line
    assert "--publish" not in line
    assert " --env AWS_DEFAULT_REGION --env SAGEMAKER_BATCH=true " in line


@pytest.mark.parametrize(("image", "code"), [("cosmos-handler", 3), ("nowhere", 125)])
def test_the_exit_code_of_a_container_that_ends_by_itself(
    tmp_path: Path, runtime: dict[str, str], image: str, code: int
) -> None:
    (tmp_path / "empty").mkdir()
    arguments = ["--container", image, "--container-model-dir", str(tmp_path / "empty"), *wished(tmp_path)]
    done = subprocess.run([*COMMAND, *arguments], env=runtime, capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert done.stderr.endswith("serve did not become ready.\n")
    assert [call[1] for call in calls(tmp_path)] == ["run"]


def test_it_ends_while_the_image_is_still_being_fetched(tmp_path: Path, runtime: dict[str, str]) -> None:
    with door(["--container", "large"], runtime, tmp_path / "log") as (process, _):
        deadline = time.monotonic() + 30
        while not (tmp_path / "calls").exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) != 0
    assert [call[1] for call in calls(tmp_path)] == ["run", "stop"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "neither docker nor podman is on the PATH"),
        (["--container-runtime", "nerdctl"], "nerdctl is on the PATH"),
        (["--container-runtime", "sh", "--container-model-dir", "/nowhere"], "/nowhere is not a folder"),
        (["--container-runtime", "sh", "--container-channel", "guardrails"], "guardrails is not NAME=DIR"),
        (
            ["--container-runtime", "sh", "--container-env", "COSMOS_NOT_SET_HERE"],
            "COSMOS_NOT_SET_HERE is not set here",
        ),
        (["--container-runtime", "sh", "--container-env", "=1"], "no name of a variable"),
        (["--url", "http://127.0.0.1:9"], "give one of them"),
        (["--container", "", "--container-gpus", "all"], "go with --container"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_starts(tmp_path: Path, arguments: list[str], says: str) -> None:
    (tmp_path / "sh").symlink_to("/bin/sh")
    environ = {"PATH": str(tmp_path)}
    done = subprocess.run([*COMMAND, *arguments], env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert re.search(says, done.stderr), done.stderr
    assert "Traceback" not in done.stderr
