"""The engine around a job: who is let in, and until when."""

import asyncio
import gc
import json
import weakref
from dataclasses import replace
from pathlib import Path

import pytest

from cosmos_handler.api.errors import TABLE, response_for
from cosmos_handler.artifacts.guardrail import NO_GUARDRAILS
from cosmos_handler.engine import engine as room
from cosmos_handler.engine import foresight
from cosmos_handler.engine.backlog import Backlog
from cosmos_handler.engine.engine import Engine
from cosmos_handler.engine.gathering import Gathering
from cosmos_handler.engine.group import Group
from cosmos_handler.engine.jobstore import JobStore, KeepLimits
from cosmos_handler.engine.pool import Pool
from cosmos_handler.errors import (
    CosmosError,
    DecoderFailed,
    InvalidField,
    NotLoaded,
    OverWindow,
    Stopping,
    WaitOverWindow,
    WillNotFit,
)
from cosmos_handler.memory.plan import Plan, StagePlan
from cosmos_handler.messages.tasks import Answer
from cosmos_handler.schemas.invocation import parse
from cosmos_handler.schemas.upload import Upload
from tests.fakes import CARD, CODES, REASON, IdleEngine, question


@pytest.fixture
def backlog() -> Backlog:
    return Backlog(1)


@pytest.fixture
def engine(backlog: Backlog, tmp_path: Path) -> Engine:
    return IdleEngine(backlog, tmp_path)


def test_a_signal_while_media_are_decoded_turns_the_job_away(
    engine: Engine, backlog: Backlog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def build(*_: object) -> Answer:
        engine.stop_accepting()
        return question("hello")

    async def run() -> None:
        async with engine.submit(parse({"prompt": "hello"}, models=engine.served), "mp4"):
            raise AssertionError("it was let in")

    monkeypatch.setattr(room, "build_task", build)
    with pytest.raises(Stopping):
        asyncio.run(run())
    assert backlog.taken == 0
    assert backlog.take() is None


@pytest.mark.parametrize("content", ["x" * 400_000, [{"type": "text", "text": "x" * 400_000}]])
def test_a_conversation_without_end_never_reaches_the_model_process(
    engine: Engine, backlog: Backlog, content: object
) -> None:
    body = {"messages": [{"role": "user", "content": content}] * 3}

    async def run() -> None:
        async with engine.submit(parse(body, models=engine.served), "mp4"):
            raise AssertionError("it was let in")

    with pytest.raises(InvalidField, match="1200000 characters"):
        asyncio.run(run())
    assert backlog.taken == 0


def test_a_conversation_in_very_many_pieces_never_reaches_it_either(engine: Engine) -> None:
    body = {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * 1000}] * 11}

    async def run() -> None:
        async with engine.submit(parse(body, models=engine.served), "mp4"):
            raise AssertionError("it was let in")

    with pytest.raises(InvalidField, match="messages: hold 11000 pieces"):
        asyncio.run(run())


