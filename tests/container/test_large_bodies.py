"""Bodies of 900 MB over the real server: they go to the disk piece by piece, and are gone once they were answered."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import httpx2
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.conftest import ROOT, Server, free_port, running_server
from tests.container.media import png
from tests.s3 import S3, running_s3

SIZE_BYTES = 900 * 10**6
MIB = 2**20
PIECE = bytes(MIB)
HEAD = b"\x00\x00\x00\x20ftypisom"  # of an MP4, of which nothing else is there
FIELDS = {"inference_type": "reasoner", "model": "reason2", "prompt": "What moves?", "max_tokens": 2}


@pytest.fixture(scope="module")
def roomy(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose memory for bodies is less than one large body."""
    limits = {"COSMOS_MAX_JSON_BYTES": "1000000", "COSMOS_MAX_BODIES_BYTES": "20000000"}
    with running_server(tiny_models, tmp_path_factory.mktemp("large"), **limits) as server:
        server.wait_until_ready()
        yield server


def medium() -> Iterator[bytes]:
    """It, as it is generated."""
    yield HEAD
    for start in range(len(HEAD), SIZE_BYTES, MIB):
        yield PIECE[: SIZE_BYTES - start]


def form() -> Iterator[bytes]:
    """The same in a form, with its JSON beside it."""
    request = json.dumps({**FIELDS, "video": "a/large.mp4"})
    yield f'--x\r\nContent-Disposition: form-data; name="request"\r\n\r\n{request}\r\n'.encode()
    yield b'--x\r\nContent-Disposition: form-data; name="a/large.mp4"; filename="large.mp4"\r\n\r\n'
    yield from medium()
    yield b"\r\n--x--\r\n"


def status(process: subprocess.Popen[bytes], key: str) -> int:
    """One line of a process's status, in bytes."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(rf"^{key}:\s+(\d+) kB$", text, re.MULTILINE)
    assert found
    return int(found[1]) * 1024


@contextmanager
def memory_stays_below(added_bytes: int, *processes: subprocess.Popen[bytes]) -> Iterator[None]:
    """Their peaks in the block are less than that above what they have before it."""
    before = []
    for process in processes:
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak begins anew
        before.append(status(process, "VmRSS"))
    yield
    added = [status(process, "VmHWM") - had for process, had in zip(processes, before, strict=True)]
    assert max(added) < added_bytes, f"{[f'{each / MIB:.1f} MiB' for each in added]}"


def spooled(server: Server) -> list[str]:
    return [path.name for path in server.log_path.parent.iterdir() if path.name.startswith(("spool-", "job-"))]


def await_nothing_spooled(server: Server) -> None:
    """The answer comes before its body is removed."""
    deadline = time.monotonic() + 30
    while spooled(server) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert spooled(server) == []


RAW = {"Content-Type": "video/mp4", "X-Amzn-SageMaker-Custom-Attributes": json.dumps(FIELDS)}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize(("body", "headers"), [(medium, RAW), (form, FORM)], ids=["raw", "form"])
def test_a_large_body_is_not_held_in_memory(roomy: Server, body: Any, headers: dict[str, str]) -> None:
    with memory_stays_below(50 * MIB, roomy.process):
        response = roomy.client.post("/invocations", content=body(), headers=headers)
    error = response.json()["error"]
    # All of it was there, and went as far as the decoder, which finds nothing in it.
    assert (response.status_code, error["type"]) == (400, "invalid_media"), error
    assert error["field"] == "video"
    await_nothing_spooled(roomy)


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


def test_nor_is_one_that_comes_asynchronously(roomy: Server, s3: S3, tmp_path: Path) -> None:
    """A raw one from S3, and a form from a file; the front door on a desk holds neither."""
    with Path(written(medium(), tmp_path / "raw")).open("rb") as file:
        s3.client().put_object(Bucket="bucket", Key="raw.mp4", Body=file)
    sent = [
        {"InputLocation": "s3://bucket/raw.mp4", "CustomAttributes": json.dumps(FIELDS), "ContentType": "video/mp4"},
        {"InputLocation": written(form(), tmp_path / "form"), "ContentType": FORM["Content-Type"]},
    ]
    with asynchronous(str(roomy.client.base_url), s3) as (door, client):
        for each in sent:
            with memory_stays_below(50 * MIB, roomy.process, door):
                told = client.invoke_endpoint_async(EndpointName="e", **each)
                failure = awaited(s3, told["FailureLocation"])
            assert "(400)" in failure
            assert "invalid_media" in failure
            await_nothing_spooled(roomy)


def test_json_has_a_limit_of_its_own(roomy: Server) -> None:
    large = json.dumps({**FIELDS, "prompt": "x" * 10**6}).encode()
    files = {"request": ("request.json", large, "application/json")}
    for response in (
        roomy.client.post("/invocations", content=large, headers={"Content-Type": "application/json"}),
        roomy.client.post("/invocations", content=large, headers={"Content-Type": "application/jsonlines"}),
        roomy.client.post("/invocations", files=files),
    ):
        assert (response.status_code, response.json()["error"]["type"]) == (413, "too_large")
        assert "1000000" in response.json()["error"]["message"]
    await_nothing_spooled(roomy)


def test_a_picture_is_a_body(roomy: Server) -> None:
    query = {**FIELDS, "max_tokens": "2"}
    headers = {"Content-Type": "application/octet-stream"}
    response = roomy.client.post("/invocations", params=query, content=png(), headers=headers)
    assert response.status_code == 200, response.text
    assert response.json()["model"] == "reason2"


def test_a_job_that_outlives_its_request_has_its_medium(roomy: Server) -> None:
    """With a picture that is large enough to lie on the disk: what comes after its end is not looked at."""
    picture = png() + bytes(10**5)
    data = {"model": "predict2.5", "prompt": "a robot", "size": "64x64", "num_steps": "1", "num_output_frames": "5"}
    created = roomy.client.post("/v1/videos", data=data, files={"input_reference": ("a.png", picture, "image/png")})
    assert created.status_code == 202, created.text
    job_id = created.json()["id"]
    deadline = time.monotonic() + 60
    while roomy.client.get(f"/v1/videos/{job_id}").json()["status"] not in ("completed", "failed"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert roomy.client.get(f"/v1/videos/{job_id}").json()["status"] == "completed"
    (folder,) = (path for path in roomy.log_path.parent.iterdir() if path.name.startswith("job-"))
    assert len(list(folder.iterdir())) == 1  # the result
    roomy.client.delete(f"/v1/videos/{job_id}")
    await_nothing_spooled(roomy)


def test_whoever_hangs_up_leaves_nothing(roomy: Server) -> None:
    def some() -> Iterator[bytes]:
        yield from (HEAD, *[PIECE] * 8)
        raise httpx2.ReadError("enough")

    with pytest.raises(httpx2.ReadError, match="enough"):
        roomy.client.post("/invocations", content=some(), headers={"Content-Type": "video/mp4"})
    await_nothing_spooled(roomy)
    assert "unexpected fault" not in roomy.log
