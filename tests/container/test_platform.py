"""The front door on a desk with the real serve behind it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from scripts.local.door import Limits, make_door
from tests.conftest import ROOT, Server, free_port
from tests.scripts.test_local_endpoint import running

LONG = {"model": "predict2.5", "prompt": "a robot", "resolution": "128,192", "num_output_frames": 17, "num_steps": 200}


@contextmanager
def local_endpoint(model_dir: Path, folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """It, ready, and the address of an endpoint; ends with SIGTERM if it has not ended."""
    port = free_port()
    environ = {"COSMOS_MODEL_DIR": str(model_dir), "COSMOS_CPU_THREADS": "1", "COSMOS_WORK_DIR": str(folder)}
    command = [sys.executable, str(ROOT / "scripts" / "local_endpoint.py"), "--port", str(port), *options]
    with (folder / "stderr").open("wb") as log:
        process = subprocess.Popen(
            command, env=os.environ | environ | {"COSMOS_HOST": "127.0.0.1"}, stderr=log, text=True
        )
    try:
        with httpx2.Client(trust_env=False) as client:
            while process.poll() is None:
                try:
                    client.get(f"http://127.0.0.1:{port}")
                    break
                except httpx2.ConnectError:
                    time.sleep(0.2)
        assert process.poll() is None, f"the front door ended with {process.returncode}"
        yield process, f"http://127.0.0.1:{port}/endpoints/e"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(40)


def test_it_starts_serve_and_ends_it(tiny_models: Path, tmp_path: Path) -> None:
    with local_endpoint(tiny_models, tmp_path) as (process, url):
        answer = httpx2.post(f"{url}/invocations", json={"no_such_key": 1}, trust_env=False, timeout=60)
        assert answer.status_code == 424
        assert answer.json()["OriginalStatusCode"] in {400, 422}
    assert process.returncode == 0


def test_it_ends_with_serve_and_those_who_wait_are_told(tiny_models: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    with local_endpoint(tiny_models, tmp_path, "--async-output-s3-uri", str(results)) as (process, url):

        def send(path: str) -> httpx2.Response:
            headers = {"X-Amzn-SageMaker-Content-Type": "application/json", "Content-Type": "application/json"}
            return httpx2.post(url + path, json=LONG, headers=headers, trust_env=False, timeout=60)

        accepted = send("/async-invocations")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        (serve,) = (int(pid) for pid in children)
        with ThreadPoolExecutor() as pool:
            whole = pool.submit(send, "/invocations")
            streamed = pool.submit(send, "/invocations-response-stream")
            time.sleep(1)  # either way they have the same error, being sent or in the container
            os.kill(serve, signal.SIGKILL)
            assert (whole.result().status_code, whole.result().json()["OriginalStatusCode"]) == (424, 0)
            assert b"ModelStreamError" in streamed.result().content or streamed.result().status_code == 424
        assert process.wait(30) == 128 + signal.SIGKILL
    assert (
        "the container ended the connection" in Path(accepted.headers["X-Amzn-SageMaker-FailureLocation"]).read_text()
    )
    said = [line for line in (tmp_path / "stderr").read_text().splitlines() if line.startswith("serve ended")]
    assert said == ["serve ended by itself with exit code 137."]
    assert "Traceback" not in (tmp_path / "stderr").read_text()


@pytest.mark.model
def test_the_openai_client_streams_through_it(server: Server) -> None:
    with (
        running(make_door(str(server.client.base_url), Limits())) as door,
        openai.OpenAI(base_url=f"{door}/endpoints/e/openai/v1", api_key="a token", max_retries=0) as client,
    ):
        create: Any = partial(
            client.chat.completions.create,
            model="reason2",
            messages=[{"role": "user", "content": "Say something."}],
            temperature=0,
        )
        whole = create(max_tokens=8).choices[0].message.content
        pieces = list(create(max_tokens=8, stream=True))
        assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == whole
        assert len(pieces) > 2
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError, match="max_tokens") as caught:
                create(max_tokens=-1, stream=stream)
            assert caught.value.response.json()["error"]["type"] == "invalid_field"  # as it is, not wrapped
