"""What is refused before any work, and the nearest request that would be done."""

from dataclasses import replace
from typing import Any

import pytest

from cosmos_handler.errors import OverWindow, WillNotFit
from cosmos_handler.memory.cards import CARDS, machine_of
from cosmos_handler.memory.catalogue import catalogue_models, guardrails_of_catalogue
from cosmos_handler.memory.nearest import refuse_impossible
from cosmos_handler.memory.planning import House
from cosmos_handler.memory.usual import usual_task
from cosmos_handler.messages.machine import MemoryWish
from cosmos_handler.messages.tasks import Task, Transfer

GB = 10**9


def house(name: str, device_gb: float) -> tuple[Task, House]:
    """The usual task of a public model, and a machine with so large a card."""
    checkpoint = catalogue_models()[name].checkpoint
    assert checkpoint is not None
    machine = machine_of(CARDS["a10g"], device_bytes=int(device_gb * GB), host_bytes=64 * GB)
    return usual_task(checkpoint), House((checkpoint,), guardrails_of_catalogue(), machine, MemoryWish(), {})


def changed(task: Task, nearest: Any) -> Task:
    """The task with what was advised."""
    update = {"num_frames_per_chunk" if "chunk" in name else name: value for name, value in nearest.items()}
    if "num_output_frames" in update:
        update["num_frames"] = update["num_output_frames"]
    if "resolution" in update:
        update["height"], update["width"] = (int(side) for side in update.pop("resolution").split(","))
    return task.model_copy(update=update)


def test_what_is_placed_by_hand_and_is_nowhere_is_named() -> None:
    _, small = house("Cosmos-Transfer2.5-2B", 40)
    wish = MemoryWish(placement={"prompt_upsampler": "disk", "transformer": "streamed", "guardrails": "disk"})
    assert replace(small, wish=wish).unheeded() == ("prompt_upsampler",)
    assert small.unheeded() == ()


@pytest.mark.parametrize("conditional_frames", [1, 5, 9])
@pytest.mark.parametrize("device_gb", [4, 6, 8, 10])
def test_a_long_transfer_that_does_not_fit(device_gb: float, conditional_frames: int) -> None:
    """No chunk is tried that has no more frames than the next one repeats of it."""
    name = "Cosmos-Transfer2.5-2B"
    task, small = house(name, device_gb)
    more = {"num_frames": 200, "num_output_frames": 200, "num_conditional_frames": conditional_frames}
    task = task.model_copy(update=more)
    with pytest.raises(WillNotFit) as caught:
        refuse_impossible(task, name, small, window_seconds=None)
    assert "GiB of the device" in str(caught.value)
    if caught.value.nearest:
        advised = changed(task, caught.value.nearest)
        assert isinstance(advised, Transfer)
        assert advised.num_frames_per_chunk > conditional_frames
        assert refuse_impossible(advised, name, small, window_seconds=None).peak_bytes <= small.machine.device_bytes


@pytest.mark.parametrize("name", ["Cosmos-Predict2.5-14B", "Cosmos3-Nano"])
def test_the_advice_can_be_followed(name: str) -> None:
    task, small = house(name, 11)
    with pytest.raises(WillNotFit) as caught:
        refuse_impossible(task, name, small, window_seconds=None)
    assert caught.value.nearest
    advised = changed(task, caught.value.nearest)
    assert refuse_impossible(advised, name, small, window_seconds=None).peak_bytes <= small.machine.device_bytes


def test_what_takes_too_long_is_refused_with_what_would_not() -> None:
    name = "Cosmos-Predict2.5-2B"
    task, machine = house(name, 24)
    with pytest.raises(OverWindow) as caught:
        refuse_impossible(task, name, machine, window_seconds=900)
    advised = changed(task, caught.value.nearest)
    assert refuse_impossible(advised, name, machine, window_seconds=900).seconds <= 900


def test_a_conversation_for_which_nothing_is_left_is_refused_too() -> None:
    name = "Cosmos-Reason2-2B"
    task, small = house(name, 2)
    with pytest.raises(WillNotFit, match="no smaller request would do") as caught:
        refuse_impossible(task, name, small, window_seconds=None)
    assert not caught.value.nearest
