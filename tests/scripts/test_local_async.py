"""Asynchronous calls through the front door: plain boto3, moto's S3, and a small container."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from scripts.local.door import Limits, make_door
from scripts.local.objects import Objects
from scripts.local.queue import Destination
from tests.s3 import S3, running_s3
from tests.scripts.test_local_endpoint import running


async def invocations(request: Request) -> Response:
    body = await request.body()
    if body == b"fail":
        return JSONResponse({"error": {"message": "no such thing"}}, 400)
    if body == b"chunked":
        return StreamingResponse(iter([b"a", b"b"]))
    if body == b"headers":
        return Response(b"x", headers={"X-Long": "l" * 4096})
    wanted = ("accept", "content-type", "x-amzn-sagemaker-inference-id", "content-length")
    return JSONResponse({name: request.headers.get(name) for name in wanted})


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with running_s3(tmp_path_factory.mktemp("s3"), "bucket") as found:
        yield found


@pytest.fixture(scope="module")
def runtime(s3: S3) -> Iterator[Any]:
    destination = Destination("s3://bucket/out", "s3://bucket/failed", 2)
    with running(Starlette(routes=[Route("/invocations", invocations, methods=["POST"])])) as container:
        door = make_door(container, Limits(), destination, Objects(s3.client()))
        with running(door) as url:
            yield boto3.client(
                "sagemaker-runtime",
                endpoint_url=url,
                region_name="us-east-1",
                aws_access_key_id="x",
                aws_secret_access_key="x",
            )


def there(s3: S3, address: str) -> bytes:
    deadline = time.monotonic() + 30
    while True:
        try:
            data: bytes = s3.object(address)["Body"].read()
        except ClientError:
            assert time.monotonic() < deadline, address
            time.sleep(0.05)
        else:
            return data


def test_an_object_in_and_an_object_out(runtime: Any, s3: S3) -> None:
    s3.client().put_object(Bucket="bucket", Key="in/body.json", Body=b"hello")
    told = runtime.invoke_endpoint_async(
        EndpointName="e",
        InputLocation="s3://bucket/in/body.json",
        ContentType="application/json",
        Accept="video/mp4",
        InferenceId="mine",
    )
    assert told["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert told["InferenceId"] == "mine"
    answer = there(s3, told["OutputLocation"])
    for word in (b'"video/mp4"', b'"application/json"', b'"mine"', b'"content-length":"5"'):
        assert word in answer


def test_a_body_inline_and_a_name_for_its_answer(runtime: Any, s3: S3) -> None:
    told = runtime.invoke_endpoint_async(EndpointName="e", Body=b"{}", Filename="a.mp4", S3OutputPathExtension="day")
    assert told["OutputLocation"] == "s3://bucket/out/day/a.mp4"
    assert told["InferenceId"].encode() in there(s3, told["OutputLocation"])


@pytest.mark.parametrize(
    ("body", "says"),
    [(b"fail", b"no such thing"), (b"chunked", b"Content-Length"), (b"headers", b"headers of the answer")],
)
def test_a_failure_is_an_object_of_its_own(runtime: Any, s3: S3, body: bytes, says: bytes) -> None:
    told = runtime.invoke_endpoint_async(EndpointName="e", Body=body)
    assert says in there(s3, told["FailureLocation"])
    assert told["OutputLocation"].removeprefix("s3://bucket/") not in s3.keys("bucket")


def test_an_input_that_is_not_there(runtime: Any, s3: S3) -> None:
    told = runtime.invoke_endpoint_async(EndpointName="e", InputLocation="s3://bucket/nothing")
    assert b"cannot be read" in there(s3, told["FailureLocation"])


def test_an_input_over_a_gigabyte_is_not_taken(runtime: Any, s3: S3, tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**30 + 1)
    told = runtime.invoke_endpoint_async(EndpointName="e", InputLocation=str(tmp_path / "large"))
    assert b"has 1073741825 bytes; 1073741824 are taken" in there(s3, told["FailureLocation"])


@pytest.mark.parametrize("asked", [{}, {"Body": b"x" * 128_001}, {"Body": b"x", "InputLocation": "s3://bucket/a"}])
def test_what_the_platform_refuses(runtime: Any, asked: dict[str, Any]) -> None:
    with pytest.raises(ClientError):
        runtime.invoke_endpoint_async(EndpointName="e", **asked)


def test_without_a_place_for_answers_there_are_no_asynchronous_calls(tmp_path: Path) -> None:
    with running(make_door("http://127.0.0.1:9", Limits())) as url:
        client = boto3.client(
            "sagemaker-runtime", endpoint_url=url, region_name="x", aws_access_key_id="x", aws_secret_access_key="x"
        )
        with pytest.raises(ClientError, match="--async-output-s3-uri"):
            client.invoke_endpoint_async(EndpointName="e", Body=b"{}")
