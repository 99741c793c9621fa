"""The Accept header chooses among what is offered."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos_handler.api.accept import choose
from cosmos_handler.errors import NotAcceptable

OFFERED = ("application/json", "video/mp4", "application/x-npz", "text/event-stream")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("video/mp4", "video/mp4"),
        ("VIDEO/MP4", "video/mp4"),
        ("video/*", "video/mp4"),
        ("application/x-npz, */*;q=0.1", "application/x-npz"),
        ("application/json;q=0.2, video/mp4;q=0.9", "video/mp4"),
        ("application/json;q=0, */*", "video/mp4"),
        ("text/event-stream; charset=utf-8", "text/event-stream"),
    ],
)
def test_choices(header: str | None, expected: str) -> None:
    assert choose(header, OFFERED) == expected


@pytest.mark.parametrize("header", ["image/png", "video/mp4;q=0", "video/mp4;q=high", "text/html, image/*"])
def test_what_cannot_be_met_names_what_can(header: str) -> None:
    with pytest.raises(NotAcceptable, match="video/mp4"):
        choose(header, OFFERED)


@given(st.text(max_size=60))
def test_any_header_is_an_offer_or_a_refusal(header: str) -> None:
    with contextlib.suppress(NotAcceptable):
        assert choose(header, OFFERED) in OFFERED
