"""A caller who hangs up before there is a job: nothing goes on, nothing is kept, and it is no fault of ours."""

import asyncio
import logging
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.types import Message, Scope

from cosmos_handler.api.app import create_app
from cosmos_handler.api.intake import BodyLimits
from cosmos_handler.api.own_jobs import OwnJobs
from cosmos_handler.api.presence import while_there
from cosmos_handler.api.surroundings import Surroundings
from cosmos_handler.engine import engine as room
from cosmos_handler.engine.backlog import Backlog
from cosmos_handler.engine.engine import Engine
from cosmos_handler.engine.jobstore import JobStore, KeepLimits
from cosmos_handler.engine.repeats import Repeats
from cosmos_handler.errors import JobCancelled
from tests.fakes import IdleEngine

GONE: Message = {"type": "http.disconnect"}
BODY = b'{"prompt": "hello"}'


def scope(content_type: str = "application/json") -> Scope:
    headers = [(b"content-type", content_type.encode())]
    base = {"type": "http", "method": "POST", "path": "/invocations", "query_string": b"", "root_path": ""}
    return {**base, "headers": headers, "asgi": {"spec_version": "2.3"}, "scheme": "http", "server": ("x", 80)}


async def statuses(engine: Engine, heard: list[Message], content_type: str = "application/json") -> list[int]:
    """What the server answers to a caller of whom it hears this."""
    sent: list[Message] = []

    async def receive() -> Message:
        return heard.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    limits = KeepLimits(60, 10**6)
    app = create_app(
        engine,
        OwnJobs(engine, JobStore(engine, limits)),
        Repeats(JobStore(engine, limits)),
        BodyLimits(10**6, 10**6, 10),
        Surroundings(Path("/nowhere")),
    )
    async with asyncio.timeout(10):
        await app(scope(content_type), receive, send)
    return [message["status"] for message in sent if "status" in message]


@pytest.fixture
def backlog() -> Backlog:
    return Backlog(1)


@pytest.fixture
def engine(backlog: Backlog, tmp_path: Path) -> Engine:
    return IdleEngine(backlog, tmp_path)


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=x"])
def test_in_the_middle_of_the_body(engine: Engine, content_type: str, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Message] = [{"type": "http.request", "body": b"--x\r\n", "more_body": True}, GONE]
    assert asyncio.run(statuses(engine, heard, content_type)) == [499]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_while_media_are_decoded(
    engine: Engine, backlog: Backlog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    async def build(*_: object) -> None:
        seen.append(backlog.taken)
        await asyncio.Event().wait()

    monkeypatch.setattr(room, "build_task", build)
    assert asyncio.run(statuses(engine, [{"type": "http.request", "body": BODY}, GONE])) == [499]
    assert seen == [1]
    assert backlog.taken == 0
    assert not list(tmp_path.iterdir())


def test_while_the_job_waits(engine: Engine, backlog: Backlog, tmp_path: Path) -> None:
    async def run() -> None:
        assert await statuses(engine, [{"type": "http.request", "body": BODY}, GONE]) == [499]
        await engine.close()

    asyncio.run(run())
    assert backlog.take() is None
    assert backlog.taken == 0
    assert not list(tmp_path.iterdir())


def caller(*heard: Message) -> Request:
    """One who says this, and nothing more."""
    messages = list(heard)

    async def receive() -> Message:
        if messages:
            return messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError("nobody says more")

    return Request(scope(), receive)


async def _wait_for(request: Request, seconds: float) -> None:
    async with while_there(request):
        await asyncio.sleep(seconds)


def test_a_block_ends_with_its_caller() -> None:
    with pytest.raises(JobCancelled):
        asyncio.run(_wait_for(caller(GONE), 10))


def test_a_block_whose_caller_stays_ends_by_itself() -> None:
    asyncio.run(_wait_for(caller(), 0.01))


def test_somebody_elses_time_out_passes_through() -> None:
    async def run() -> None:
        async with while_there(caller()):
            raise TimeoutError

    with pytest.raises(TimeoutError):
        asyncio.run(run())
