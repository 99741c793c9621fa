"""What stands before every route, without a server."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from cosmos_handler.api.body import read_body
from cosmos_handler.api.door import Door
from cosmos_handler.api.errors import response_for
from cosmos_handler.api.intake import BodyLimits, Budget, Intake
from cosmos_handler.errors import BodiesFull, CosmosError, TooLarge, TooSlow
from cosmos_handler.schemas.upload import Upload

KEY = "a-key-of-sixteen-letters"
LIMITS = BodyLimits(max_bytes=100, max_total_bytes=150, seconds=10)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that reads what comes."""
    if scope["type"] != "http":
        return
    try:
        body = await read_body(Request(scope, receive))
    except CosmosError as error:
        await response_for(error)(scope, receive, send)
    else:
        await Response(json.dumps(body.content), headers={"Cache-Control": "public"})(scope, receive, send)


def call(
    door: Door, headers: list[tuple[bytes, bytes]], path: str = "/invocations"
) -> tuple[int, dict[str, str], bool]:
    """Status, headers, and whether the body was asked for."""
    sent: list[Message] = []
    asked = []

    async def receive() -> Message:
        asked.append(True)
        return {"type": "http.request", "body": b"{}"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(door({"type": "http", "method": "POST", "path": path, "headers": headers}, receive, send))
    told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], told, bool(asked)


@pytest.mark.parametrize("value", [f"Bearer {KEY}", f"bearer {KEY}", f"Bearer  {KEY}"])
def test_who_shows_the_key_comes_in(value: str) -> None:
    status, headers, _ = call(Door(echo, LIMITS, api_key=KEY), [(b"authorization", value.encode())])
    assert status == 200
    assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")


@pytest.mark.parametrize(
    "values", [[], [b""], [b"Bearer"], [KEY.encode()], [b"Basic " + KEY.encode()], [b"Bearer " + KEY[:-1].encode()],
               [b"Bearer " + KEY.encode() + b"x"], [b"Bearer " + KEY.encode()] * 2, [b"Bearer \xff\x00"]]
)  # fmt: skip
@pytest.mark.parametrize("path", ["/invocations", "/v1/models", "/ping/", "/v1/health/../models", "//ping", "/nowhere"])
def test_who_does_not_stays_out_and_is_not_listened_to(values: list[bytes], path: str) -> None:
    headers = [(b"authorization", value) for value in values]
    status, told, asked = call(Door(echo, LIMITS, api_key=KEY), headers, path)
    assert (status, told["www-authenticate"], asked) == (401, "Bearer", False)
    assert told["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/ping", "/v1/health/live", "/v1/health/ready"])
def test_health_needs_no_key(path: str) -> None:
    assert call(Door(echo, LIMITS, api_key=KEY), [], path)[0] == 200


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_no_other_value_opens_it(value: bytes) -> None:
    assert call(Door(echo, LIMITS, api_key=KEY), [(b"authorization", b"Bearer " + value)])[0] == 401


async def read(intake: Intake, *pieces: bytes, promised: int | None = None) -> None:
    """A body that never ends."""
    left: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]

    async def receive() -> Message:
        if not left:
            await asyncio.sleep(3600)
        return left.pop(0)

    headers = [] if promised is None else [(b"content-length", str(promised).encode())]
    await read_body(Request({"type": "http", "headers": headers, "state": {"intake": intake}}, receive))


def test_bodies_share_a_budget_and_give_it_back() -> None:
    async def scenario() -> None:
        budget = Budget(BodyLimits(max_bytes=100, max_total_bytes=150, seconds=0.05))
        async with Intake(budget) as first:
            with pytest.raises(TooSlow):
                await read(first, b" " * 90)
            assert budget.taken["memory"] == 90  # held until the request has been answered
            async with Intake(budget) as second:
                with pytest.raises(BodiesFull) as full:  # before a byte has come
                    await read(second, promised=61)
                assert full.value.retry_after_seconds > 0
                with pytest.raises(BodiesFull):  # without a promise, where the bytes are too many
                    await read(second, b" " * 50, b" " * 11)
            assert budget.taken["memory"] == 90
            async with Intake(budget) as third:
                with pytest.raises(TooSlow):
                    await read(third, b" " * 60, promised=60)
        assert budget.taken["memory"] == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("promised", ["101", "1" * 30, "1" * 5000])
def test_a_promise_over_the_limit_is_refused_before_a_byte(promised: str) -> None:
    async def receive() -> Message:
        raise AssertionError("the body was asked for")

    headers = [(b"content-length", promised.encode())]
    with pytest.raises(TooLarge):
        asyncio.run(
            read_body(
                Request({"type": "http", "headers": headers, "state": {"intake": Intake(Budget(LIMITS))}}, receive)
            )
        )


def test_what_is_on_the_disk_has_a_budget_of_its_own(tmp_path: Path) -> None:
    medium = b"\x89PNG\r\n\x1a\n" + bytes(70_000)

    async def scenario() -> None:
        limits = BodyLimits(10**6, 100, 0.2, max_spool_bytes=100_000, work_dir=tmp_path, owner="abcdef01")
        budget = Budget(limits)
        async with Intake(budget) as first:
            upload = await take(first, medium)
            assert str(upload.place).startswith(f"{tmp_path}/spool-abcdef01-")
            assert upload.place == next(names(tmp_path))
            assert upload.read() == medium
            assert budget.taken == {"memory": 0, "disk": len(medium)}
            async with Intake(budget) as second:
                with pytest.raises(BodiesFull, match="on the disk"):
                    await take(second, medium)
            # What a job has linked stays when the request has gone.
            upload.link(tmp_path / "linked")
        assert budget.taken["disk"] == 0
        assert list(names(tmp_path)) == [tmp_path / "linked"]
        assert (tmp_path / "linked").read_bytes() == medium
        async with Intake(budget) as third:
            await take(third, medium)

    asyncio.run(scenario())


def names(folder: Path) -> Iterator[Path]:
    """Every file in it, however deep."""
    return (path for path in folder.rglob("*") if not path.is_dir())


async def take(intake: Intake, medium: bytes) -> Upload:
    """The upload that a raw body is."""
    left: list[Message] = [
        {"type": "http.request", "body": medium[:40_000], "more_body": True},
        {"type": "http.request", "body": medium[40_000:]},
    ]

    async def receive() -> Message:
        return left.pop(0)

    scope = {
        "type": "http",
        "headers": [(b"content-type", b"image/png")],
        "query_string": b"",
        "state": {"intake": intake},
    }
    return (await read_body(Request(scope, receive))).uploads["body"]
