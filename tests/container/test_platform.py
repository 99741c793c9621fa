"""The front door on a desk with the real serve behind it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2

from tests.conftest import ROOT, free_port


def test_it_starts_serve_and_ends_it(tiny_models: Path, tmp_path: Path) -> None:
    port = free_port()
    environ = os.environ | {"COSMOS_MODEL_DIR": str(tiny_models), "COSMOS_HOST": "127.0.0.1", "COSMOS_CPU_THREADS": "1"}
    command = [sys.executable, str(ROOT / "scripts/local_endpoint.py"), "--port", str(port)]
    process = subprocess.Popen(command, env=environ | {"COSMOS_WORK_DIR": str(tmp_path)})
    try:
        answer = _ask(process, f"http://127.0.0.1:{port}/endpoints/e/invocations")
        assert answer.status_code == 424
        assert answer.json()["OriginalStatusCode"] in {400, 422}
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(40)
    assert code == 0


def _ask(process: subprocess.Popen[bytes], address: str) -> httpx2.Response:
    with httpx2.Client(trust_env=False, timeout=60) as client:
        while process.poll() is None:
            try:
                return client.post(address, json={"no_such_key": 1})
            except httpx2.ConnectError:
                time.sleep(0.2)
    raise AssertionError(f"the front door ended with {process.returncode}")