def test_a_fault_before_there_is_a_job_has_an_id_that_the_log_knows(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def build(*_: object) -> Answer:
        raise DecoderFailed("image: the decoding process failed")

    async def run() -> None:
        async with engine.submit(parse({"prompt": "hello"}, models=engine.served), "mp4"):
            raise AssertionError("it was let in")

    monkeypatch.setattr(room, "build_task", build)
    with pytest.raises(DecoderFailed) as caught:
        asyncio.run(run())
    job_id = json.loads(bytes(response_for(caught.value).body))["error"]["job_id"]
    assert job_id in caplog.text


def test_a_kept_job_keeps_no_upload_in_memory(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Uploads(dict[str, Upload]):  # which, unlike dict, can be referred to weakly
        pass

    async def build(*_: object) -> Answer:
        return question("hello")

    async def run() -> None:
        uploads = Uploads(image=Upload.of(b"pixels"))
        held = weakref.ref(uploads)
        invocation = replace(parse({"prompt": "hello"}, models=engine.served), uploads=uploads)
        store = JobStore(engine, KeepLimits(retention_seconds=60, max_bytes=2**30))
        kept = await store.create(invocation, "mp4")
        del uploads, invocation
        gc.collect()
        assert held() is None
        await store.delete(kept.job.id)
        await kept.job.ended()
        await store.close()

    monkeypatch.setattr(room, "build_task", build)
    asyncio.run(run())


REFUSALS = [
    WillNotFit("large", table="a plan", nearest={"num_output_frames": 61}),
    OverWindow("long", nearest={}, predicted_seconds=2, window_seconds=1),
]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_what_cannot_be_done_is_refused_before_it_waits(
    engine: Engine, backlog: Backlog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: CosmosError
) -> None:
    def refuse(*_: object, window_seconds: float | None) -> None:
        assert window_seconds == 60
        raise refusal

    async def run() -> None:
        async with engine.submit(parse({"prompt": "hello"}, models=engine.served), "mp4"):
            raise AssertionError("it was let in")

    monkeypatch.setattr(foresight, "refuse_impossible", refuse)
    engine._pool.groups = (Group(devices=("cpu",), machine=CARD),)
    engine._foresight = foresight.Foresight(engine._pool, (REASON,), NO_GUARDRAILS, window_seconds=60)
    with pytest.raises(type(refusal)):
        asyncio.run(run())
    assert (backlog.taken, backlog.take(), list(tmp_path.iterdir())) == (0, None, [])
    assert f'outcome="{TABLE[type(refusal)].type}"}} 1.0' in engine.metrics.text().decode()


def test_who_needs_the_answer_now_is_not_let_in_behind_too_much(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = StagePlan("generate", 0, 0, (), compute_seconds=40, copy_seconds=0)
    plan = Plan((), {}, (stage,), CARD, "exact", "auto")
    asked = parse({"prompt": "hello"}, models=engine.served)

    async def run() -> None:
        store = JobStore(engine, KeepLimits(retention_seconds=60, max_bytes=2**30))
        async with engine.submit(asked, "mp4") as first:
            assert (first.predicted, first.window) == ({"generate": 40}, "whole")
            with pytest.raises(WaitOverWindow):
                async with engine.submit(asked, "mp4"):
                    raise AssertionError("it was let in")
            kept = await store.create(asked, "mp4")  # who can come again for it
            assert kept.job.window == "none"
        await store.close()

    monkeypatch.setattr(foresight, "refuse_impossible", lambda *_, **__: plan)
    engine._backlog.max_jobs = 3
    engine._pool.groups = (Group(devices=("cpu",), ready=True, machine=CARD),)
    engine._foresight = foresight.Foresight(engine._pool, (REASON,), NO_GUARDRAILS, window_seconds=60)
    asyncio.run(run())
    assert 'outcome="wait_over_window"} 1.0' in engine.metrics.text().decode()


@pytest.mark.parametrize(("groups", "max_batch_size", "max_running"), [(1, 1, 1), (2, 1, 2), (2, 3, 6), (2, 8, 10)])
def test_no_more_run_than_have_a_place(
    engine: Engine, backlog: Backlog, groups: int, max_batch_size: int, max_running: int
) -> None:
    backlog.max_jobs = 10
    each = [Group(devices=(str(number),)) for number in range(groups)]
    gathering = Gathering(max_batch_size)
    engine._pool = Pool(each, backlog, environment={}, cpu_threads=1, gathering=gathering)
    assert engine.max_running == groups  # a reasoner answers one question at a time
    engine._checkpoints = (REASON, CODES)
    assert engine.max_running == max_running


def test_nothing_is_planned_before_a_process_is_ready(engine: Engine, tmp_path: Path) -> None:
    asked = parse({"prompt": "hello"}, models=engine.served)
    for known in (None, foresight.Foresight(engine._pool, (REASON,), NO_GUARDRAILS, window_seconds=None)):
        engine._foresight = known
        for planning in (engine.plan(asked, "mp4"), engine.usual_plan("reason")):
            with pytest.raises(NotLoaded):
                asyncio.run(planning)
    assert list(tmp_path.iterdir()) == []


def test_a_job_goes_through_while_no_machine_is_known(engine: Engine, backlog: Backlog) -> None:
    async def run() -> None:
        engine._foresight = foresight.Foresight(engine._pool, (REASON,), NO_GUARDRAILS, window_seconds=1)
        async with engine.submit(parse({"prompt": "hello"}, models=engine.served), "mp4"):
            assert "cosmos_jobs_waiting 1.0" in engine.metrics.text().decode()

    asyncio.run(run())


def test_a_plan_takes_no_place_and_leaves_nothing(
    engine: Engine, backlog: Backlog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(*_: object, window_seconds: float | None) -> str:
        assert window_seconds is None
        return "the plan"

    monkeypatch.setattr(foresight, "refuse_impossible", look)
    engine._pool.groups = (Group(devices=("cpu",), machine=CARD),)
    engine._foresight = foresight.Foresight(engine._pool, (REASON,), NO_GUARDRAILS, window_seconds=None)
    with backlog.acquire():  # the only one
        made = asyncio.run(engine.plan(parse({"prompt": "hello"}, models=engine.served), "mp4"))
    assert (made, list(tmp_path.iterdir())) == ("the plan", [])
