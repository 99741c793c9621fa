"""Small objects in S3 that are replaced only as they were read, through the helper process."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cosmos_handler.errors import JobsUnreachable, UnknownJob
from cosmos_handler.media.address import S3Address
from cosmos_handler.media.shelving import Changed, Shelf, Unusable
from cosmos_handler.media.store_rules import StoreRules
from tests.s3 import S3, refusing_s3, running_s3

RULES = StoreRules(connect_seconds=2)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with running_s3(tmp_path_factory.mktemp("moto"), "jobs") as running:
        yield running


def run(
    work: Callable[[Shelf], Awaitable[None]], environment: dict[str, str], bucket: str = "jobs", prefix: str = "a/"
) -> None:
    async def whole() -> None:
        shelf = Shelf(S3Address(bucket, prefix), RULES, environment)
        try:
            async with asyncio.timeout(60):
                await work(shelf)
        finally:
            await shelf.close()

    asyncio.run(whole())


def test_nothing_is_written_over_what_has_changed(s3: S3) -> None:
    async def work(shelf: Shelf) -> None:
        assert shelf.uri == "s3://jobs/a/"
        assert await shelf.get("one") is None
        first = await shelf.put("one", "1 é", replaces=None)
        with pytest.raises(Changed):
            await shelf.put("one", "again", replaces=None)
        second = await shelf.put("one", "2", replaces=first)
        with pytest.raises(Changed):
            await shelf.put("one", "late", replaces=first)
        item = await shelf.get("one")
        assert item is not None
        assert (item.text, item.etag) == ("2", second)
        assert 0 <= item.age_seconds < 30
        await shelf.drop("one", "never-there")
        with pytest.raises(Changed):
            await shelf.put("one", "over nothing", replaces=second)
        assert await shelf.get("one") is None

    run(work, s3.environment)


def test_of_many_who_write_one_wins(s3: S3) -> None:
    async def work(shelf: Shelf) -> None:
        etag = await shelf.put("race", "0", replaces=None)
        outcomes = await asyncio.gather(
            *(shelf.put("race", str(number), replaces=etag) for number in range(1, 12)), return_exceptions=True
        )
        won = [outcome for outcome in outcomes if isinstance(outcome, str)]
        assert len(won) == 1
        assert all(isinstance(outcome, Changed) for outcome in outcomes if outcome not in won)
        item = await shelf.get("race")
        assert item is not None
        assert item.etag == won[0]
        await shelf.drop("race")

    run(work, s3.environment)


def test_names_and_files(s3: S3, tmp_path: Path) -> None:
    s3.client().put_object(Bucket="jobs", Key="elsewhere", Body=b"x" * 1000)

    async def work(shelf: Shelf) -> None:
        for name in ("r/2", "r/1", "other"):
            await shelf.put(name, "{}", replaces=None)
        assert [name for name, _ in await shelf.names("r/")] == ["r/1", "r/2"]
        await shelf.fetch(S3Address("jobs", "elsewhere"), tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == b"x" * 1000
        with pytest.raises(UnknownJob, match="not in S3 any more"):
            await shelf.fetch(S3Address("jobs", "gone"), tmp_path / "file")
        await shelf.drop("r/1", "r/2", "other")

    run(work, s3.environment, prefix="b/")


def test_the_helper_is_replaced_when_it_dies(s3: S3) -> None:
    async def work(shelf: Shelf) -> None:
        await shelf.put("kept", "1", replaces=None)
        for pid in children("cosmos_handler.media.shelf"):
            os.kill(pid, signal.SIGKILL)
        with suppress(JobsUnreachable):  # who asks before its end is noticed is told so
            await shelf.get("kept")
        item = await shelf.get("kept")
        assert item is not None
        assert item.text == "1"
        await shelf.drop("kept")

    run(work, s3.environment)
    assert children("cosmos_handler.media.shelf") == []


def test_a_trial_does_all_that_will_be_needed(s3: S3) -> None:
    async def good(shelf: Shelf) -> None:
        await shelf.try_out("try")
        assert await shelf.names("") == ()

    run(good, s3.environment, prefix="trial/")

    async def nowhere(shelf: Shelf) -> None:
        with pytest.raises(Unusable, match="no such bucket"):
            await shelf.try_out("try")

    run(nowhere, s3.environment, bucket="missing")


def test_what_does_not_keep_to_conditions_is_refused() -> None:
    async def work(shelf: Shelf) -> None:
        with pytest.raises(Unusable, match="does not keep to If-None-Match"):
            await shelf.try_out("try")

    with refusing_s3("None") as environment:  # which takes every PUT
        run(work, environment)


def test_forbidden_and_unheard() -> None:
    async def forbidden(shelf: Shelf) -> None:
        with pytest.raises(Unusable, match="the role of this server may not"):
            await shelf.try_out("try")
        with pytest.raises(JobsUnreachable, match="may not do that there") as caught:
            await shelf.put("one", "1", replaces=None)
        assert "secret" not in str(caught.value)

    with refusing_s3("AccessDenied", "PUT") as environment:
        run(forbidden, environment)

    async def unheard(shelf: Shelf) -> None:
        for ask in (shelf.try_out("try"), shelf.get("one")):
            with pytest.raises(JobsUnreachable, match="cannot be reached"):
                await ask

    run(unheard, environment)  # where nothing answers any more


def children(module: str) -> list[int]:
    found = []
    for listed in Path("/proc/self/task").glob("*/children"):
        for pid in listed.read_text().split():
            if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                found.append(int(pid))
    return found
