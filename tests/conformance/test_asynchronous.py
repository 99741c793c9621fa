"""Asynchronous inference: the same call, whose answer must say its length, is kept as it is, and may come again."""

import contextlib
import json
import threading
from collections.abc import Iterator

import httpx2
import pytest

from tests.conformance.container import ATTRIBUTES, INFERENCE_ID, Ask, Container, fresh_id, is_refusal, says
from tests.conformance.large import FIELDS, await_nothing_spooled, form, medium, status_bytes
from tests.conformance.sections import section
from tests.conftest import Server

pytestmark = pytest.mark.model

MIB = 2**20
MAX_HEADER_BYTES = 4096
ORDINARY_BYTES = 30 * 10**6
LARGE_BYTES = 900 * 10**6


def with_length(response: httpx2.Response) -> httpx2.Response:
    assert response.headers.get("content-length") == str(len(response.content)), says(response)
    assert "transfer-encoding" not in response.headers
    return response


@section("2.2")
def test_calls_at_the_same_time_are_all_served(container: Container, pytestconfig: pytest.Config) -> None:
    """As many as MaxConcurrentInvocationsPerInstance lets through: what cannot run at once must wait."""
    number = pytestconfig.getoption("concurrent")
    answers: list[httpx2.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(container.invoke())) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * number


@section("2.3")
def test_answers_say_their_length(container: Container) -> None:
    for ask in (container.request, container.file, *container.bad):
        with_length(container.invoke(ask))
    for method, path in (("GET", "/ping"), ("POST", "/ping"), ("GET", "/execution-parameters"), ("POST", "/nowhere")):
        with_length(container.client.request(method, path))


@section("2.3")
def test_a_list_says_its_length(container: Container) -> None:
    if not container.is_ours:
        pytest.skip("whether a list of requests is a request is left to the container")
    lists = Ask(b"[" + container.request.content + b"," + container.request.content + b"]")
    for accept in ("application/json", "application/jsonlines"):
        response = with_length(container.invoke(lists, **{"Accept": accept, ATTRIBUTES: "tenant-17"}))
        assert (response.status_code, response.headers[ATTRIBUTES]) == (200, "tenant-17")
        assert not response.content.endswith(b"\n")


@section("2.3")
def test_headers_are_few(container: Container) -> None:
    for ask in (container.request, container.file, container.bad[0]):
        response = container.invoke(ask, **{ATTRIBUTES: "a" * 1024, INFERENCE_ID: fresh_id()})
        status_line = len("HTTP/1.1 200 OK\r\n")
        headers = sum(len(name) + len(value) + len(": \r\n") for name, value in response.headers.multi_items())
        assert status_line + headers < MAX_HEADER_BYTES, says(response)


@section("2.3")
@pytest.mark.parametrize("content_type", ["video/mp4", "application/octet-stream", "multipart/form-data; boundary=x"])
def test_a_body_is_not_refused_for_an_ordinary_size(container: Container, content_type: str) -> None:
    """What it makes of one that it was not made for is left to it, but 2 MB are not large."""
    make = form if content_type.startswith("multipart") else medium
    headers = {"Content-Type": content_type, "Content-Length": str(sum(map(len, make(ORDINARY_BYTES))))}
    response = container.client.post("/invocations", content=make(ORDINARY_BYTES), headers=headers)
    assert response.status_code < 500, says(response)
    assert response.status_code != 413, says(response)


@section("2.3")
def test_an_error_is_no_success(container: Container) -> None:
    """Answered with 200, it would be stored as the result."""
    for bad in container.bad:
        assert is_refusal(response := container.invoke(bad)), says(response)


@section("2.4")
def test_the_answer_is_the_file_itself(container: Container) -> None:
    response = with_length(container.invoke(container.file))
    assert response.status_code == 200, says(response)
    assert "content-encoding" not in response.headers
    if container.file.accept == "video/mp4":
        assert response.content[4:8] == b"ftyp"
    elif container.file.accept == "application/json":
        assert response.json() is not None


@section("2.6")
def test_a_repeat_is_safe(container: Container) -> None:
    key = {INFERENCE_ID: fresh_id()}
    for _ in range(2):
        response = with_length(container.invoke(**key))
        assert response.status_code == 200, says(response)


@section("2.6")
def test_a_repeat_while_the_first_is_served_is_safe(container: Container, pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("concurrent") < 2:
        pytest.skip("one call at a time: --concurrent")
    answers: list[httpx2.Response] = []
    key = {INFERENCE_ID: fresh_id()}
    threads = [threading.Thread(target=lambda: answers.append(container.invoke(container.long, **key))) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200, 200]


@section("2.6")
def test_a_repeat_after_a_lost_connection_is_answered(container: Container) -> None:
    key = {INFERENCE_ID: fresh_id()}
    headers = {"Content-Type": container.long.content_type, "Accept": container.long.accept, **key}
    with contextlib.suppress(httpx2.ReadTimeout):  # a container may be quicker
        container.client.post("/invocations", content=container.long.content, headers=headers, timeout=0.2)
    response = container.invoke(container.long, **key)
    assert response.status_code == 200, says(response)


@section("2.6")
@pytest.mark.parametrize("kind", ["raw", "form"])
def test_a_large_body_is_not_held_in_memory(own_server: Server, kind: str) -> None:
    make, content_type = (medium, "video/mp4") if kind == "raw" else (form, "multipart/form-data; boundary=x")
    sent = 0

    def sending() -> Iterator[bytes]:
        nonlocal sent
        for piece in make(LARGE_BYTES):
            sent += len(piece)
            yield piece

    before = status_bytes(own_server.process.pid, "VmRSS", begin_anew=True)
    headers = {"Content-Type": content_type, ATTRIBUTES: json.dumps(FIELDS)}
    response = own_server.client.post("/invocations", content=sending(), headers=headers)
    peak = status_bytes(own_server.process.pid, "VmHWM")
    assert sent >= LARGE_BYTES
    # Nothing can be found in it: it went as far as whoever looks.
    assert is_refusal(response), says(response)
    assert response.status_code != 413
    assert peak - before < 50 * MIB, f"{(peak - before) / MIB:.1f} MiB"
    await_nothing_spooled(own_server)
