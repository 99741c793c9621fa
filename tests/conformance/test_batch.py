"""Batch transform: a line of answer for each record, in order, whatever is wrong with some of them."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.conformance.container import JSON_LINES, Ask, Container, says
from tests.conformance.sections import section

pytestmark = [pytest.mark.model, section("3")]

LINES = {"Content-Type": JSON_LINES, "Accept": JSON_LINES}
NUM_RECORDS = 40
BAD = {3: b"{not json", 11: b'"text"', 17: b'{"prompt": 7', 30: b"[1", 39: b"7"}


def record(container: Container, number: int) -> bytes:
    """On one line; with its number, where answers repeat a field."""
    if number in BAD:
        return BAD[number]
    if number in (5, 25) and container.is_ours:
        asked = json.loads(container.file.content)
    else:
        asked = json.loads(container.request.content)
    return json.dumps(asked if container.echo is None else {**asked, container.echo: str(number)}).encode()


def in_pieces(text: bytes) -> Iterator[bytes]:
    """Sent so, a body has no length: MaxPayloadInMB may be 0."""
    yield text[: len(text) // 2]
    yield text[len(text) // 2 :]


def send(container: Container, content: bytes | Iterator[bytes], **headers: str) -> httpx2.Response:
    response = container.client.post("/invocations", content=content, headers={**LINES, **headers})
    assert response.status_code == 200, says(response)
    return response


def answers(text: bytes) -> list[dict[str, Any]]:
    """One JSON object a line, no line too many; AssembleWith adds the newline at the end."""
    assert not text.endswith(b"\n")
    made = [json.loads(line) for line in text.split(b"\n")]
    assert all(isinstance(each, dict) for each in made)
    return made


def check(container: Container, made: list[dict[str, Any]]) -> None:
    """Placeholders look like each other and like no result, whatever the container's own words are."""
    assert len(made) == NUM_RECORDS
    placeholders = {frozenset(made[number]) for number in BAD}
    assert len(placeholders) == 1
    for number, answer in enumerate(made):
        assert (frozenset(answer) in placeholders) == (number in BAD), answer
        if container.echo is not None and number not in BAD:
            assert answer[container.echo] == str(number)


def test_all_records_in_one_body_that_has_no_length(batch_container: Container) -> None:
    body = b"\n".join(record(batch_container, number) for number in range(NUM_RECORDS))
    response = send(batch_container, in_pieces(body))
    assert "content-length" not in response.request.headers
    assert response.headers["content-type"].partition(";")[0] == JSON_LINES
    assert int(response.headers["content-length"]) == len(response.content)
    check(batch_container, answers(response.content))


@pytest.mark.parametrize("content_type", [JSON_LINES, "application/json"])
def test_one_record_a_body(batch_container: Container, content_type: str) -> None:
    made = []
    for number in range(NUM_RECORDS):
        response = send(batch_container, record(batch_container, number) + b"\n", **{"Content-Type": content_type})
        made += answers(response.content)
    check(batch_container, made)


def test_records_that_are_all_bad_have_a_line_each(batch_container: Container) -> None:
    made = answers(send(batch_container, b"{\n\xef\xbb\xbf[\n7").content)
    assert len(made) == 3
    assert len({frozenset(each) for each in made}) == 1


@pytest.mark.parametrize(
    "body", ["{one}\n\n{two}\n", "\n{one}\n{two}\n\n\n", "{one}\r\n{two}\r\n", "\ufeff{one}\n{two}"]
)
def test_empty_lines_are_no_records(batch_container: Container, body: str) -> None:
    one, two = (record(batch_container, number).decode() for number in (0, 1))
    made = answers(send(batch_container, body.replace("{one}", one).replace("{two}", two).encode()).content)
    assert len(made) == 2
    (good,) = {frozenset(each) for each in answers(send(batch_container, one.encode()).content)}
    assert {frozenset(each) for each in made} == {good}


def test_what_is_sent_again_after_a_lost_connection_is_answered(batch_container: Container) -> None:
    """The platform drops the connection at its time-out, and tries a record up to four times."""
    one = batch_container.long.content
    for _ in range(3):
        with contextlib.suppress(httpx2.ReadTimeout):  # a container may be quicker
            batch_container.client.post("/invocations", content=one, headers=LINES, timeout=0.3)
    (good,) = answers(send(batch_container, one).content)
    if batch_container.is_ours:
        assert "error" not in good


def test_a_file_for_a_record_is_not_made_a_line(batch_container: Container) -> None:
    """SplitType None: the answer is an object of its own, and what cannot be made has a real status."""
    if batch_container.file.accept in {"application/json", JSON_LINES}:
        pytest.skip("nothing but JSON was asked for: --accept")
    made = batch_container.invoke(batch_container.file)
    assert made.status_code == 200, says(made)
    assert made.headers["content-type"].partition(";")[0] == batch_container.file.accept
    refused = batch_container.invoke(Ask(b"{not json", accept=batch_container.file.accept))
    assert 400 <= refused.status_code < 500, says(refused)


@pytest.mark.parametrize("which", ["container", "batch_container"])
def test_execution_parameters(request: pytest.FixtureRequest, which: str) -> None:
    container: Container = request.getfixturevalue(which)
    response = container.client.get("/execution-parameters")
    if not container.is_ours and response.status_code == 404:
        pytest.skip("this container leaves them to the defaults, as it may")
    assert response.status_code == 200, says(response)
    assert response.headers["content-type"].partition(";")[0] == "application/json"
    assert int(response.headers["content-length"]) == len(response.content)
    told = response.json()
    assert {name: type(value) for name, value in told.items()} == {
        "MaxConcurrentTransforms": int,
        "BatchStrategy": str,
        "MaxPayloadInMB": int,
    }
    assert told["BatchStrategy"] in {"MULTI_RECORD", "SINGLE_RECORD"}
    assert told["MaxConcurrentTransforms"] >= 1
    assert 0 <= told["MaxPayloadInMB"] <= 100
    assert told["MaxConcurrentTransforms"] * told["MaxPayloadInMB"] <= 100


def test_ping_in_a_batch_job(batch_container: Container) -> None:
    for method in ("GET", "POST"):
        assert batch_container.client.request(method, "/ping").status_code == 200
