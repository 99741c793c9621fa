"""Fetching through the real process: what comes over the wall, the environment it gets, S3 by its real protocol."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cosmos_handler.errors import InvalidField, MediaError, RequestError, TooLarge
from cosmos_handler.media.fetching import Fetching
from cosmos_handler.media.rules import FetchRules
from tests.conftest import free_port
from tests.media.web import Answer, Web, make_certificate, serving

DATA = b"\x89PNG\r\n\x1a\n" + bytes(5000)
SECRET = "X-Amz-Signature=secret"


def fetch(address: str, folder: Path, fetching: Fetching, *, max_bytes: int = 10_000) -> bytes:
    output = folder / "out"
    asyncio.run(fetching.fetch(address, output, field="image", max_bytes=max_bytes))
    return output.read_bytes()


def refused(
    address: str, folder: Path, fetching: Fetching, error: type[RequestError], *, max_bytes: int = 10_000
) -> str:
    with pytest.raises(error) as caught:
        fetch(address, folder, fetching, max_bytes=max_bytes)
    assert getattr(caught.value, "field", None) == "image"
    assert "secret" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Web, Fetching]]:
    certificate = make_certificate(tmp_path / "cert.pem", "127.0.0.1")
    with serving(certificate=certificate) as web:
        web.answers["/a.png"] = Answer(headers={"Content-Length": str(len(DATA))}, pieces=(DATA,))
        rules = FetchRules(("127.0.0.1", "localhost"), (web.port,), ("127.0.0.1/32",), ca_bundle=str(certificate))
        yield web, Fetching(rules)


def test_a_web_address(web: tuple[Web, Fetching], tmp_path: Path) -> None:
    server, fetching = web
    base = f"https://127.0.0.1:{server.port}"
    assert fetch(f"{base}/a.png?{SECRET}", tmp_path, fetching) == DATA
    assert "answers 404" in refused(f"{base}/no?{SECRET}", tmp_path, fetching, MediaError)
    assert "larger than the 100 bytes" in refused(f"{base}/a.png", tmp_path, fetching, TooLarge, max_bytes=100)
    assert "not allowed" in refused(f"https://a.test/?{SECRET}", tmp_path, fetching, InvalidField)
    closed = replace(fetching, rules=replace(fetching.rules, networks=()))
    visits = len(server.seen)
    # Both names are on the list, and both lie inside.
    assert "outside the public" in refused(f"{base}/a.png", tmp_path, closed, InvalidField)
    inside = refused(f"https://localhost:{server.port}/a.png?{SECRET}", tmp_path, closed, InvalidField)
    assert "outside the public internet" in inside
    assert len(server.seen) == visits


def test_a_server_that_drips_is_cut_off(web: tuple[Web, Fetching], tmp_path: Path) -> None:
    server, fetching = web
    server.answers["/drip"] = Answer(pieces=(b"x", 0.1) * 1000)
    short = replace(fetching, rules=replace(fetching.rules, fetch_seconds=1))
    began = time.monotonic()
    assert "within 1 seconds" in refused(f"https://127.0.0.1:{server.port}/drip", tmp_path, short, MediaError)
    assert time.monotonic() - began < 20


def test_the_environment_of_the_process_is_what_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "a-secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\ncat > /dev/null; env > {tmp_path}/environment; echo '{{}}'\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    fetching = Fetching(FetchRules(buckets=("*",)), {"AWS_DEFAULT_REGION": "eu-west-1"})
    asyncio.run(fetching.fetch("s3://bucket/key", tmp_path / "out", field="image", max_bytes=1))
    names = {line.split("=")[0] for line in (tmp_path / "environment").read_text().splitlines()}
    expected = {"PATH", "PYTHONPATH", "OPENBLAS_NUM_THREADS", "AWS_DEFAULT_REGION"}
    assert names - {"PWD", "SHLVL", "_"} == expected


def test_files_of_the_allowed_folder_and_of_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/a b.png").write_bytes(DATA)
    (tmp_path / "outside.png").write_bytes(DATA)
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    (folder / "way").symlink_to(tmp_path)
    (folder / "inner.png").symlink_to("sub/a b.png")
    os.mkfifo(folder / "pipe")
    fetching = Fetching(FetchRules(folder=str(folder)))
    assert fetch(f"file://{folder}/sub/a%20b.png", tmp_path, fetching) == DATA
    assert fetch(f"file://{folder}/inner.png", tmp_path, fetching) == DATA
    for out in ("link.png", "way/outside.png"):
        assert "leads out" in refused(f"file://{folder}/{out}", tmp_path, fetching, InvalidField)
    for none in ("missing.png", "sub", "pipe", "sub/a b.png/x"):
        address = f"file://{folder}/{none}".replace(" ", "%20")
        assert "cannot be read" in refused(address, tmp_path, fetching, MediaError)
    assert "larger than" in refused(f"file://{folder}/sub/a%20b.png", tmp_path, fetching, TooLarge, max_bytes=100)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """moto's server with one bucket; the environment that leads to it."""
    port = free_port()
    log = (tmp_path_factory.mktemp("moto") / "log").open("wb")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=log, stderr=log)
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        _fill(environment)
        yield environment
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def _fill(environment: dict[str, str]) -> None:
    code = (
        "import boto3; from botocore.config import Config; "
        "c = boto3.client('s3', config=Config(retries={'total_max_attempts': 9, 'mode': 'standard'})); "
        "c.create_bucket(Bucket='media'); "
        f"c.put_object(Bucket='media', Key='in/a b?.png', Body={DATA!r})"
    )
    deadline = time.monotonic() + 60
    while subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment}).returncode:
        assert time.monotonic() < deadline
        time.sleep(0.5)


def s3_fetching(environment: dict[str, str], *buckets: str) -> Fetching:
    return Fetching(FetchRules(buckets=buckets or ("*",)), environment)


def test_an_object(s3: dict[str, str], tmp_path: Path) -> None:
    fetching = s3_fetching(s3)
    assert fetch("s3://media/in/a b?.png", tmp_path, fetching) == DATA
    assert "larger than" in refused("s3://media/in/a b?.png", tmp_path, fetching, TooLarge, max_bytes=5000)
    assert "no such object" in refused("s3://media/in/missing.png", tmp_path, fetching, MediaError)
    assert "no such object" in refused("s3://no-such-bucket/a.png", tmp_path, fetching, MediaError)
    assert fetch("s3://media/in/a b?.png", tmp_path, s3_fetching(s3, "media")) == DATA
    assert "not allowed" in refused("s3://media/in/a b?.png", tmp_path, s3_fetching(s3, "other"), InvalidField)


def test_a_role_that_may_not(tmp_path: Path) -> None:
    body = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>secret</Message></Error>"
    with serving() as web:
        web.answers["/media/a.png"] = Answer(403, {"Content-Length": str(len(body))}, (body,))
        environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{web.port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
        }
        assert "may not read" in refused("s3://media/a.png", tmp_path, s3_fetching(environment), MediaError)


def test_without_credentials_or_a_way_to_s3(s3: dict[str, str], tmp_path: Path) -> None:
    endpoint = {"AWS_ENDPOINT_URL": s3["AWS_ENDPOINT_URL"], "AWS_EC2_METADATA_DISABLED": "true"}
    assert "no credentials" in refused("s3://media/a.png", tmp_path, s3_fetching(endpoint), MediaError)
    closed = {**s3, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}
    assert "cannot be reached" in refused("s3://media/a.png", tmp_path, s3_fetching(closed), MediaError)
