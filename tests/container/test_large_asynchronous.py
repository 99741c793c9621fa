"""Bodies of 900 MB through the front door's asynchronous path: from S3 or a file to the server, held by nobody."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.conformance.large import FIELDS, await_nothing_spooled, form, medium, status_bytes
from tests.conftest import ROOT, Server, free_port, running_server
from tests.s3 import S3, running_s3

SIZE_BYTES = 900 * 10**6
MIB = 2**20
FORM = "multipart/form-data; boundary=x"


@pytest.fixture(scope="module")
def roomy(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tiny_models, tmp_path_factory.mktemp("large")) as server:
        server.wait_until_ready()
        yield server


@contextmanager
def memory_stays_below(added_bytes: int, *processes: subprocess.Popen[bytes]) -> Iterator[None]:
    """Their peaks in the block are less than that above what they have before it."""
    before = [status_bytes(process.pid, "VmRSS", begin_anew=True) for process in processes]
    yield
    added = [status_bytes(process.pid, "VmHWM") - had for process, had in zip(processes, before, strict=True)]
    assert max(added) < added_bytes, f"{[f'{each / MIB:.1f} MiB' for each in added]}"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with running_s3(tmp_path_factory.mktemp("s3"), "bucket") as found:
        yield found


@contextmanager
def asynchronous(url: str, s3: S3) -> Iterator[tuple[subprocess.Popen[bytes], Any]]:
    """The front door on a desk as a process, and a client of it that has made its first call."""
    port = free_port()
    command = [sys.executable, str(ROOT / "scripts" / "local_endpoint.py"), "--url", url, "--port", str(port)]
    process = subprocess.Popen([*command, "--async-output-s3-uri", "s3://bucket/out"], env=os.environ | s3.environment)
    client = boto3.client(
        "sagemaker-runtime",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(proxies={}),
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                told = client.invoke_endpoint_async(EndpointName="e", Body=b"{}", ContentType="application/json")
                break
            except EndpointConnectionError:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.1)
        awaited(s3, told["FailureLocation"])
        yield process, client
    finally:
        process.terminate()
        process.wait(30)


def awaited(s3: S3, address: str) -> str:
    deadline = time.monotonic() + 60
    while True:
        try:
            data: bytes = s3.object(address)["Body"].read()
        except ClientError:
            assert time.monotonic() < deadline, address
            time.sleep(0.1)
        else:
            return data.decode()


def written(pieces: Iterable[bytes], path: Path) -> str:
    with path.open("wb") as file:
        file.writelines(pieces)
    return str(path)


def test_neither_the_server_nor_the_door_holds_a_large_body(roomy: Server, s3: S3, tmp_path: Path) -> None:
    """A raw one from S3, and a form from a file; the front door on a desk holds neither."""
    with Path(written(medium(SIZE_BYTES), tmp_path / "raw")).open("rb") as file:
        s3.client().put_object(Bucket="bucket", Key="raw.mp4", Body=file)
    sent = [
        {"InputLocation": "s3://bucket/raw.mp4", "CustomAttributes": json.dumps(FIELDS), "ContentType": "video/mp4"},
        {
            "InputLocation": written(form(SIZE_BYTES), tmp_path / "form"),
            "ContentType": "multipart/form-data; boundary=x",
        },
    ]
    with asynchronous(str(roomy.client.base_url), s3) as (door, client):
        for each in sent:
            with memory_stays_below(50 * MIB, roomy.process, door):
                told = client.invoke_endpoint_async(EndpointName="e", **each)
                failure = awaited(s3, told["FailureLocation"])
            assert "(400)" in failure
            assert "invalid_media" in failure
            await_nothing_spooled(roomy)
