"""From a conversation to its task: NVIDIA's values where nothing is said, and the words that turn thinking on."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.artifacts.checkpoint import Family
from cosmos_handler.artifacts.reasoning_defaults import reasoning_defaults
from cosmos_handler.engine.inbox import Inbox
from cosmos_handler.engine.instructions import asked_to_think
from cosmos_handler.engine.looking import look
from cosmos_handler.engine.reasoning import reasoning_task
from cosmos_handler.errors import InvalidField, TooLarge
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.messages.tasks import Answer, Piece, Turn, Vision
from cosmos_handler.schemas.invocation import Invocation, parse
from cosmos_handler.schemas.reasoning import ChatRequest, ReasoningRequest
from cosmos_handler.schemas.served import Served
from tests.conftest import data_url
from tests.container.media import png
from tests.fakes import REASON

NO_INBOX: Any = None  # there is no medium in these requests


def invocation(family: Family, **body: Any) -> Invocation:
    if "messages" not in body:
        body["prompt"] = "x"
    return parse({"model": "m", **body}, models=[Served("m", (), family, ("reasoner",))])


def task(family: Family, **body: Any) -> Answer:
    asked = invocation(family, **body)
    assert isinstance(asked.request, ReasoningRequest | ChatRequest)
    inbox: Inbox = NO_INBOX
    return asyncio.run(reasoning_task(asked, asked.request, replace(REASON, family=family), inbox))


def drawing(answer: Answer) -> tuple[Any, ...]:
    return answer.do_sample, answer.temperature, answer.top_p, answer.top_k, answer.repetition_penalty


@pytest.mark.parametrize(
    ("family", "reasoning", "drawn", "presence", "seed"),
    [
        ("reason1", False, (True, 0.01, None, None, None), 0, 42),
        ("reason1", True, (True, 0.01, None, None, None), 0, 42),
        ("reason2", False, (None, None, None, None, None), 0, 0),
        ("reason2", True, (None, None, None, None, None), 0, 0),
        ("cosmos3", False, (True, 0.7, 0.8, 20, 1.0), 1.5, 0),
        ("cosmos3", True, (True, 0.6, 0.95, 20, 1.0), 0, 0),
    ],
)
def test_nvidias_way_to_draw(
    family: Family, reasoning: bool, drawn: tuple[Any, ...], presence: float, seed: int
) -> None:
    answer = task(family, reasoning=reasoning)
    assert drawing(answer) == drawn
    assert (answer.presence_penalty, answer.seed, answer.default_max_tokens) == (
        presence,
        seed,
        1024 if family == "cosmos3" else 4096,
    )
    assert answer.reasoning is reasoning


@pytest.mark.parametrize("said", [{"temperature": 5e-324}, {"temperature": 1e-5}, {"repetition_penalty": 5e-324}])
def test_what_scores_cannot_be_divided_by_is_refused(said: dict[str, float]) -> None:
    (name,) = said
    with pytest.raises(InvalidField) as caught:
        task("reason2", **said)
    assert caught.value.field == name
    assert "0.0" in str(caught.value)
    assert task("reason2", temperature=0, repetition_penalty=0.01).do_sample is False


def test_what_is_said_goes_before_what_nvidia_says() -> None:
    said = {"temperature": 0.3, "top_p": 0.4, "top_k": 5, "repetition_penalty": 1.2}
    assert drawing(task("cosmos3", **said)) == (True, *said.values())
    answer = task("cosmos3", presence_penalty=0, seed=0, max_tokens=3)
    assert (answer.presence_penalty, answer.seed, answer.max_tokens) == (0, 0, 3)
    assert task("reason1", seed=0).seed == 0
    assert drawing(task("cosmos3", temperature=0)) == (False, None, None, None, 1.0)
    assert drawing(task("reason1", do_sample=False)) == (False, None, None, None, None)
    with pytest.raises(InvalidField, match="do_sample"):
        task("reason2", do_sample=True, temperature=0)


def words_of(turns: list[Turn]) -> list[str]:
    return ["|".join(piece.text or "<medium>" for piece in turn.pieces) for turn in turns]


def test_thinking_is_turned_on_where_each_family_looks_for_it() -> None:
    turns = [
        Turn(role="system", pieces=(Piece(text="Be brief."),)),
        Turn(role="user", pieces=(Piece(text="First"),)),
        Turn(role="assistant", pieces=(Piece(text="Yes"),)),
        Turn(role="user", pieces=(Piece(), Piece(text="Then", field="f"))),
    ]
    system, first, said, last = words_of(asked_to_think(turns, "reason1"))
    assert system.startswith("Be brief.\n\n")
    assert system.index("<think>") < system.index("</think>") < system.index("<answer>") < system.index("</answer>")
    assert (first, said, last) == ("First", "Yes", "<medium>|Then")
    for family in ("reason2", "cosmos3"):
        system, first, said, last = words_of(asked_to_think(turns, family))
        assert (system, first, said) == ("Be brief.", "First", "Yes")
        assert last.startswith("<medium>|Then\n\n")
        assert last.index("<think>") < last.index("</think>")
        assert "<answer>" not in last
    assert asked_to_think(turns, "reason2")[-1].pieces[-1].field == "f"
    wordless = [Turn(role="user", pieces=(Piece(),))]
    assert "</think>" in words_of(asked_to_think(wordless, "reason2"))[0]


def seen(family: Family, **body: Any) -> Any:
    asked = invocation(family, **body)
    assert isinstance(asked.request, ReasoningRequest | ChatRequest)
    return look(asked, asked.request, family, reasoning_defaults(family, reasoning=False))


def test_nvidias_way_to_look() -> None:
    assert seen("reason1").vision == Vision(total_pixels=6_422_528)
    assert (seen("reason1").frames.fps, seen("reason1").frames.rule) == (4.0, "equal_steps")
    for family in ("reason2", "cosmos3"):
        assert seen(family).vision == Vision()
        assert (seen(family).frames.fps, seen(family).frames.rule) == (4.0, "both_ends")
    assert seen("reason1", max_pixels=100).vision == Vision(max_pixels=100)
    assert seen("reason1", timestamps=True).vision == Vision(total_pixels=6_422_528, timestamps=True)


def test_bounds_on_frames_move_each_other_only_as_far_as_they_must() -> None:
    frames = seen("reason2", max_frames=2).frames
    assert (frames.min_frames, frames.max_frames) == (2, 2)
    frames = seen("reason2", min_frames=800).frames
    assert (frames.min_frames, frames.max_frames) == (800, 800)


def test_the_fields_of_a_chat_mean_what_they_mean_for_vllm_and_the_nim() -> None:
    messages = [{"role": "user", "content": "x"}]
    whole = {"video": {"num_frames": -1}}
    assert seen("reason2", messages=messages, media_io_kwargs=whole).frames.num_frames == -1
    frames = seen("reason2", messages=messages, media_io_kwargs=whole, mm_processor_kwargs={"fps": 2}).frames
    assert (frames.num_frames, frames.fps) == (None, 2)
    assert seen("reason2", messages=messages, media_io_kwargs={"video": {"num_frames": 16}}).frames.num_frames == 16
    vision = seen("reason2", messages=messages, mm_processor_kwargs={"size": {"longest_edge": 5000}}).vision
    assert vision == Vision(longest_edge=5000)


def test_what_a_conversation_shows_is_bounded_together(tmp_path: Path) -> None:
    picture = {"type": "image_url", "image_url": {"url": data_url(png(48, 80), "image/png")}}  # 11520 bytes
    asked = invocation("reason2", messages=[{"role": "user", "content": [picture, picture]}])
    assert isinstance(asked.request, ChatRequest)

    async def build(most: int) -> Answer:
        inbox = Inbox(tmp_path, {}, MediaLimits(max_decoded_bytes=most), asyncio.Semaphore(1))
        return await reasoning_task(asked, asked.request, REASON, inbox)

    assert len(asyncio.run(build(23_040)).turns[-1].pieces) == 2
    with pytest.raises(TooLarge, match="makes 23040 bytes of frames with the media before it"):
        asyncio.run(build(23_039))
