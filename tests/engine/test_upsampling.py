"""Which reasoner writes a longer prompt, and what it is asked."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.engine.inbox import Inbox
from cosmos_handler.engine.tasks import build_task
from cosmos_handler.errors import InvalidField
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.messages.tasks import Generate, Omni
from cosmos_handler.schemas.invocation import parse
from cosmos_handler.schemas.served import Served
from tests.fakes import COSMOS3, PREDICT, REASON

OTHER = replace(REASON, name="other", family="reason1")


def task(*models: Checkpoint, **body: Any) -> Generate:
    served = [Served(model.name, model.aliases, model.family, model.tasks) for model in models]
    whole = {"prompt": "a robot", "inference_type": "text2world", **body}
    inbox = Inbox(Path("/nowhere"), {}, MediaLimits(), asyncio.Semaphore())
    built = asyncio.run(build_task(parse(whole, models=served), models[0], models, inbox, "mp4"))
    assert isinstance(built, Generate)
    return built


def test_off_by_default() -> None:
    assert task(PREDICT, REASON).upsampling is None
    assert task(PREDICT, prompt_upsampling=False).upsampling is None


def test_the_only_reasoner_is_asked() -> None:
    plan = task(PREDICT, REASON, upsample_prompt=True, seed=5).upsampling
    assert plan is not None
    assert (plan.model, plan.field, plan.question.seed) == ("reason", "upsample_prompt", 5)
    system, user = plan.question.turns
    assert system.pieces[0].text == "You are a helpful assistant."
    (words,) = user.pieces
    assert "80 to 100 words" in (words.text or "")
    assert (words.text or "").endswith("\na robot")


def test_reason_1_has_its_task_in_the_systems_turn() -> None:
    plan = task(PREDICT, OTHER, prompt_upsampling=True).upsampling
    assert plan is not None
    system, user = plan.question.turns
    assert "80 to 100 words" in (system.pieces[0].text or "")
    assert [piece.text for piece in user.pieces] == ["a robot"]


def test_of_several_the_one_that_is_paired() -> None:
    plan = task(replace(PREDICT, prompt_upsampler="other"), REASON, OTHER, prompt_upsampling=True).upsampling
    assert plan is not None
    assert plan.model == "other"


@pytest.mark.parametrize(
    ("models", "said"), [((PREDICT,), "needs a reasoner"), ((PREDICT, REASON, OTHER), "could go to reason, other")]
)
def test_refused_before_anything_is_read(models: tuple[Checkpoint, ...], said: str) -> None:
    with pytest.raises(InvalidField, match=said) as caught:
        task(*models, upsample_prompt=True, inference_type="image2world", image="this is no picture")
    assert caught.value.field == "upsample_prompt"


def omni_task(*models: Checkpoint, **body: Any) -> Omni:
    served = [Served(model.name, model.aliases, model.family, model.tasks) for model in models]
    whole = {"prompt": "a robot", "model_mode": "text2video", "prompt_upsampling": True, "model": "omni", **body}
    inbox = Inbox(Path("/nowhere"), {}, MediaLimits(), asyncio.Semaphore())
    built = asyncio.run(build_task(parse(whole, models=served), models[0], models, inbox, "mp4"))
    assert isinstance(built, Omni)
    return built


def test_a_cosmos_3_asks_itself_for_a_caption_as_nvidia_draws_it() -> None:
    plan = omni_task(COSMOS3, REASON, OTHER).upsampling
    assert plan is not None
    drawn = plan.question
    assert (plan.model, drawn.seed, drawn.max_tokens, drawn.default_max_tokens) == ("omni", 3407, None, 20_000)
    assert (drawn.temperature, drawn.top_p, drawn.top_k, drawn.presence_penalty) == (0.7, 0.8, 20, 1.5)
    words = plan.question.turns[1].pieces[0].text or ""
    assert '"segments"' in words
    assert "they end by 0:08" in words
    assert words.endswith("\na robot")


def test_the_caption_of_a_picture_knows_no_time() -> None:
    plan = omni_task(
        COSMOS3, model_mode="text2image", prompt_upsampler_seed=5, prompt_upsampler_temperature=0
    ).upsampling
    assert plan is not None
    assert '"segments"' not in (plan.question.turns[1].pieces[0].text or "")
    assert (plan.question.seed, plan.question.do_sample) == (5, False)


def test_another_reasoner_writes_for_a_cosmos_3_where_it_is_paired() -> None:
    plan = omni_task(replace(COSMOS3, prompt_upsampler="reason"), REASON, OTHER).upsampling
    assert plan is not None
    assert plan.model == "reason"


def test_how_a_caption_is_written_goes_with_one_that_is() -> None:
    nvidias = {
        "prompt_upsampler_max_tokens": 20_000,
        "prompt_upsampler_temperature": 0.7,
        "prompt_upsampler_seed": 3407,
    }
    assert omni_task(COSMOS3, prompt_upsampling=False, **nvidias).upsampling is None
    with pytest.raises(InvalidField, match="without prompt_upsampling") as caught:
        omni_task(COSMOS3, prompt_upsampling=False, prompt_upsampler_top_k=5)
    assert caught.value.field == "prompt_upsampler_top_k"
