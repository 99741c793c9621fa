"""First bytes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmos_handler.media.sniff import media_kind


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "image"),
        (b"\xff\xd8\xff\xe0", "image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image"),
        (b"\0\0\0\x20ftypisom", "video"),
        (b"\0\0\0\x14ftypqt  ", "video"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "video"),
        (b"\x1a\x45\xdf\xa3", "video"),
        (b"RIFF\0\0\0\0AVI LIST", None),
        (b"\0\0\0\x18ftypheic", None),
        (b"\0\0\0\x1cftypavif", None),
        (b"GIF89a", None),
        (b"#EXTM3U\n", None),
        (b"", None),
    ],
)
def test_the_kind_is_told_by_the_first_bytes(head: bytes, kind: str | None) -> None:
    assert media_kind(head) == kind


@settings(deadline=None)
@given(st.binary(max_size=64))
def test_any_bytes_are_something_or_nothing(data: bytes) -> None:
    assert media_kind(data) in ("image", "video", None)
