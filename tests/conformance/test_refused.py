"""What only some containers serve is refused in so many words, never half done: no success, no fault of the server."""

import httpx2
import pytest

from tests.conformance.container import Container, is_refusal, says
from tests.conformance.sections import section

pytestmark = pytest.mark.model

SESSION = "X-Amzn-SageMaker-Session-Id"


@section("1.10")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/models/no-such-model"),
        ("DELETE", "/models/no-such-model"),
        ("POST", "/models/no-such-model/invoke"),
        ("POST", "/models"),
    ],
)
def test_a_model_that_is_not_there(container: Container, method: str, path: str) -> None:
    content = {} if method == "GET" else {"json": {}}
    assert is_refusal(response := container.client.request(method, path, **content)), says(response)


@section("1.10")
def test_a_list_of_models_is_given_by_multi_model_containers_only(container: Container) -> None:
    response = container.client.get("/models")
    if not container.is_ours and response.status_code == 200 and "models" in response.json():
        return  # it says that it is one
    assert is_refusal(response), says(response)


@section("1.10")
@pytest.mark.parametrize(("method", "path"), [("POST", "/adapters"), ("DELETE", "/adapters/no-such-adapter")])
def test_adapters(container: Container, method: str, path: str) -> None:
    assert is_refusal(response := container.client.request(method, path, json={})), says(response)


@section("1.10")
def test_a_call_for_an_adapter_does_not_get_the_model_without_it(container: Container) -> None:
    response = container.invoke(**{"X-Amzn-SageMaker-Adapter-Identifier": "no-such-adapter"})
    assert is_refusal(response), says(response)


@section("1.11")
@pytest.mark.parametrize("session", ["NEW_SESSION", "no-such-session"])
def test_a_session_is_opened_or_refused(container: Container, session: str) -> None:
    """A success without the header that opens one would leave the caller without what he asked for."""
    response = container.invoke(**{SESSION: session})
    opened = {SESSION, "X-Amzn-SageMaker-New-Session-Id"} & {name.title() for name in response.headers}
    if not container.is_ours and session == "NEW_SESSION" and response.status_code == 200 and opened:
        return
    assert is_refusal(response), says(response)


@section("1.12")
def test_a_handshake_is_taken_or_refused(container: Container) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    with container.client.stream("GET", "/invocations-bidirectional-stream", headers=headers) as response:
        if not container.is_ours and response.status_code == 101:
            return
        response.read()
        assert is_refusal(response), says(response)


@section("1.12")
def test_a_plain_call_to_it_is_refused(container: Container) -> None:
    responses: list[httpx2.Response] = [
        container.client.get("/invocations-bidirectional-stream"),
        container.client.post("/invocations-bidirectional-stream", json={}),
    ]
    for response in responses:
        assert is_refusal(response), says(response)
