"""Which field a fault is laid to, in the client's own words."""

from typing import Any

import pytest
from pydantic import ValidationError

from cosmos_handler.errors import InvalidField
from cosmos_handler.schemas.fields import validate
from cosmos_handler.schemas.reasoning import ChatRequest


def fault(messages: object) -> InvalidField:
    with pytest.raises(InvalidField) as caught:
        validate(ChatRequest, {"messages": messages}, spelling={}, strict=True)
    return caught.value


def says(content: object) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (None, ""),
        (5, ""),
        ([1], ".0"),
        ([{"text": "a"}], ".0"),
        ([{"type": "audio_url"}], ".0"),
        ([{"type": "text", "text": 5}], ".0.text"),
        ([{"type": "text", "text": "a", "size": 1}], ".0.size"),
        ([{"type": "text", "text": "a"}, {"type": "image_url"}], ".1.image_url"),
        ([{"type": "image_url", "image_url": "https://x"}], ".0.image_url"),
        ([{"type": "image_url", "image_url": {"url": 5}}], ".0.image_url.url"),
        ([{"type": "video_url", "video_url": {"url": "a", "fps": 5}}], ".0.video_url.fps"),
    ],
)
def test_a_fault_in_a_conversation_is_where_the_client_wrote_it(content: object, place: str) -> None:
    assert fault(says(content)).field == f"messages.0.content{place}"


@pytest.mark.parametrize("messages", [[0] * 1_000_000, says("a") * 1_000_000, says([0] * 1_000_000)])
def test_a_million_faults_are_not_collected(messages: object) -> None:
    """Each would be an object of its own: minutes of the loop that answers /ping."""
    collected = fault(messages).__context__
    assert isinstance(collected, ValidationError)
    assert collected.error_count() == 1


def test_too_many_messages_are_told_the_limit() -> None:
    assert fault(says("a") * 1001).allowed == "a list of 1 to 1000 messages"
