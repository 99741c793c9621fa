"""Server-sent events as a client reads them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2

from tests.conftest import Server

Events = Iterator[tuple[str, dict[str, Any]]]


def events_in(response: httpx2.Response) -> Events:
    """The name and the data of every event, as they come."""
    assert response.headers["content-type"].startswith("text/event-stream")
    name = ""
    for line in response.iter_lines():
        key, _, value = line.partition(": ")
        if key == "event":
            name = value
        elif key == "data":
            yield name, json.loads(value)


@contextmanager
def streamed(server: Server, body: dict[str, Any]) -> Iterator[Events]:
    """What a job says of itself; whoever leaves the block early has hung up."""
    with server.client.stream("POST", "/invocations", json=body, headers={"Accept": "text/event-stream"}) as response:
        assert response.status_code == 200
        yield events_in(response)


def hang_up_at(server: Server, body: dict[str, Any], *, stage: str, step: int) -> None:
    """Listen until a step is done."""
    with streamed(server, body) as events:
        for name, data in events:
            if name == "progress" and (data["stage"], data["step"]) == (stage, step):
                return
    raise AssertionError(f"the job ended without step {step} of {stage}")
