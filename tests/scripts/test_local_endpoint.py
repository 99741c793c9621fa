"""boto3 and the OpenAI client, unchanged, through the front door to a small container."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
import uvicorn
from botocore.exceptions import ClientError, EventStreamError
from openai import APIError, BadRequestError, OpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from scripts.local.door import Limits, make_door

_LIMITS = Limits(answer_seconds=1, stream_seconds=1, payload_bytes=1000)


@contextmanager
def running(app: Any) -> Iterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


async def _invocations(request: Request) -> Response:
    body = await request.body()
    if body == b"bad":
        return Response("x" * 3000, 422)
    if body == b"slow":
        await asyncio.sleep(3)
    if body in (b"stream", b"endless"):
        return StreamingResponse(_pieces(body == b"endless"), media_type="text/event-stream")
    echo = {"x-amzn-sagemaker-custom-attributes": request.headers.get("x-amzn-sagemaker-custom-attributes", "")}
    return JSONResponse(dict(request.headers), headers=echo)


async def _pieces(endless: bool) -> AsyncIterator[bytes]:
    yield b"one "
    yield b"two"
    if endless:
        await asyncio.sleep(3)


async def _chat(request: Request) -> Response:
    asked = await request.json()
    if asked["messages"][0]["content"] == "bad":
        return JSONResponse({"error": {"message": "x" * 3000, "type": "invalid_field"}}, 400)
    if asked.get("stream"):
        return StreamingResponse(_chunks(asked["messages"][0]["content"]), media_type="text/event-stream")
    said = asked["model"]
    message = {"role": "assistant", "content": f"model is '{said}'"}
    return JSONResponse({"id": "1", "object": "chat.completion", "choices": [{"index": 0, "message": message}]})


async def _chunks(how: str) -> AsyncIterator[bytes]:
    """ "hello" as two events, cut where events are not; then it ends, lasts too long, or breaks."""
    for text in ("hel", "lo"):
        chunk = {"id": "1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]}
        data = f"data: {json.dumps(chunk)}\n\n".encode()
        yield data[:9]
        yield data[9:]
    if how == "endless":
        await asyncio.sleep(3)
    if how == "broken":
        raise ConnectionResetError
    yield b"data: [DONE]\n\n"


@pytest.fixture(scope="module")
def door() -> Iterator[str]:
    routes = [
        Route("/invocations", _invocations, methods=["POST"]),
        Route("/v1/chat/completions", _chat, methods=["POST"]),
    ]
    with running(Starlette(routes=routes)) as container, running(make_door(container, _LIMITS)) as address:
        yield address


@pytest.fixture(scope="module")
def runtime(door: str) -> Any:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    return boto3.client("sagemaker-runtime", endpoint_url=door, **keys)


def test_only_the_headers_of_the_contract_reach_the_container(runtime: Any) -> None:
    answer = runtime.invoke_endpoint(EndpointName="e", Body=b"x", Accept="video/mp4", CustomAttributes="a=b")
    seen = answer["Body"].read().decode()
    assert answer["CustomAttributes"] == "a=b"
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    assert '"accept":"video/mp4"' in seen
    assert '"x-amzn-sagemaker-forwarded-api":"InvokeEndpoint"' in seen
    assert "authorization" not in seen


@pytest.mark.parametrize(("body", "status", "length"), [(b"bad", 422, 2048), (b"slow", 0, None)])
@pytest.mark.parametrize("call", ["invoke_endpoint", "invoke_endpoint_with_response_stream"])
def test_a_failure_of_the_container_is_a_model_error(
    runtime: Any, call: str, body: bytes, status: int, length: int | None
) -> None:
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        getattr(runtime, call)(EndpointName="e", Body=body)
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert answer["OriginalStatusCode"] == status
    assert length is None or len(answer["OriginalMessage"]) == length
    assert answer["LogStreamArn"].startswith("arn:aws:logs:")


def test_a_body_over_the_limit_is_refused(runtime: Any) -> None:
    with pytest.raises(ClientError, match="ValidationError"):
        runtime.invoke_endpoint(EndpointName="e", Body=b"x" * 1001)


def test_a_stream_comes_as_payload_parts(runtime: Any) -> None:
    answer = runtime.invoke_endpoint_with_response_stream(EndpointName="e", Body=b"stream")
    assert answer["ContentType"].startswith("text/event-stream")
    assert b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"]) == b"one two"


def test_a_stream_over_its_time_ends_in_an_exception(runtime: Any) -> None:
    answer = runtime.invoke_endpoint_with_response_stream(EndpointName="e", Body=b"endless")
    with pytest.raises(EventStreamError, match="ModelStreamError"):
        list(answer["Body"])
    answer["Body"].close()  # botocore leaves it open after an exception


def test_accept_of_a_stream_call_reaches_the_container(runtime: Any) -> None:
    answer = runtime.invoke_endpoint_with_response_stream(EndpointName="e", Body=b"x", Accept="text/event-stream")
    assert b'"accept":"text/event-stream"' in b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"])


@pytest.mark.parametrize("place", ["/endpoints/e", "/endpoints/e/inference-components/c"])
def test_the_openai_client_with_an_empty_model(door: str, place: str) -> None:
    with OpenAI(base_url=door + place + "/openai/v1", api_key="x") as client:
        answer = client.chat.completions.create(model="", messages=[{"role": "user", "content": "hello"}])
    assert answer.choices[0].message.content == "model is ''"


@pytest.fixture
def chat(door: str) -> Iterator[Any]:
    """A call of the OpenAI client."""

    def create(content: str, **more: Any) -> Any:
        return client.chat.completions.create(model="", messages=[{"role": "user", "content": content}], **more)

    with OpenAI(base_url=door + "/endpoints/e/openai/v1", api_key="x", max_retries=0) as client:
        yield create


def test_the_openai_client_streams(chat: Any) -> None:
    assert [piece.choices[0].delta.content for piece in chat("hello", stream=True)] == ["hel", "lo"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_error_of_the_container_reaches_the_openai_client_as_it_is(chat: Any, stream: bool) -> None:
    with pytest.raises(BadRequestError) as caught:
        chat("bad", stream=stream)
    assert caught.value.response.json() == {"error": {"message": "x" * 3000, "type": "invalid_field"}}


@pytest.mark.parametrize(("content", "says"), [("endless", "longer than"), ("broken", "ended the connection")])
def test_a_stream_that_cannot_go_on_is_no_whole_one(chat: Any, content: str, says: str) -> None:
    stream = chat(content, stream=True)
    assert [next(stream).choices[0].delta.content for _ in range(2)] == ["hel", "lo"]
    with pytest.raises(APIError, match=says):
        next(stream)
