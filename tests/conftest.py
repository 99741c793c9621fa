"""What several rooms' tests share: NVIDIA's sample inputs, tiny checkpoints, and real servers."""

import base64
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cosmos_handler.artifacts.discover import discover
from cosmos_handler.artifacts.guardrail import CHECKS, GuardrailWish, find_guardrails
from cosmos_handler.messages.wire import Setup
from tests.conformance.options import (
    pytest_addoption as pytest_addoption,
)  # options are taken of the first conftest only

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT.parent / "shared" / "data"

# One thread in the server and in the direct call: one and two differ in the last bits of a sum.
CPU_THREADS = 1

# The parts of all guardrails that tiny generators come with.
GUARDRAIL_PARTS = (
    "guardrail_text_classifier",
    "guardrail_content_filter",
    "guardrail_content_filter_classifier",
    "guardrail_face_blur",
)


@dataclass(frozen=True)
class Server:
    """A running `serve`."""

    process: subprocess.Popen[bytes]
    client: httpx2.Client
    log_path: Path

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def model_pid(self) -> int:
        """The model process: the one child of `serve`."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        named = [pid for pid in children if b"cosmos_handler.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(named) == 1
        return int(named[0])

    def wait_until_ready(self, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log[-4000:]
            try:
                if self.client.get("/ping").status_code == 200:
                    return
            except httpx2.ConnectError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"not ready after {seconds} s:\n{self.log[-4000:]}")

    @contextmanager
    def held(self) -> Iterator[None]:
        """The model process does nothing meanwhile: how far it goes does not depend on how quick its caller is."""
        pid = self.model_pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def invoke(self, body: dict[str, Any], accept: str = "application/json") -> httpx2.Response:
        return self.client.post("/invocations", json=body, headers={"Accept": accept})


def forget_jobs(server: Server) -> None:
    """Delete every job of /v1/videos; a running one is cancelled first."""
    while jobs := server.client.get("/v1/videos").json()["data"]:
        for job in jobs:
            server.client.delete(f"/v1/videos/{job['id']}")


def serve_command() -> list[str]:
    """`./serve`, or the same with the interpreter that a run on another torch asks for."""
    other = os.environ.get("COSMOS_TEST_PYTHON")
    return [other, "-m", "cosmos_handler.main"] if other else [str(ROOT / "serve")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def running_server(
    model_dir: Path | None, folder: Path, *, within: Sequence[str] = (), **environ: str
) -> Iterator[Server]:
    """A real server; ends with SIGTERM and must then end by itself.

    model_dir: None: nothing is said of it. within: a command that makes the surroundings and becomes the server.
    """
    port = free_port()
    settings = {
        "COSMOS_MODEL_DIR": "" if model_dir is None else str(model_dir),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "COSMOS_HOST": "127.0.0.1",
        "COSMOS_CPU_THREADS": str(CPU_THREADS),
        "COSMOS_WORK_DIR": str(folder),
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith("COSMOS_")}
    log_path = folder / "server.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [*within, *serve_command()], env={**clean, **settings, **environ}, stdout=log, stderr=log, cwd=ROOT
        )
        client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False)
        try:
            yield Server(process, client, log_path)
        finally:
            client.close()
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise


def make_tiny(name: str, folder: Path, *options: str) -> Path:
    """A tiny checkpoint, written by a process of its own so that this one stays free of torch."""
    command = [sys.executable, str(ROOT / "scripts" / "make_tiny.py"), name, "--out", str(folder), *options]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def setup_of(folder: Path) -> Setup:
    """What a model process is told of a folder, guardrails included."""
    checkpoints = discover(folder)
    guardrails = find_guardrails(GuardrailWish(checks=CHECKS), folder, checkpoints)
    return Setup(checkpoints=checkpoints, guardrails=guardrails, device="cpu", cpu_threads=CPU_THREADS)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with one subfolder a checkpoint: predict2.5 and reason2."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("predict2.5", "reason2"):  # no two that can do the same task: requests need not name a model
        make_tiny(name, folder / name)
    return folder


@pytest.fixture(scope="session")
def tiny_native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """predict2.5 in NVIDIA's own form."""
    return make_tiny("predict2.5", tmp_path_factory.mktemp("native") / "predict2.5", "--native")


@pytest.fixture(scope="session")
def tiny_native_transfer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """transfer2.5 in NVIDIA's own form."""
    return make_tiny("transfer2.5", tmp_path_factory.mktemp("native") / "transfer2.5", "--native")


@pytest.fixture(scope="session")
def tiny_autoregressive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both kinds of autoregressive models in NVIDIA's own form, without and with a prompt, each in its subfolder."""
    folder = tmp_path_factory.mktemp("autoregressive")
    for name in ("autoregressive", "autoregressive_text"):
        make_tiny(name, folder / name, "--native")
    return folder


@pytest.fixture(scope="session")
def shared_server(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with both checkpoints for the whole session."""
    with running_server(tiny_models, tmp_path_factory.mktemp("server")) as server:
        server.wait_until_ready()
        yield server


@pytest.fixture
def server(shared_server: Server) -> Server:
    """The session's server, ready: an earlier test may have killed its model process."""
    shared_server.wait_until_ready()
    return shared_server


@pytest.fixture(scope="session")
def batch_server(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One in a batch transform job, with all that its caller may set; the platform spells True as it likes."""
    job = {
        "SAGEMAKER_BATCH": "True",
        "SAGEMAKER_BATCH_STRATEGY": "MULTI_RECORD",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "2",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "6",
    }
    with running_server(tiny_models, tmp_path_factory.mktemp("batch"), **job) as server:
        server.wait_until_ready()
        yield server


def sample(name: str) -> Path:
    """One of NVIDIA's sample inputs; the test is skipped where they are not beside the checkout."""
    path = SAMPLES / name
    if not path.exists():
        pytest.skip(f"no sample input {name} beside the checkout")
    return path


def data_url(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
