"""Which jobs go together, how many of them, and that none is lost where several take from one line."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmos_handler.artifacts.guardrail import NO_GUARDRAILS
from cosmos_handler.engine import gathering as room
from cosmos_handler.engine.backlog import Backlog
from cosmos_handler.engine.gathering import Gathering, goes_with
from cosmos_handler.engine.job import Job, Window
from cosmos_handler.media.clip import MediaFile
from cosmos_handler.memory.cards import CARDS, machine_of
from cosmos_handler.memory.catalogue import catalogue_models, guardrails_of_catalogue
from cosmos_handler.memory.plan import NothingFits, Plan, StagePlan
from cosmos_handler.memory.planning import House, plan_for
from cosmos_handler.memory.usual import usual_task
from cosmos_handler.messages.machine import MemoryWish
from cosmos_handler.messages.tasks import Continue, Upsampling
from tests.fakes import CARD, CODES, continuing, job, question, video_task

_IMAGE = MediaFile("image", "/nowhere/image.npy", 1, 640, 1024, None, 1, (0,))
# Another value of every field. Whoever adds a field to the task has to say here which of the two it is.
OWN = {
    "prompt": "another one",
    "negative_prompt": "dull",
    "seed": 12345,
    "temperature": 0.5,
    "top_p": 0.5,
    "media": _IMAGE,
    "inference_type": "image2world",
    "fps": 8.0,
    "encoding": "npz",
}
SHARED = {
    "guidance": 3.25,
    "num_steps": 3,
    "num_frames": 17,
    "num_output_frames": 16,
    "height": 320,
    "width": 512,
    "upsampling": Upsampling(model="reason", field="prompt_upsampling", question=question("longer")),
    "num_input_frames": 1,
    "decoder": "tokenizer",
    "num_chunks": 2,
    "chunk_overlap": 1,
}


def test_every_field_of_the_task_is_one_or_the_other() -> None:
    assert OWN.keys() | SHARED.keys() | {"kind"} == Continue.model_fields.keys()


@pytest.mark.parametrize("field", sorted(OWN | SHARED))
def test_jobs_that_differ_in_one_field(field: str) -> None:
    first = continuing()
    other = continuing()
    other.task = first.task.model_copy(update={field: (OWN | SHARED)[field]})
    assert other.task != first.task
    assert goes_with(first, other) is goes_with(other, first) is (field in OWN)


def test_jobs_of_other_models_and_kinds_do_not_go_together() -> None:
    first, other = continuing(), continuing()
    assert goes_with(first, other)
    other.model = "another"
    assert not goes_with(first, other)
    video = Job("job-1", model=CODES.name, task=video_task(), folder=first.folder)
    for one, two in ((first, video), (video, first), (video, video), (job(), job())):
        assert not goes_with(one, two)


def house(card: str = "h100", model: str = CODES.name) -> House:
    checkpoint = catalogue_models()[model].checkpoint
    assert checkpoint is not None
    gigabyte = 10**9
    machine = machine_of(CARDS[card], device_bytes=CARDS[card].memory_gigabytes * gigabyte, host_bytes=200 * gigabyte)
    return House((checkpoint,), guardrails_of_catalogue(), machine, MemoryWish(), {})


def alike(number: int, model: str = CODES.name, window: Window = "none") -> list[Job]:
    checkpoint = catalogue_models()[model].checkpoint
    assert checkpoint is not None
    jobs = []
    for index in range(number):
        task = usual_task(checkpoint).model_copy(update={"seed": index})
        folder = continuing().folder
        jobs.append(Job(f"job-{index}", model=model, task=task, folder=folder, window=window))
    return jobs


def lined_up(jobs: Sequence[Job]) -> Backlog:
    backlog = Backlog(100)
    for each in jobs:
        backlog.put(each)
    return backlog


def size_taken(gathering: Gathering, jobs: Sequence[Job], where: House | None, *, num_idle: int = 1) -> int:
    """How many are taken of a line, which are the first ones of it."""
    backlog = lined_up(jobs)
    taken = asyncio.run(gathering.take(backlog, where, num_idle=num_idle))
    assert taken == tuple(jobs[: len(taken)])
    assert backlog.waiting == tuple(jobs[len(taken) :])
    return len(taken)


def test_as_many_as_there_are_and_may_be() -> None:
    assert size_taken(Gathering(8), alike(3), house()) == 3
    assert size_taken(Gathering(2), alike(3), house()) == 2
    assert size_taken(Gathering(8), [], house()) == 0


def test_whoever_is_not_alike_is_not_passed_over() -> None:
    unlike = continuing(num_chunks=2)
    assert size_taken(Gathering(8), [*alike(2), unlike, *alike(2)], house()) == 2
    assert size_taken(Gathering(8), [unlike, *alike(2)], house()) == 1
    assert size_taken(Gathering(8), [job(), job()], house()) == 1


def test_what_is_left_goes_to_the_others_that_wait_for_work() -> None:
    for num_idle, size in ((0, 5), (1, 5), (2, 3), (3, 2), (5, 1), (9, 1)):
        assert size_taken(Gathering(8), alike(5), house(), num_idle=num_idle) == size


def test_nothing_is_planned_where_there_is_nothing_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(room, "plan_together")
    assert size_taken(Gathering(8), alike(1), house()) == 1
    monkeypatch.delattr(room, "goes_with")
    assert size_taken(Gathering(), alike(3), house()) == 1
    assert size_taken(Gathering(8), alike(3), None) == 1


def test_no_more_of_a_long_line_are_looked_at_than_can_go(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[Job] = []
    monkeypatch.setattr(room, "goes_with", lambda _, other: looked_at.append(other) or True)
    assert size_taken(Gathering(3), alike(50), house(), num_idle=2) == 3
    assert len(looked_at) == 5


def test_no_more_than_the_device_holds() -> None:
    where, jobs = replace(house("a100-40"), wish=MemoryWish(offload="none")), alike(40)
    size = size_taken(Gathering(64), jobs, where)
    assert 1 < size < 40
    with pytest.raises(NothingFits):
        plan_for(jobs[0].task, CODES.name, where, batch_size=size + 1)


def test_no_more_than_the_host_has_room_for_the_frames_of() -> None:
    jobs = alike(8)
    for each in jobs:
        each.task = each.task.model_copy(update={"num_output_frames": 33 + 24 * 30, "num_chunks": 31})
    video_bytes = 753 * 640 * 1024 * 3
    assert size_taken(Gathering(8), jobs, house()) == 4 * 2**30 // video_bytes == 2


def test_a_task_that_does_not_fit_is_taken_for_its_process_to_refuse() -> None:
    small = replace(house(), machine=CARD.model_copy(update={"device_bytes": 2**20}))
    assert size_taken(Gathering(8), alike(3), small) == 1


def test_fewer_where_more_would_take_longer_each() -> None:
    # On an L4, which holds the caches of sixteen, but their weights beside them no longer.
    model = "Cosmos-Predict1-5B-Video2World"
    where, jobs = house("l4", model), alike(16, model)
    each = {size: plan_for(jobs[0].task, model, where, batch_size=size).seconds / size for size in range(1, 17)}
    size = size_taken(Gathering(16), jobs, where)
    assert each[size] == min(each.values())
    assert 1 < size < 16


@pytest.mark.parametrize(
    ("windows", "waited_seconds", "size"),
    [
        (["none"] * 4, 0, 4),
        (["own"] * 4, 0, 2),  # 50, 81, 111, 141 s
        (["own"] * 4, 90, 2),
        (["whole"] * 4, 0, 2),
        (["whole"] * 4, 30, 1),  # 70 s are left
        (["whole"] * 4, 500, 1),
        (["none", "none", "own", "none"], 0, 2),
        (["none", "none", "none", "own"], 0, 3),
        (["whole", "none", "none", "none"], 30, 1),
    ],
)
def test_none_misses_its_window_for_the_sake_of_others(windows: list[Window], waited_seconds: float, size: int) -> None:
    jobs = alike(4)
    for each, window in zip(jobs, windows, strict=True):
        each.window = window
        each.created_at = time.time() - waited_seconds
    assert size_taken(Gathering(8, window_seconds=100), jobs, house()) == size
    assert size_taken(Gathering(8, window_seconds=None), jobs, house()) == 4


def test_what_is_predicted_of_each_is_what_was_planned_for_all() -> None:
    jobs, where = alike(3), house()
    asyncio.run(Gathering(8).take(lined_up(jobs), where))
    plan = plan_for(jobs[0].task, CODES.name, where, batch_size=3)
    for each in jobs:
        assert list(each.predicted) == list(plan.stage_seconds)
        assert each.predicted["generate"] == plan.stage_seconds["generate"]
        assert 3 * each.predicted["decode"] == pytest.approx(plan.stage_seconds["decode"])


def made_up(batch_size: int) -> Plan:
    stage = StagePlan("generate", 0, 0, (), compute_seconds=10 + batch_size, copy_seconds=0.0)
    return Plan((), {}, (stage,), CARD, "exact", "auto")


async def taken_while(backlog: Backlog, *gone: Job, more: Sequence[Job] = ()) -> tuple[Job, ...]:
    """What is taken where these leave the line, and those come, while plans are made."""
    taking = asyncio.create_task(Gathering(3).take(backlog, house()))
    await asyncio.sleep(0)  # the line has been looked at, and the thread has it
    for each in gone:
        assert backlog.withdraw(each)
    for each in more:
        backlog.put(each)
    assert not taking.done()
    return await taking


def test_the_line_may_change_while_plans_are_made() -> None:
    jobs = alike(5)
    assert asyncio.run(taken_while(lined_up(jobs), jobs[0])) == tuple(jobs[1:3])
    assert asyncio.run(taken_while(lined_up(jobs), jobs[1])) == (jobs[0], jobs[2])
    assert asyncio.run(taken_while(lined_up(jobs), *jobs[:3])) == ()
    assert asyncio.run(taken_while(lined_up(jobs[:2]), more=jobs[2:])) == tuple(jobs[:2])
    jobs = alike(5)
    backlog = lined_up(jobs)
    assert asyncio.run(taken_while(backlog, *jobs[:2])) == (jobs[2],)
    assert backlog.waiting == tuple(jobs[3:])
    assert jobs[2].predicted == {}  # as it was, for it is made by itself


def test_giving_up_in_the_middle_of_it_takes_nothing() -> None:
    async def run() -> None:
        backlog = lined_up(jobs)
        taking = asyncio.create_task(Gathering(3).take(backlog, house()))
        await asyncio.sleep(0)
        taking.cancel()
        await asyncio.wait({taking})
        assert backlog.waiting == tuple(jobs)

    jobs = alike(3)
    asyncio.run(run())


async def _shared_line(arrivals: Sequence[tuple[int, int, bool]], *, num_takers: int) -> None:
    """Jobs come, of whatever kind and with whatever pause; some leave. Takers take until there is nothing any more."""
    backlog, taken, left = Backlog(100), [], []

    async def take() -> None:
        while True:
            await backlog.wait()
            together = await Gathering(4).take(backlog, House((CODES,), NO_GUARDRAILS, CARD, MemoryWish(), {}))
            for each in together:
                assert each.start()  # nobody else has
                assert goes_with(together[0], each)
            taken.extend(together)

    takers = [asyncio.create_task(take()) for _ in range(num_takers)]
    come = []
    for number, (kind, pauses, leaves) in enumerate(arrivals):
        come.append(continuing(job_id=f"job-{number}", num_steps=kind))
        backlog.put(come[-1])
        for _ in range(pauses):
            await asyncio.sleep(0)
        if leaves and backlog.withdraw(come[number // 2]):
            left.append(come[number // 2])
    async with asyncio.timeout(20):
        while len(taken) + len(left) < len(come):
            assert not any(taker.done() for taker in takers)
            await asyncio.sleep(0.001)
    assert taken == [each for each in come if each not in left]  # in their order, and each of them once
    for taker in takers:
        taker.cancel()
    await asyncio.wait(takers)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3), st.booleans()), max_size=20), st.integers(1, 3))
def test_several_that_take_from_one_line_lose_nobody(arrivals: list[tuple[int, int, bool]], num_takers: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "plan_together", lambda tasks, *_: made_up(len(tasks)))
        asyncio.run(_shared_line(arrivals, num_takers=num_takers))
