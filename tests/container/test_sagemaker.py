"""SageMaker's headers and routes at the real server: attributes, other faces, repeats, streams, lengths."""

import json
import threading
from typing import Any

import httpx2
import pytest

from tests.conftest import Server
from tests.container.test_life import LONG, wait_for_line

pytestmark = pytest.mark.model

TINY = {"prompt": "a robot", "resolution": "64,96", "num_output_frames": 5, "num_steps": 1}
WORDS = {"model": "reason2", "prompt": "Say something.", "max_tokens": 3, "temperature": 0}
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
STREAM_CALL = {"X-Amzn-SageMaker-Forwarded-Api": "InvokeEndpointWithResponseStream"}


def invoke(server: Server, body: Any, **headers: str) -> httpx2.Response:
    return server.client.post("/invocations", json=body, headers=headers)


def test_a_route_reaches_any_face(server: Server) -> None:
    chat = {"model": "reason2", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
    assert invoke(server, chat, **{ATTRIBUTES: "route=/v1/chat/completions"}).json()["object"] == "chat.completion"
    assert invoke(server, TINY, **{ATTRIBUTES: "route=/v1/infer"}).json()["b64_video"]
    listed = server.client.post("/invocations", headers={ATTRIBUTES: "route=/v1/models"})
    assert [each["id"] for each in listed.json()["data"]] == ["predict2.5", "reason2"]
    assert listed.headers[ATTRIBUTES] == "route=/v1/models"
    planned = invoke(server, TINY, **{ATTRIBUTES: '{"route": "/plan"}', "Accept": "text/plain"})
    assert "predict2.5" in planned.text


def test_a_job_by_its_routes(server: Server) -> None:
    made = invoke(server, TINY, **{ATTRIBUTES: "route=/v1/videos"})
    assert made.status_code == 202
    job_id = made.json()["id"]
    found = server.client.post("/invocations", headers={ATTRIBUTES: f"route=/v1/videos/{job_id}"})
    assert found.json()["id"] == job_id
    gone = server.client.post("/invocations", headers={ATTRIBUTES: f"route=/v1/videos/{job_id},method=DELETE"})
    assert gone.json()["object"] == "video.deleted"


def test_a_route_that_is_none(server: Server) -> None:
    assert invoke(server, WORDS, **{ATTRIBUTES: "route=/v2/all"}).status_code == 404
    refused = invoke(server, WORDS, **{ATTRIBUTES: "route=v1/models"})
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, ATTRIBUTES)


@pytest.mark.parametrize(
    ("method", "path", "says"),
    [
        ("GET", "/models", "multi-model"),
        ("POST", "/models/a/invoke", "multi-model"),
        ("POST", "/adapters", "lora"),
        ("GET", "/invocations-bidirectional-stream", "text/event-stream"),
    ],
)
def test_what_is_not_served_says_so(server: Server, method: str, path: str, says: str) -> None:
    response = server.client.request(method, path)
    assert (response.status_code, response.json()["error"]["type"]) == (404, "not_served")
    assert says in response.json()["error"]["message"]


@pytest.mark.parametrize("header", ["X-Amzn-SageMaker-Session-Id", "X-Amzn-SageMaker-Adapter-Identifier"])
def test_a_header_that_asks_for_what_is_not_served(server: Server, header: str) -> None:
    response = invoke(server, WORDS, **{header: "NEW_SESSION"})
    assert (response.status_code, response.json()["error"]["field"]) == (400, header)


def test_a_lost_caller_with_an_inference_id_finds_his_job_again(server: Server) -> None:
    mark = len(server.log)
    key = {INFERENCE_ID: "lost-1", "Accept": "text/event-stream"}
    with server.client.stream("POST", "/invocations", json=LONG, headers=key) as response:
        for line in response.iter_lines():
            if '"denoise","step":2' in line:
                break
    again = invoke(server, LONG, **{INFERENCE_ID: "lost-1"})
    assert again.status_code == 200
    once_more = invoke(server, LONG, **{INFERENCE_ID: "lost-1", "Accept": "video/mp4"})
    assert once_more.headers["x-cosmos-job-id"] == again.json()["job_id"]
    assert server.log.count("accepted for", mark) == 1
    assert "cancelled" not in server.log[mark:]


def test_two_at_the_same_time_share_one_job(server: Server) -> None:
    answers: list[httpx2.Response] = []
    ask = lambda: answers.append(invoke(server, TINY, **{INFERENCE_ID: "twice-1"}))  # noqa: E731
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.json()["job_id"] for answer in answers}) == 1


def test_an_inference_id_of_another_request(server: Server) -> None:
    assert invoke(server, WORDS, **{INFERENCE_ID: "mine"}).status_code == 200
    other = invoke(server, {**WORDS, "max_tokens": 2}, **{INFERENCE_ID: "mine"})
    assert (other.status_code, other.json()["error"]["type"]) == (409, "repeat_differs")
    too_long = invoke(server, WORDS, **{INFERENCE_ID: "x" * 65})
    assert (too_long.status_code, too_long.json()["error"]["field"]) == (400, INFERENCE_ID)


def test_a_request_that_was_refused_leaves_its_inference_id_free(server: Server) -> None:
    assert invoke(server, {**TINY, "num_steps": 0}, **{INFERENCE_ID: "free"}).status_code == 400
    assert invoke(server, WORDS, **{INFERENCE_ID: "free"}).status_code == 200


def lines_of(response: httpx2.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in response.text.split("\n") if line]


def test_one_job_as_json_lines(server: Server) -> None:
    response = invoke(server, TINY, Accept="application/jsonlines")
    told = lines_of(response)
    assert told[0]["event"] == "accepted"
    assert {"denoise", "decode"} <= {each["stage"] for each in told if each["event"] == "progress"}
    assert (told[-1]["event"], told[-1]["media_type"]) == ("result", "video/mp4")
    assert response.content.isascii()


def test_who_called_for_a_stream_gets_one(server: Server) -> None:
    response = invoke(server, WORDS, **STREAM_CALL)
    assert response.headers["content-type"].startswith("text/event-stream")
    told = invoke(server, [WORDS, {"prompt": 3}], **STREAM_CALL, Accept="application/jsonlines")
    assert "content-length" not in told.headers
    assert ["error" in each for each in lines_of(told)] == [False, True]
    events = invoke(server, [WORDS, WORDS], Accept="text/event-stream").text
    assert events.count("event: result") == 2
    assert events.endswith("event: end\ndata: {}\n\n")


def test_execution_parameters_are_true(server: Server) -> None:
    told = server.client.get("/execution-parameters").json()
    assert told == {"MaxConcurrentTransforms": 1, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 100}


def test_a_step_is_seen_while_the_job_runs(server: Server) -> None:
    mark = len(server.log)
    with server.client.stream("POST", "/invocations", json=LONG, headers={"Accept": "application/jsonlines"}) as lines:
        for line in lines.iter_lines():
            if '"step":2' in line and '"denoise"' in line:
                break
    wait_for_line(server, "cancelled in denoise", after=mark)
