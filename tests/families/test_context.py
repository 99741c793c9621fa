"""A run's stages, one inside of another."""

import time
from typing import Any

import pytest

from tests.families.test_vae import Parts, context_with

pytestmark = pytest.mark.model


def test_the_outer_stage_goes_on_where_it_was() -> None:
    told: list[tuple[str, int, int]] = []
    parts = Parts()
    context = context_with(parts, told)
    with context.stage("denoise", ("transformer",), lazily=True, num_steps=8, from_step=4):
        with context.stage("encode_media", ("tokenizer",)):
            assert parts.in_use == [("transformer",), ("tokenizer",)]
        assert context.step_number == 4
        context.step(5, 8)
        with context.stage("decode", ("tokenizer",), num_steps=2):
            context.step(1, 2)
            context.step(2, 2)
        assert (context.stage_name, context.step_number) == ("denoise", 5)
        context.step(6, 8)
    with context.stage("arrange"):
        pass
    assert told == [
        ("denoise", 4, 8), ("encode_media", 0, 0), ("denoise", 4, 8), ("denoise", 5, 8),
        ("decode", 0, 2), ("decode", 1, 2), ("decode", 2, 2), ("denoise", 5, 8), ("denoise", 6, 8),
        ("arrange", 0, 0),
    ]  # fmt: skip
    assert list(context.stage_seconds) == ["encode_media", "decode", "denoise", "arrange"]


def test_the_seconds_of_a_stage_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    context = context_with(Parts(), [])

    def spend(seconds: float) -> None:
        now[0] += seconds

    for _ in range(2):
        with context.stage("outer"):
            spend(1)
            with context.stage("inner"):
                spend(10)
                with context.stage("innermost"):
                    spend(100)
                spend(20)
            spend(2)
            with context.stage("inner"):
                spend(40)
            spend(4)
    assert context.stage_seconds == {"innermost": 200, "inner": 140, "outer": 14}


@pytest.mark.parametrize("error", [RuntimeError("in the middle"), KeyboardInterrupt()])
def test_after_an_error_the_stage_that_it_came_in_is_named(error: BaseException) -> None:
    told: list[Any] = []
    context = context_with(Parts(), told)

    def fail() -> None:
        with context.stage("denoise", num_steps=3), context.stage("decode", num_steps=9):
            context.step(5, 9)
            raise error

    with pytest.raises(type(error)):
        fail()
    assert (context.stage_name, context.step_number) == ("decode", 5)
    assert told[-1] == ("decode", 5, 9)
    with context.stage("next"):  # one of its own again, and not inside of any
        pass
    assert told[-1] == ("next", 0, 0)
