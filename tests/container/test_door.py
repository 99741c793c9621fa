"""The door of the real server: its key, the time it gives, and its answer to what is no HTTP."""

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.conftest import ROOT, Server, running_server

KEY = "k3y-that-nobody-shall-read"
CHAT = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}


@pytest.fixture(scope="module")
def locked(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for a key, and has little patience and little room."""
    limits = {"COSMOS_BODY_SECONDS": "1", "COSMOS_MAX_BODY_BYTES": "100000", "COSMOS_MAX_BODIES_BYTES": "100000"}
    with running_server(tiny_models, tmp_path_factory.mktemp("locked"), COSMOS_API_KEY=KEY, **limits) as server:
        server.wait_until_ready()
        yield server


def address(server: Server) -> tuple[str, int]:
    return server.client.base_url.host, server.client.base_url.port or 80


def raw(server: Server, sent: bytes) -> http.client.HTTPResponse:
    """What comes back for these very bytes."""
    with socket.create_connection(address(server), timeout=30) as connection:
        connection.sendall(sent)
        response = http.client.HTTPResponse(connection)
        response.begin()
        response.body = response.read()  # type: ignore[attr-defined]
    return response


def test_health_is_open_and_everything_else_is_not(locked: Server) -> None:
    for path in ("/ping", "/v1/health/live", "/v1/health/ready"):
        assert locked.client.get(path).status_code == 200
    assert locked.client.head("/ping").status_code == 200
    for path in ("/v1/models", "/v1/videos", "/v1/metadata", "/nowhere", "/openapi.json", "/metrics", "/plan"):
        response = locked.client.get(path)
        assert (response.status_code, response.json()["error"]["type"]) == (401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"
        assert "server" not in response.headers


def test_a_stranger_s_body_is_not_waited_for(locked: Server) -> None:
    head = b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 90000\r\n\r\n"
    assert raw(locked, head).status == 401


def test_openai_s_client_shows_the_key(locked: Server) -> None:
    with openai.OpenAI(base_url=f"{locked.client.base_url}/v1", api_key=KEY, max_retries=0) as client:
        assert client.models.list().data
    with (
        openai.OpenAI(base_url=f"{locked.client.base_url}/v1", api_key="another", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()


def test_the_script_shows_it_too(locked: Server, tmp_path: Path) -> None:
    (tmp_path / "ask.json").write_text(json.dumps({"prompt": "hello", "max_tokens": 2, "model": "reason2"}))
    command = [sys.executable, ROOT / "scripts" / "invoke.py", tmp_path / "ask.json", "--out", tmp_path / "out"]
    command += ["--url", f"{locked.client.base_url}/invocations"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "401" in refused.stderr
    done = subprocess.run([*command, "--api-key", KEY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_body_that_trickles_is_given_up(locked: Server) -> None:
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 9000\r\n\r\n{{"
    response = raw(locked, head.encode())
    assert (response.status, response.headers["connection"]) == (408, "close")
    assert json.loads(response.body)["error"]["type"] == "too_slow"  # type: ignore[attr-defined]


def test_bodies_share_what_is_theirs(locked: Server) -> None:
    """One holds most of it while its body is on the way; the next one is told when to come back."""
    head = "POST /invocations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n"
    with socket.create_connection(address(locked), timeout=30) as first:
        first.sendall(head.format(KEY, 100_000).encode() + b" " * 90_000)
        for _ in range(20):  # until the first one's bytes have been read
            response = raw(locked, head.format(KEY, 20_000).encode() + b" " * 20_000)
            if response.status == 503:
                break
        assert (response.status, response.headers["retry-after"]) == (503, "10")
        first.recv(1)  # its time is up, and its bytes are given back
    response = locked.client.post("/invocations", json={"x": 1}, headers={"Authorization": f"Bearer {KEY}"})
    assert response.status_code == 400


@pytest.mark.parametrize(
    "sent", [b"hello\r\n\r\n", b"GET / HTTP/one\r\n\r\n", b"GET /\x00 HTTP/1.1\r\n\r\n", b"\x16\x03\x01\r\n\r\n"]
)
def test_what_is_no_http_is_told_in_the_usual_form(locked: Server, sent: bytes) -> None:
    response = raw(locked, sent)
    assert (response.status, response.headers["content-type"]) == (400, "application/json")
    assert json.loads(response.body)["error"]["type"] == "invalid_http"  # type: ignore[attr-defined]
    assert response.headers["x-content-type-options"] == "nosniff"


def test_the_key_is_in_no_log_and_no_model_process(locked: Server) -> None:
    assert KEY not in locked.log
    assert KEY.encode() not in Path(f"/proc/{locked.model_pid()}/environ").read_bytes()
    assert "no COSMOS_API_KEY" not in locked.log


def test_who_serves_everybody_is_warned_once(server: Server) -> None:
    assert server.log.count("no COSMOS_API_KEY is set") == 1


def test_a_killed_server_s_folders_are_swept(tiny_models: Path, tmp_path: Path) -> None:
    body = {"prompt": "a robot", "inference_type": "text2world", "resolution": "64,64", "num_output_frames": 5}
    with running_server(tiny_models / "predict2.5", tmp_path) as server:
        server.wait_until_ready()
        assert server.client.post("/v1/videos", json={**body, "num_steps": 150}).status_code == 202
        assert list(tmp_path.glob("job-*"))
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(30)
    assert list(tmp_path.glob("job-*"))
    with running_server(tiny_models / "predict2.5", tmp_path) as server:
        server.wait_until_ready()
        assert not list(tmp_path.glob("job-*"))
    assert not list(tmp_path.glob("cosmos-serve-*"))
