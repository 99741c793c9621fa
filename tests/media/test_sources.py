"""References: what is read, what is refused, and that nothing else ever comes out."""

import base64
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmos_handler.errors import InvalidField, MediaError, RequestError, TooLarge
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.media.sources import is_address, read_reference

LIMITS = MediaLimits(max_source_bytes=1000)
ALLOWED = "a data: URL, or something else"


def read(text: str) -> bytes:
    return read_reference(text, field="image", allowed=ALLOWED, limits=LIMITS)


@settings(deadline=None)
@given(
    st.binary(min_size=1, max_size=1000), st.sampled_from(["", "image/png", "video/mp4;codecs=avc1", ";charset=utf-8"])
)
def test_any_bytes_come_back_from_a_data_url(data: bytes, media_type: str) -> None:
    assert read(f"data:{media_type};base64,{base64.b64encode(data).decode()}") == data


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=1000))
def test_any_bytes_come_back_from_base64(data: bytes) -> None:
    assert read(base64.b64encode(data).decode()) == data


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=300), st.integers(1, 80))
def test_base64_may_be_wrapped_and_indented(data: bytes, width: int) -> None:
    lines = textwrap.wrap(base64.b64encode(data).decode(), width)
    assert read("\n  " + "\r\n\t".join(lines) + "\n") == data


@settings(deadline=None)
@given(st.text() | st.from_regex(r"data:[a-z/;=0-9]*,?[A-Za-z0-9+/=% ]*") | st.from_regex(r"[A-Za-z0-9+/]{0,40}={0,4}"))
def test_junk_is_a_fault_of_the_request(text: str) -> None:
    try:
        data = read(text)
    except RequestError as error:
        assert getattr(error, "field", None) == "image"  # noqa: PT017 - which class it is differs, the field does not
    else:
        assert data


def test_the_scheme_and_the_encoding_are_read_in_any_case() -> None:
    assert read("DATA:image/png;BASE64,AAAA") == b"\0\0\0"


@pytest.mark.parametrize("text", ["https://a/b", "HTTP://a", "s3://bucket/key", "file:///a", "file:a", "S3:x"])
def test_an_address_is_told_from_bytes(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize("text", ["data:image/png;base64,AAAA", "AAAA", "ftp://a/b", "httpsAAAA", "concat:a|b", ""])
def test_what_is_none(text: str) -> None:
    assert not is_address(text)


@pytest.mark.parametrize("text", ["ftp://example.com/a.png", "concat:a.mp4|b.mp4", "gopher://x", "javascript:1"])
def test_a_scheme_that_is_not_read_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(InvalidField, match="not read here") as caught:
        read(text)
    assert caught.value.field == "image"
    assert text.split(":")[0] in str(caught.value)
    assert caught.value.allowed == ALLOWED


@pytest.mark.parametrize("text", ["robot.jpg", "/opt/ml/input/robot.jpg", "../robot.mp4", "C:\\robot.jpg", "~/robot"])
def test_a_path_is_refused_as_such(text: str) -> None:
    with pytest.raises(InvalidField, match="not read here") as caught:
        read(text)
    assert caught.value.field == "image"


@pytest.mark.parametrize(
    "text",
    [
        "AAA",  # padding is missing
        "AAA-",  # the alphabet of file names
        "AA==AAAA",  # goes on after the end
        "AAAA====",
        "=AAA",
        "AA\x00A",
        "\N{LATIN SMALL LETTER E WITH ACUTE}AAA",
        "data:image/png;base64,%41%41%41%41",
        "data:image/png;base64",
        "data:image/png,AAAA",
        "data:text/plain;charset=utf-8,hello%20world",
        "data:base64,AAAA",
        "data:" + "a" * 2000 + ";base64,AAAA",
    ],
)
def test_what_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(InvalidField) as caught:
        read(text)
    assert caught.value.field == "image"


@pytest.mark.parametrize("text", ["", "  \n", "data:image/png;base64,", "data:image/png;base64,  "])
def test_nothing_is_refused_as_empty(text: str) -> None:
    with pytest.raises(MediaError, match="empty") as caught:
        read(text)
    assert caught.value.field == "image"


@pytest.mark.parametrize("prefix", ["", "data:video/mp4;base64,"])
def test_the_limit_is_exact(prefix: str) -> None:
    assert len(read(prefix + base64.b64encode(bytes(1000)).decode())) == 1000
    with pytest.raises(TooLarge, match=r"image: .*1000 bytes") as caught:
        read(prefix + base64.b64encode(bytes(1001)).decode())
    assert caught.value.field == "image"


def test_too_long_a_text_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(TooLarge):
        read("!" * 2000)  # would not decode
    assert read(base64.b64encode(bytes(990)).decode() + "\n" * 2000) == bytes(990)  # white space does not count
