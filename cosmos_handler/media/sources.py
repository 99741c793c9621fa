"""What a client may write where an image or a video belongs, and the bytes it stands for."""

import binascii
import re
from string import whitespace

from cosmos_handler.errors import InvalidField, MediaError, TooLarge
from cosmos_handler.media.address import SCHEMES
from cosmos_handler.media.limits import MediaLimits

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,20}):", re.IGNORECASE)
# Media type and parameters; no real one is longer.
_MAX_DATA_HEADER_CHARACTERS = 1024
_MAX_PATH_CHARACTERS = 4096
# What paths and file names have and base64 never holds.
_PATH_MARKS = (".", "~", "\\")


def is_address(text: str) -> bool:
    """Whether a reference says where the bytes lie, instead of carrying them."""
    scheme = _SCHEME.match(text)
    return scheme is not None and scheme[1].lower() in SCHEMES


def read_reference(text: str, *, field: str, allowed: str, limits: MediaLimits) -> bytes:
    """The bytes that a reference carries: a data: URL or plain base64.

    field: the name that errors give; allowed: what they say is read. The size is checked before anything is decoded.
    Raises InvalidField for anything else, TooLarge, and MediaError where there are no bytes.
    """
    text = text.strip()
    scheme = _SCHEME.match(text)
    if scheme and scheme[1].lower() == "data":
        text = _data_payload(text, field, allowed)
    elif scheme:
        raise InvalidField(field, f"is a {scheme[1]}: reference, which is not read here", allowed=allowed)
    elif len(text) <= _MAX_PATH_CHARACTERS and any(mark in text for mark in _PATH_MARKS):
        raise InvalidField(field, "is a path or a file name, which is not read here", allowed=allowed)
    return _decode_base64(text, field, allowed, limits)


def _data_payload(url: str, field: str, allowed: str) -> str:
    comma = url.find(",", 0, _MAX_DATA_HEADER_CHARACTERS)
    if comma < 0:
        raise InvalidField(field, "is a data: URL without a comma", allowed=allowed)
    # Media type and charset are passed over: what the bytes are shows in the bytes.
    *_, last = url[:comma].split(";")
    if last.strip().lower() != "base64":
        raise InvalidField(field, "is a data: URL that is not base64", allowed=allowed)
    return url[comma + 1 :]


def _decode_base64(text: str, field: str, allowed: str, limits: MediaLimits) -> bytes:
    if not text:
        raise MediaError(field, "is empty")
    num_spaces = sum(text.count(space) for space in whitespace)
    # Four characters carry three bytes; padding makes it up to two fewer.
    if (len(text) - num_spaces) // 4 * 3 - 2 > limits.max_source_bytes:
        raise TooLarge(f"is larger than the {limits.max_source_bytes} bytes that are allowed", field=field)
    compact = "".join(text.split()) if num_spaces else text
    try:
        data = binascii.a2b_base64(compact, strict_mode=True)
    except ValueError:
        data = b""
    if not data or compact.find("=", 0, -2) >= 0:  # strict mode lets surplus padding pass
        raise InvalidField(field, "is neither a data: URL nor base64", allowed=allowed)
    if len(data) > limits.max_source_bytes:
        raise TooLarge(f"is larger than the {limits.max_source_bytes} bytes that are allowed", field=field)
    return data
