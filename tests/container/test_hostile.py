"""The whole corpus of `scripts/make_hostile.py` against a real server: 4xx, or 200 for what is sound after all."""

import base64
import contextlib
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Server, forget_jobs

_ASKED = {"prompt": "x", "max_tokens": 1}
# As many as are decoded at the same time.
_CALLERS = 2


def made_in(folder: Path) -> Path:
    """The corpus, written by the script itself."""
    command = [sys.executable, str(ROOT / "scripts/make_hostile.py"), "--out", str(folder), "--seed", "7"]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, f"{made.returncode}: {made.stderr[-2000:]}"
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_in(tmp_path_factory.mktemp("hostile"))


def entries(corpus: Path, kind: str) -> list[dict[str, str]]:
    index = json.loads((corpus / "index.json").read_text())
    assert len(index) >= 300
    assert {file.name for file in corpus.iterdir()} == {"index.json", *(entry["file"] for entry in index)}
    return [entry for entry in index if entry["kind"] == kind]


def post(server: Server, data: bytes, content_type: str) -> tuple[int, bytes]:
    """One request on a connection of its own."""
    url = server.client.base_url
    connection = http.client.HTTPConnection(url.host, url.port, timeout=60)
    try:
        connection.putrequest("POST", "/invocations")
        if content_type:
            connection.putheader("Content-Type", content_type)
        connection.putheader("Content-Length", str(len(data)))
        connection.endheaders()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # answered before it had all been sent
            connection.send(data)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def multipart(fields: dict[str, Any], name: str, data: bytes) -> tuple[bytes, str]:
    head = "--edge\r\nContent-Disposition: form-data; name="
    texts = "".join(f'{head}"{key}"\r\n\r\n{value}\r\n' for key, value in fields.items())
    file = f'{head}"{name}"; filename="{name}.bin"\r\n\r\n'
    return (texts + file).encode() + data + b"\r\n--edge--\r\n", "multipart/form-data; boundary=edge"


def as_body(entry: dict[str, str], number: int, data: bytes) -> tuple[bytes, str]:
    """A medium in one of the three ways of sending it."""
    name, way = entry["kind"], number % 3
    if way == 2:
        return multipart(_ASKED, name, data)
    plain = base64.b64encode(data).decode()
    return json.dumps(
        {**_ASKED, name: plain if way else f"data:{name}/any;base64,{plain}"}
    ).encode(), "application/json"


def outcomes(server: Server, bodies: Sequence[tuple[str, bytes, str]]) -> dict[str, tuple[int, bytes]]:
    with ThreadPoolExecutor(_CALLERS) as callers:
        answers = callers.map(lambda body: post(server, body[1], body[2]), bodies)
        return dict(zip((name for name, _, _ in bodies), answers, strict=True))


def decoders(server: Server) -> list[str]:
    """Children of the server that are not the model process."""
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [child for child in children if b"cosmos_handler.media" in Path(f"/proc/{child}/cmdline").read_bytes()]


def folders_of_jobs(server: Server) -> set[str]:
    """Other tests may have left some: answers to requests that may come again are kept."""
    return {path.name for path in server.log_path.parent.iterdir() if path.name.startswith("job-")}


def check(server: Server, found: dict[str, tuple[int, bytes]], model_pid: int, before: set[str]) -> None:
    bad = {name: answer for name, answer in found.items() if answer[0] != 200 and not 400 <= answer[0] < 500}
    assert not bad
    assert not {name for name, (status, _) in found.items() if status in (401, 403, 408, 429, 499)}
    assert server.client.get("/ping").status_code == 200
    assert server.model_pid() == model_pid
    deadline = time.monotonic() + 20
    while decoders(server):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    forget_jobs(server)
    assert folders_of_jobs(server) <= before
    assert "unexpected fault" not in server.log


@pytest.mark.parametrize("kind", ["image", "video"])
def test_media(server: Server, corpus: Path, kind: str) -> None:
    model_pid, before = server.model_pid(), folders_of_jobs(server)
    bodies = [
        (entry["file"], *as_body(entry, number, (corpus / entry["file"]).read_bytes()))
        for number, entry in enumerate(entries(corpus, kind))
    ]
    found = outcomes(server, bodies)
    check(server, found, model_pid, before)
    # Not everything is refused out of hand: some are harmless after all.
    assert any(status == 200 for status, _ in found.values())
    told = [json.loads(answer)["error"] for status, answer in found.values() if status != 200]
    assert {error["type"] for error in told} <= {"invalid_media", "too_large", "invalid_field"}
    assert {error["field"] for error in told} == {kind}


def test_bodies(server: Server, corpus: Path) -> None:
    model_pid, before = server.model_pid(), folders_of_jobs(server)
    listed = entries(corpus, "body")
    bodies = [(entry["file"], (corpus / entry["file"]).read_bytes(), entry["content_type"]) for entry in listed]
    check(server, outcomes(server, bodies), model_pid, before)


def parting(one: bytes, other: bytes) -> int:
    """The first byte that is not the same."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def test_the_same_seed_gives_the_same_files(corpus: Path, tmp_path: Path) -> None:
    """Where they are not, it says which, and at which byte they part: that shows whose doing it is."""
    again = made_in(tmp_path)
    assert {file.name for file in again.iterdir()} == {file.name for file in corpus.iterdir()}
    parted = {
        file.name: parting(file.read_bytes(), (again / file.name).read_bytes())
        for file in corpus.iterdir()
        if file.read_bytes() != (again / file.name).read_bytes()
    }
    assert parted == {}
