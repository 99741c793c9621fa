"""How far, and how long still."""

import pytest

from cosmos_handler.engine.pace import Pace, main_stages
from cosmos_handler.memory.usual import usual_task
from cosmos_handler.messages.wire import Progress
from tests.fakes import CONTINUE_PROMPTED, question


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    return Pace(clock)


def note(pace: Pace, stage: str, step: int, num_steps: int) -> None:
    pace.note(Progress(job_id="job-1", stage=stage, step=step, num_steps=num_steps))


def test_nothing_is_known_at_first(pace: Pace, clock: Clock) -> None:
    assert (pace.percent, pace.seconds_left) == (0, None)
    note(pace, "encode_text", 0, 0)
    clock.now += 50
    assert (pace.percent, pace.seconds_left) == (0, None)


def test_steps_tell_the_rest_which_shrinks_between_them(pace: Pace, clock: Clock) -> None:
    note(pace, "denoise", 0, 10)
    clock.now += 6
    note(pace, "denoise", 3, 10)
    assert (pace.percent, pace.seconds_left) == (30, 14)
    clock.now += 1
    assert pace.seconds_left == 13
    clock.now += 100
    assert pace.seconds_left == 0


def test_a_later_chunk_goes_on_where_the_earlier_ended(pace: Pace, clock: Clock) -> None:
    note(pace, "denoise", 0, 20)
    clock.now += 10
    note(pace, "denoise", 10, 20)
    note(pace, "decode", 0, 0)
    assert (pace.percent, pace.seconds_left) == (50, None)
    clock.now += 500
    note(pace, "denoise", 10, 20)
    assert pace.seconds_left is None
    clock.now += 2
    note(pace, "denoise", 11, 20)
    assert (pace.percent, pace.seconds_left) == (55, 18)


def test_words_of_an_upsampler_are_no_share_of_the_video(pace: Pace, clock: Clock) -> None:
    note(pace, "upsample_prompt", 0, 0)
    clock.now += 1
    note(pace, "upsample_prompt", 511, 512)
    assert pace.percent == 0
    note(pace, "denoise", 0, 4)
    clock.now += 1
    note(pace, "denoise", 4, 4)
    assert pace.percent == 99


def test_tokens_and_their_decoding_are_half_a_video_each(clock: Clock) -> None:
    pace = Pace(clock, main=("generate", "diffusion_decode"))
    note(pace, "generate", 5, 20)
    assert pace.percent == 12
    note(pace, "generate", 10, 20)
    note(pace, "diffusion_decode", 15, 30)
    assert pace.percent == 50
    note(pace, "generate", 10, 20)
    assert pace.percent == 50
    note(pace, "generate", 20, 20)
    note(pace, "diffusion_decode", 30, 30)
    assert pace.percent == 99


def test_which_stages_those_are_is_the_tasks() -> None:
    task = usual_task(CONTINUE_PROMPTED)
    assert main_stages(task) == ("generate", "diffusion_decode")
    assert main_stages(task.model_copy(update={"decoder": "tokenizer"})) == ("generate",)
    assert main_stages(question("Why?")) == ("denoise",)
