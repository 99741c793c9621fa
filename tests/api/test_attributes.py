"""What callers of SageMaker say in the one header they have."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from cosmos_handler.api.attributes import ATTRIBUTES_HEADER, Attributes, read_attributes
from cosmos_handler.errors import InvalidField

VALUES = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=20)


def read(*texts: str) -> Attributes:
    raw = [(ATTRIBUTES_HEADER.lower().encode(), text.encode("latin-1")) for text in texts]
    return read_attributes(Headers(raw=raw))


@pytest.mark.parametrize(
    ("text", "route", "method", "fields"),
    [
        ("", None, None, {}),
        ("c000b4f9-df62-4c85-a0bf-7c525f9104a4", None, None, {}),
        ("{c000b4f9}", None, None, {}),  # somebody's mark
        ("trace=1,prompt=x", None, None, {}),
        ("route=/v1/models", "/v1/models", None, {}),
        ("trace=7; route=/v1/videos?limit=2 ;method=get", "/v1/videos?limit=2", "GET", {}),
        ("method=DELETE,route=/v1/videos/a", "/v1/videos/a", "DELETE", {}),
        ('{"route": "/v1/infer", "num_steps": 4}', "/v1/infer", None, {"num_steps": 4}),
        ('{"prompt": "a, route=/x", "extra": {"route": 1}}', None, None,
         {"prompt": "a, route=/x", "extra": {"route": 1}}),
        ("{ }", None, None, {}),
    ],
)  # fmt: skip
def test_what_it_says(text: str, route: str | None, method: str | None, fields: dict[str, Any]) -> None:
    assert read(text) == Attributes(text, route, method, fields)


def test_no_header_says_nothing() -> None:
    assert read() == Attributes()


@pytest.mark.parametrize(
    "texts",
    [
        ("a" * 1025,), ("é",), ("a\tb",), ("a", "b"), ('{"a": ',), ('{"a": NaN}',), ('{"a": "\\ud800"}',),
        ("route=x",), ("route=",), ("route=/a,route=/b",), ('{"route": 3}',), ('{"route": "/a b"}',), ("method=G E",),
        ('{"method": ["GET"]}',),
    ],
)  # fmt: skip
def test_what_is_wrong_names_the_header(texts: tuple[str, ...]) -> None:
    with pytest.raises(InvalidField) as refused:
        read(*texts)
    assert refused.value.field == ATTRIBUTES_HEADER


def test_a_name_that_stands_twice_is_named() -> None:
    with pytest.raises(InvalidField, match="seed: is given twice"):
        read('{"seed": 1, "seed": 2}')


@given(st.dictionaries(st.text(max_size=10).filter(lambda key: key not in ("route", "method")), VALUES, max_size=8))
def test_fields_come_as_they_were_sent(fields: dict[str, Any]) -> None:
    text = json.dumps({"route": "/v1/infer", **fields})
    try:
        found = read(text)
    except InvalidField:
        assert len(text) > 1024 or "\\ud" in text
    else:
        assert (found.text, found.route, found.fields) == (text, "/v1/infer", fields)


@given(st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=1100))
def test_any_text_is_kept_or_refused(text: str) -> None:
    try:
        found = read(text)
    except InvalidField:
        return
    assert found.text == text
    assert text.isascii()
    assert len(text) <= 1024
    assert found.fields == {} or text.strip().startswith("{")
