"""The OpenAI-compatible front door passes /v1/chat/completions on as it is; `model` may be empty."""

import json

import httpx2
import pytest

from tests.conformance.container import Container, is_refusal, says
from tests.conformance.sections import section

pytestmark = [pytest.mark.model, section("1.13")]


def chat(container: Container, **changes: object) -> httpx2.Response:
    response = container.client.post("/v1/chat/completions", json={**json.loads(container.chat), **changes})
    if not container.is_ours and response.status_code == 404:
        pytest.skip("this container has no such route, which is left to it")
    return response


def test_a_chat_with_an_empty_model(container: Container) -> None:
    assert json.loads(container.chat)["model"] == ""
    response = chat(container)
    assert response.status_code == 200, says(response)
    assert int(response.headers["content-length"]) == len(response.content)
    told = response.json()
    assert told["object"] == "chat.completion"
    (choice,) = told["choices"]
    assert (choice["index"], choice["message"]["role"]) == (0, "assistant")
    assert isinstance(choice["message"]["content"], str)
    assert choice["finish_reason"] in {"stop", "length", "tool_calls", "content_filter"}


def test_a_chat_as_a_stream(container: Container) -> None:
    response = chat(container, stream=True)
    assert response.status_code == 200, says(response)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["transfer-encoding"] == "chunked"
    data = [line.removeprefix("data: ") for line in response.text.split("\n") if line.startswith("data: ")]
    assert data.pop() == "[DONE]"
    pieces = [json.loads(each) for each in data]
    assert {piece["object"] for piece in pieces} == {"chat.completion.chunk"}
    ends = [choice["finish_reason"] for piece in pieces for choice in piece["choices"] if choice["finish_reason"]]
    assert len(ends) == 1


@pytest.mark.parametrize("changes", [{"messages": "hello"}, {"messages": []}, {"max_tokens": "many"}])
def test_a_bad_chat_has_a_real_status(container: Container, changes: dict[str, object]) -> None:
    for stream in (False, True):
        assert is_refusal(response := chat(container, **changes, stream=stream)), says(response)
        assert response.json()["error"]["message"]
