"""The usual and the least that can be asked of a model that goes on from a medium."""

from dataclasses import replace

import pytest

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.guardrail import Guardrails
from cosmos_handler.memory.catalogue import guardrails_of_catalogue
from cosmos_handler.memory.guarding import guard_prompt_stage
from cosmos_handler.memory.usual import smallest_task, usual_task
from cosmos_handler.messages.tasks import Continue
from tests.fakes import CONTINUE, CONTINUE_PROMPTED

assert CONTINUE.generation is not None
SHORT = replace(CONTINUE, generation=replace(CONTINUE.generation, max_frames=9, max_height=48, max_width=80))


def usual(checkpoint: Checkpoint) -> Continue:
    task = usual_task(checkpoint)
    assert isinstance(task, Continue)
    return task


def smallest(checkpoint: Checkpoint) -> Continue:
    task = smallest_task(checkpoint)
    assert isinstance(task, Continue)
    return task


def test_usually_the_end_of_a_video_is_gone_on_from() -> None:
    task = usual(CONTINUE_PROMPTED)
    assert (task.inference_type, task.num_input_frames, task.num_frames, task.num_chunks) == ("video2world", 9, 33, 1)
    assert (task.height, task.width, task.decoder, task.num_steps) == (640, 1024, "diffusion", 15)
    assert len(task.prompt) > 1000
    assert (usual(CONTINUE).prompt, usual(CONTINUE).num_steps) == ("", 0)


@pytest.mark.parametrize(
    ("checkpoint", "decoder", "num_steps"), [(CONTINUE, "tokenizer", 0), (CONTINUE_PROMPTED, "diffusion", 1)]
)
def test_the_least_is_an_image_and_one_more_frame_of_tokens(
    checkpoint: Checkpoint, decoder: str, num_steps: int
) -> None:
    task = smallest(checkpoint)
    assert (task.inference_type, task.num_input_frames) == ("image2world", 1)
    assert (task.num_frames, task.num_output_frames, task.num_chunks) == (9, 9, 1)
    assert (task.height, task.width) == (640, 1024)
    assert (task.decoder, task.num_steps) == (decoder, num_steps)


def test_a_model_of_short_videos_at_its_own_size() -> None:
    task = usual(SHORT)
    assert (task.num_frames, task.num_input_frames, task.height, task.width) == (9, 1, 48, 80)


def test_without_a_prompt_no_words_are_judged() -> None:
    guardrails: Guardrails = guardrails_of_catalogue()
    assert guard_prompt_stage(guardrails, [20])
    assert guard_prompt_stage(guardrails, []) == ()
