"""A container as the platform sees it: an address, and what may be asked there."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx2

ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
FORWARDED_API = "X-Amzn-SageMaker-Forwarded-Api"
STREAM_CALL = "InvokeEndpointWithResponseStream"
JSON_LINES = "application/jsonlines"


@dataclass(frozen=True)
class Ask:
    """A body with what the caller says of it."""

    content: bytes
    content_type: str = "application/json"
    accept: str = "application/json"

    @property
    def is_json(self) -> bool:
        return self.content_type.partition(";")[0].strip().lower() == "application/json"


@dataclass(frozen=True)
class Container:
    """request: what it can serve, quickly where there is a choice; long: what takes it a while; file: what is answered
    with a file, and with the largest headers; streams: what is answered as a stream; chat: for OpenAI's route; bad:
    what is to be refused. is_ours: started by the suite, so that what is optional is there. echo: a field that comes
    back.
    """

    client: httpx2.Client
    request: Ask
    long: Ask
    file: Ask
    streams: tuple[Ask, ...]
    chat: bytes
    bad: tuple[Ask, ...]
    is_ours: bool
    echo: str | None

    def invoke(self, ask: Ask | None = None, **headers: str) -> httpx2.Response:
        ask = ask or self.request
        said = {"Content-Type": ask.content_type, "Accept": ask.accept, **headers}
        return self.client.post("/invocations", content=ask.content, headers=said)


@dataclass
class Call:
    """One that somebody else waits for."""

    answers: list[httpx2.Response] = field(default_factory=list)
    thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        return self.thread is not None and self.thread.is_alive()


@contextmanager
def in_background(container: Container, ask: Ask) -> Iterator[Call]:
    """While the block runs, so does the call; at its end it is waited for."""
    call = Call()
    call.thread = threading.Thread(target=lambda: call.answers.append(container.invoke(ask)))
    call.thread.start()
    try:
        yield call
    finally:
        call.thread.join()


def fresh_id() -> str:
    """An inference id of the full length that nobody has used."""
    return (uuid.uuid4().hex * 2)[:64]


def is_refusal(response: httpx2.Response) -> bool:
    """What the platform passes on as the caller's own fault: no success, no redirect, and no fault of the server's."""
    return 400 <= response.status_code < 500


def says(response: httpx2.Response) -> str:
    """For a test that fails."""
    return f"{response.status_code} {dict(response.headers)} {response.text[:500]!r}"
