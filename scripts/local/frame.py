"""Messages of `application/vnd.amazon.eventstream`."""

import json
import struct
from binascii import crc32


def payload_part(data: bytes) -> bytes:
    """A slice of the answer."""
    return _message(
        {":message-type": "event", ":event-type": "PayloadPart", ":content-type": "application/octet-stream"}, data
    )


def model_stream_error(code: str, sentence: str) -> bytes:
    """What ends a stream that cannot go on."""
    headers = {":message-type": "exception", ":exception-type": "ModelStreamError", ":content-type": "application/json"}
    return _message(headers, json.dumps({"ErrorCode": code, "Message": sentence}).encode())


def _message(headers: dict[str, str], payload: bytes) -> bytes:
    block = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack("!II", 16 + len(block) + len(payload), len(block))
    checked = prelude + struct.pack("!I", crc32(prelude)) + block + payload
    return checked + struct.pack("!I", crc32(checked))


def _header(name: str, value: str) -> bytes:
    text = value.encode()
    return struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(text)) + text  # 7: a string
