"""serve as the platform runs it: its word, its paths, its variables, its port, process 1, no network.

Where this machine gives no namespaces, it is an ordinary process, and the tests that are about them are skipped.
"""

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from tests.conftest import CPU_THREADS, ROOT, free_port, serve_command

Body = Mapping[str, object] | None
Answer = Future[httpx2.Response]

DEFAULT_PORT = 8080
STOP_SECONDS = 25
# All that was seen in the field, but for those of batch transform jobs and multi-model endpoints.
ENVIRONMENT = {
    "SAGEMAKER_SAFE_PORT_RANGE": "23000-23999",
    "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
    "SAGEMAKER_MODEL_SERVER_TIMEOUT": "3600",
    "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
    "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "application/json",
    "SAGEMAKER_PROGRAM": "inference.py",
    "SAGEMAKER_BASE_DIR": "/opt/ml",
    "SAGEMAKER_STARTUP_TIMEOUT": "600",
    "SAGEMAKER_ENABLE_LOAD_AWARE": "1",
    "SAGEMAKER_SECURE_MODE": "true",
    "SAGEMAKER_SECURITY_CONTROLS": "DISALLOW_CUSTOM_INFERENCE_SCRIPTS",
    "SAGEMAKER_UNTRUSTED_CHANNELS": "none",
    "SAGEMAKER_REGION": "eu-west-1",
}
_CLONE_NEWNET = 0x40000000
_NAMESPACES = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc"]


@dataclass
class Hosted:
    """process: what was started; pid: serve; statuses: what /ping said until it said 200.

    orphans: processes that it inherited; none, where it is not process 1.
    """

    process: subprocess.Popen[bytes]
    pid: int
    port: int
    is_isolated: bool
    log_path: Path
    callers: ThreadPoolExecutor
    orphans: frozenset[int]
    statuses: list[int] = field(default_factory=list)

    def ask(self, method: str, path: str, body: Body = None, accept: str = "application/json") -> Answer:
        """Begin to ask: from inside, for there is no other way to it."""
        return self.callers.submit(self._ask, method, path, body, accept)

    def _ask(self, method: str, path: str, body: Body, accept: str) -> httpx2.Response:
        with httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=120, trust_env=False) as client:
            return client.request(method, path, json=body, headers={"Accept": accept})

    def wait_until_ready(self, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while 200 not in self.statuses:
            assert self.process.poll() is None, self.log_path.read_text()[-4000:]
            assert time.monotonic() < deadline, self.log_path.read_text()[-4000:]
            try:
                self.statuses.append(self.ask("GET", "/ping").result().status_code)
            except httpx2.ConnectError:
                time.sleep(0.05)

    def children(self) -> set[int]:
        return children_of(self.pid)


def children_of(pid: int) -> set[int]:
    listed = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for each in listed for child in each.read_text().split()}


def has_namespaces() -> bool:
    """Whether this machine gives them, and none of what runs lies where the model folder is mounted."""
    if any(Path(place).resolve().is_relative_to("/opt") for place in (sys.executable, sys.base_prefix, ROOT)):
        return False
    try:
        tried = subprocess.run([*_NAMESPACES, "mount", "-t", "tmpfs", "tmpfs", "/opt"], capture_output=True)
    except FileNotFoundError:
        return False
    return tried.returncode == 0


@contextmanager
def hosted(model_dir: Path, channel: Path, folder: Path) -> Iterator[Hosted]:
    """channel: what the checkpoint lacks of its text encoder. Killed at the end, unless it has ended."""
    is_isolated = has_namespaces()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("COSMOS_", "SAGEMAKER_"))}
    ours = {"COSMOS_CPU_THREADS": str(CPU_THREADS), "COSMOS_STOP_SECONDS": str(STOP_SECONDS), "TMPDIR": str(folder)}
    command, port = [*serve_command(), "serve"], DEFAULT_PORT
    if is_isolated:
        launch = [sys.executable, str(Path(__file__).with_name("launch.py")), str(model_dir), f"text_encoder={channel}"]
        command = [*_NAMESPACES, *launch, *command]
    else:
        port = free_port()
        ours |= {"SAGEMAKER_BIND_TO_PORT": str(port), "COSMOS_MODEL_DIR": str(model_dir)}
        ours |= {"COSMOS_TEXT_ENCODER_DIR": str(channel)}
    log_path = folder / "server.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, env={**clean, **ENVIRONMENT, **ours}, stdout=log, stderr=log, cwd=ROOT)
    try:
        pid = _child_of(process) if is_isolated else process.pid
        join = (lambda: _join_network_of(pid)) if is_isolated else None
        with ThreadPoolExecutor(4, initializer=join) as callers:
            orphans = _leave_orphan(pid) if is_isolated else frozenset()
            yield Hosted(process, pid, port, is_isolated, log_path, callers, orphans)
    finally:
        process.kill()  # takes its namespaces along
        process.wait()


def _child_of(process: subprocess.Popen[bytes]) -> int:
    """The one that has become the command: before, it may not have made its folders."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None
        for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            if b"launch.py" not in (said := Path(f"/proc/{pid}/cmdline").read_bytes()) and b"serve" in said:
                return int(pid)
        time.sleep(0.02)
    raise AssertionError("serve did not start")


def _leave_orphan(pid: int) -> frozenset[int]:
    """A process beside serve whose parent ends before it."""
    inside = ["nsenter", "--target", str(pid), "--pid", "sh", "-c", "exec 2>/dev/null >&2; sleep 3 &"]
    subprocess.run(inside, check=True)
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:  # until it has become what it is called by
        orphans = {child for child in children_of(pid) if Path(f"/proc/{child}/comm").read_text() == "sleep\n"}
        if orphans:
            return frozenset(orphans)
        time.sleep(0.01)
    raise AssertionError("serve did not inherit a process")


def _join_network_of(pid: int) -> None:
    """For this thread alone."""
    with Path(f"/proc/{pid}/ns/net").open() as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "cannot join the network")
