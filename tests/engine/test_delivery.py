"""Results on their way to S3: jobs end once, the model process goes on meanwhile, and a failure is the job's own."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.engine.delivery import Deliveries, order_for
from cosmos_handler.engine.job import Job, State
from cosmos_handler.errors import CosmosError, InvalidField, JobCancelled, JobFailed, Stopping, StoreFailed
from cosmos_handler.media.address import S3Address
from cosmos_handler.media.store_rules import StoreRules
from cosmos_handler.media.storing import Order, Stored, Storing
from cosmos_handler.messages.results import VideoOutput
from cosmos_handler.messages.wire import Done
from cosmos_handler.schemas.invocation import Invocation, parse
from cosmos_handler.schemas.served import Served
from tests.engine.test_pool import running, until
from tests.fakes import COSMOS3, PREDICT, REASON, REPORT, TRANSFER, question, video_task

ORDER = Order(S3Address("results", "a.mp4"), "video/mp4", "job-1", field="output_s3_uri", presign_seconds=60)
STORED = Stored("s3://results/a.mp4", 3, "0a", "https://results/a.mp4?secret", 60)
VIDEO = VideoOutput(
    path="/nowhere/video.mp4", media_type="video/mp4", num_frames=5, num_frames_generated=5, height=64, width=64, fps=16
)
MADE = Done(job_id="job-1", output=VIDEO, report=REPORT)


@dataclass(frozen=True)
class Stall(Storing):
    """Storing that takes until it is told to end, and then ends in that."""

    end: asyncio.Event = field(default_factory=asyncio.Event)
    ending: list[Stored | Exception] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    async def store(self, order: Order, path: Path) -> Stored:
        self.seen.append(str(path))
        try:
            await self.end.wait()
        except asyncio.CancelledError:
            self.seen.append("cancelled")
            raise
        (ending,) = self.ending
        if isinstance(ending, Exception):
            raise ending
        return ending


def job() -> Job:
    return Job("job-1", model="predict", task=video_task(), folder=Path("/nowhere"), order=ORDER)


async def delivered(each: Job, stall: Stall, happening: Callable[[Deliveries], Any]) -> None:
    """A job that runs, is made, and has something happen to it while it is stored."""
    deliveries = Deliveries(stall)
    delivery = asyncio.create_task(deliveries.deliver(each, ORDER))
    each.start()
    await asyncio.sleep(0)
    assert each.hand_over(MADE)
    await until(lambda: stall.seen == ["/nowhere/video.mp4"])
    assert each.state is State.RUNNING
    assert each.progress is not None
    assert each.progress.stage == "store"
    happening(deliveries)
    await delivery


def test_a_job_is_complete_when_its_result_is_stored() -> None:
    async def run() -> None:
        each, stall = job(), Stall(ending=[STORED])
        await delivered(each, stall, lambda _: stall.end.set())
        result = await each.result()
        assert each.stored == STORED
        assert result.output == VIDEO
        assert result.report.stage_seconds.keys() == {"denoise", "store"}

    asyncio.run(run())


@pytest.mark.parametrize(("error", "kind"), [(StoreFailed("no"), StoreFailed), (OSError("no processes"), JobFailed)])
def test_a_job_whose_result_cannot_be_stored_fails(error: Exception, kind: type[CosmosError]) -> None:
    async def run() -> None:
        each, stall = job(), Stall(ending=[error])
        await delivered(each, stall, lambda _: stall.end.set())
        with pytest.raises(kind):
            await each.result()
        assert (each.done, each.stored) == (None, None)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("happening", "kind"),
    [(lambda each, _: each.cancel(), JobCancelled), (lambda _, deliveries: deliveries.give_up(), Stopping)],
)
def test_a_job_that_ends_while_it_is_stored(
    happening: Callable[[Job, Deliveries], None], kind: type[CosmosError]
) -> None:
    async def run() -> None:
        each, stall = job(), Stall(ending=[STORED])
        await delivered(each, stall, lambda deliveries: happening(each, deliveries))
        with pytest.raises(kind):
            await each.result()
        assert stall.seen == ["/nowhere/video.mp4", "cancelled"]

    asyncio.run(run())


def test_a_job_that_was_never_made_is_left_alone() -> None:
    async def run() -> None:
        each, stall = job(), Stall()
        delivery = asyncio.create_task(Deliveries(stall).deliver(each, ORDER))
        await asyncio.sleep(0)
        each.fail(JobFailed("no"))
        await delivery
        assert stall.seen == []

    asyncio.run(run())


def test_the_model_process_takes_the_next_job_meanwhile_and_its_death_ends_none_that_is_made() -> None:
    async def run() -> None:
        async with running() as (pool, backlog):
            first = Job("job-0", model="reason", task=question("abc"), folder=Path("/nowhere"), order=ORDER)
            second = Job("job-1", model="reason", task=question("die"), folder=Path("/nowhere"))
            backlog.put(first)
            backlog.put(second)
            with pytest.raises(JobFailed):
                await second.result()
            assert first.made is not None
            assert first.state is State.RUNNING
            await pool.cancel(first)
            assert first.state is State.CANCELLED

    asyncio.run(run())


MODELS = [Served(each.name, each.aliases, each.family, each.tasks) for each in (PREDICT, TRANSFER, COSMOS3, REASON)]
OPEN = Storing(StoreRules(buckets=("*",)))


def asked(**body: Any) -> Invocation:
    return parse({"prompt": "x", **body}, models=MODELS)


@pytest.mark.parametrize("model", ["predict", "transfer", "omni"])
def test_requests_of_every_family_may_name_a_place(model: str) -> None:
    bodies = {"transfer": {"edge": {}, "video_path": "AAAA"}, "omni": {"model_mode": "text2video"}}
    body = bodies.get(model, {})
    invocation = asked(model=model, output_s3_uri="s3://results/out/", presign_seconds=60, **body)
    order = order_for(invocation, "mp4", "job-7", OPEN)
    assert order == Order(S3Address("results", "out/job-7.mp4"), "video/mp4", "job-7", "output_s3_uri", 60)
    order = order_for(asked(model=model, **body), "npz", "job-7", Storing(StoreRules("s3://mine/")))
    assert order == Order(S3Address("mine", "job-7.npz"), "application/x-npz", "job-7")
    assert order_for(asked(model=model, **body), "mp4", "job-7", OPEN) is None
    with pytest.raises(InvalidField, match="presign_seconds: asks for a link"):
        order_for(asked(model=model, presign_seconds=1, **body), "mp4", "job-7", OPEN)
    with pytest.raises(InvalidField, match=r"output_s3_uri: is a key that does not end in \.mp4"):
        order_for(asked(model=model, output_s3_uri="s3://results/a.png", **body), "mp4", "job-7", OPEN)


@pytest.mark.parametrize("seconds", [0, 604_801, "60", 1.5])
def test_links_that_cannot_be(seconds: object) -> None:
    with pytest.raises(InvalidField, match="presign_seconds"):
        asked(model="predict", output_s3_uri="s3://results/", presign_seconds=seconds)


@pytest.mark.parametrize(
    "body", [{"prompt": "x", "inference_type": "reasoner"}, {"messages": [{"role": "user", "content": "x"}]}]
)
def test_answers_in_words_are_not_stored(body: dict[str, Any]) -> None:
    for name, value in (("output_s3_uri", "s3://results/"), ("presign_seconds", 60)):
        with pytest.raises(InvalidField, match=f"{name}: is not a field of this request"):
            parse({**body, name: value}, models=MODELS[-1:])
    question_alone = parse(body, models=MODELS[-1:])
    assert order_for(question_alone, "mp4", "job-7", Storing(StoreRules("s3://mine/"))) is None


def test_a_job_ends_once_after_it_was_made() -> None:
    each = job()
    each.start()
    assert each.hand_over(MADE)
    assert each.state is State.RUNNING
    assert each.complete(MADE, stored=STORED)
    assert not each.fail(StoreFailed("late"))
    assert not each.hand_over(MADE)
    assert (each.state, each.error, each.stored) == (State.COMPLETED, None, STORED)
