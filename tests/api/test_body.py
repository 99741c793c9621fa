"""What is read of a request, without a server."""

import asyncio
import json
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message

from cosmos_handler.api.body import read_body
from cosmos_handler.errors import InvalidBody

BOUNDARY = "multipart/form-data; boundary=x"


def read(*pieces: bytes, content_type: str = "application/json") -> dict[str, Any]:
    """The fields of a body that comes in these pieces."""
    messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request", "body": b""})

    async def receive() -> Message:
        return messages.pop(0)

    scope = {"type": "http", "headers": [(b"content-type", content_type.encode())]}
    return asyncio.run(read_body(Request(scope, receive), 10**6))[0]


def whole(content: bytes) -> bytes:
    """A form with its JSON in one part."""
    return b'--x\r\nContent-Disposition: form-data; name="request"\r\n\r\n' + content + b"\r\n--x--\r\n"


@pytest.mark.parametrize("text", ["\\ud800", "\\uDFFF", "a\\udc00\\ud83d"])
@pytest.mark.parametrize("body", ['{"prompt": "%s"}', '{"messages": [{"content": [{"text": "%s"}]}]}'])
def test_half_a_character_is_refused(body: str, text: str) -> None:
    content = (body % text).encode()
    with pytest.raises(InvalidBody, match="UTF-16"):
        read(content)
    with pytest.raises(InvalidBody, match="UTF-16"):
        read(whole(content), content_type=BOUNDARY)


def test_an_escaped_pair_is_a_character() -> None:
    assert read(json.dumps({"prompt": "🤖 \\ud800"}).encode()) == {"prompt": "🤖 \\ud800"}


def test_a_deep_body_is_read_in_a_form_too() -> None:
    depth = 600
    content = b'{"z": ' + b"[" * depth + b"]" * depth + b"}"
    assert read(whole(content), content_type=BOUNDARY) == read(content)
