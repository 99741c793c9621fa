"""Bodies of requests that are broken, lie about themselves, or refer to where nothing may be fetched."""

import base64
import json
from collections.abc import Iterator
from random import Random

Body = tuple[str, str, bytes]  # name, content type, bytes

_JSON = "application/json"
_LINES = "application/jsonlines"
_FORM = "multipart/form-data; boundary=x"
_ASK = '{"prompt": "x", "max_tokens": 1, '


def texts() -> Iterator[Body]:
    """JSON that is none, or that readers differ over."""
    for name, text in {
        "empty": b"",
        "nul": b"\0",
        "open": b"{",
        "deep-lists": b"[" * 200_000,
        "deep-objects": b'{"a":' * 100_000,
        "deep-closed": b"[" * 50_000 + b"]" * 50_000,
        "deep-value": _ASK.encode() + b'"extra": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        "nan": b'{"prompt": NaN}',
        "infinite": b'{"guidance": 1e999, "prompt": "x"}',
        "digits": b'{"seed": ' + b"9" * 100_000 + b"}",
        "exponent": b'{"seed": 1e400000, "prompt": "x"}',
        "utf-16": '{"prompt": "x"}'.encode("utf-16"),
        "utf-32": '{"prompt": "x"}'.encode("utf-32"),
        "not-utf-8": b'{"prompt": "\xff\xfe"}',
        "overlong": b'{"prompt": "\xc0\x80"}',
        "surrogate": b'{"prompt": "\\ud800", "max_tokens": 1}',
        "surrogate-name": b'{"\\udfff": 1}',
        "twice": b'{"prompt": "a", "prompt": "b", "prompt": 3}',
        "mark": b"\xef\xbb\xbf\xef\xbb\xbf{}",
        "comment": b'{"prompt": "x"} // hello',
        "two": b'{"prompt": "x"}{"prompt": "y"}',
        "text": b'"hello"',
        "number": b"1",
        "null": b"null",
        "many-keys": json.dumps({f"k{number}": number for number in range(50_000)}).encode(),
        "long-key": json.dumps({"k" * 500_000: 1}).encode(),
        "prototype": b'{"__proto__": {"prompt": "x"}, "constructor": 1, "__class__": 2}',
        "python": b"{'prompt': 'x'}",
        "xml": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]><x>&a;</x>',
        "yaml": b"!!python/object/apply:os.system ['id']",
        "pickle": b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94.",
        "list-of-nothing": b"[]",
        "long-list": json.dumps([{"a": 1}] * 20_000).encode(),
        "list-of-lists": b"[[[]]]",
    }.items():
        yield f"json-{name}", _JSON, text
    yield "lines-broken", _LINES, b'{"a": 1}\n{\n\n\0\n[1]\n'
    yield "lines-many", _LINES, b"{}\n" * 20_000
    yield "type-none", "", b"{}"
    yield "type-odd", "application/x-www-form-urlencoded", b"prompt=x"
    yield "type-long", "a/" + "b" * 2000, b"{}"
    yield "type-pickle", "application/x-pickle", b"\x80\x04."


def fields() -> Iterator[Body]:
    """Proper objects with values of the wrong kind, or far out of bounds."""
    odd: tuple[object, ...] = (
        None,
        True,
        -1,
        2**63,
        1e308,
        "",
        "\0",
        "x" * 30_000,
        [],
        {},
        [[]],
        {"a": {"b": 1}},
        "../../etc",
    )
    names = ("prompt", "image", "video", "seed", "num_steps", "resolution", "max_tokens", "model", "inference_type",
             "messages", "extra", "num_output_frames", "guidance")  # fmt: skip
    for number, name in enumerate(names):
        for shift in range(3):
            value = odd[(number * 3 + shift * 5) % len(odd)]
            body = {"inference_type": "text2world", "num_steps": 0, "prompt": "x", name: value}
            yield f"field-{name}-{shift}", _JSON, json.dumps(body).encode()


def references() -> Iterator[Body]:
    """Media that are to be fetched from where nothing may be fetched, or are no media at all."""
    for number, address in enumerate((
        "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "https://127.0.0.1/", "https://0x7f000001/",
        "https://2130706433/", "https://017700000001/", "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://localhost./",
        "https://a@127.0.0.1/", "https://ⓛocalhost/", "file:///etc/passwd", "file:///proc/self/environ", "s3://../x",
        "s3://x/../../y", "ftp://127.0.0.1/", "gopher://127.0.0.1:25/", "concat:/etc/passwd", "subfile:///etc/passwd",
        "data:", "data:,", "data:image/png;base64,", "data:image/png;base64,%00", "data:text/html,<script>",
        "/etc/passwd", "../../etc/passwd", "\\\\127.0.0.1\\share", "~/.aws/credentials", "AAAA====", "A" * 70_000 + "!",
        "https://" + "a" * 9000 + ".test/", "https://a.test/\r\nX: y", "data:image/png;base64," + "=" * 5000,
    )):  # fmt: skip
        field = ("image", "video")[number % 2]
        yield f"reference-{number}", _JSON, json.dumps({"prompt": "x", "max_tokens": 1, field: address}).encode()


def forms(random: Random) -> Iterator[Body]:
    """multipart/form-data that is broken, or says more than once who it is."""
    line = "\r\n"

    def part(head: str, content: bytes = b"x", boundary: str = "x") -> bytes:
        return (
            f"--{boundary}{line}Content-Disposition: form-data; {head}{line}{line}".encode() + content + line.encode()
        )

    end = b"--x--\r\n"
    picture = base64.b64decode("iVBORw0KGgo=")
    yield "form-no-boundary", "multipart/form-data", part('name="a"') + end
    yield "form-empty-boundary", "multipart/form-data; boundary=", part('name="a"') + end
    yield "form-long-boundary", f"multipart/form-data; boundary={'b' * 5000}", part('name="a"') + end
    yield "form-odd-boundary", 'multipart/form-data; boundary="\\x\0"', part('name="a"') + end
    yield "form-other-boundary", "multipart/form-data; boundary=y", part('name="a"') + end
    yield "form-empty", _FORM, b""
    yield "form-only-end", _FORM, end
    yield "form-not-ended", _FORM, part('name="prompt"')
    yield "form-no-name", _FORM, part("filename=a") + end
    yield "form-nul-name", _FORM, part('name="a\0b"') + end
    yield "form-long-name", _FORM, part(f'name="{"n" * 100_000}"') + end
    yield "form-many-parts", _FORM, part('name="a"') * 2000 + end
    yield "form-many-files", _FORM, b"".join(part(f'name="f{n}"; filename="f"', picture) for n in range(600)) + end
    yield "form-same-twice", _FORM, part('name="prompt"') * 2 + end
    yield "form-path", _FORM, part('name="image"; filename="../../../../tmp/x"', picture) + end
    yield "form-nested", _FORM, part('name="request"', b"[" * 100_000) + end
    yield "form-request-pickle", _FORM, part('name="request"', b"\x80\x04.") + end
    yield "form-request-list", _FORM, part('name="request"', b"[{}]") + part('name="a"; filename="a"') + end
    yield "form-large-text", _FORM, part('name="prompt"', b"x" * (2**20 + 10)) + end
    yield "form-many-headers", _FORM, b"--x\r\n" + b"A: b\r\n" * 5000 + b"\r\nx\r\n" + end
    yield "form-long-header", _FORM, b"--x\r\nA: " + b"b" * 200_000 + b"\r\n\r\nx\r\n" + end
    yield (
        "form-encoded",
        _FORM,
        b'--x\r\nContent-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: zip\r\n\r\nx\r\n' + end,
    )
    yield "form-line-feeds", _FORM, part('name="a"').replace(b"\r\n", b"\n") + end
    yield "form-brackets", _FORM, part('name="a[b][c][d]"') + part('name="a[b"') + part('name="[]"') + end
    yield "form-both", _FORM, part('name="extra"') + part('name="extra[a]"') + end
    yield "form-noise", _FORM, b"--x\r\n" + random.randbytes(3000) + b"\r\n" + end
    yield "form-utf-7", _FORM + "; charset=utf-7", part('name="prompt"', b"+ADw-") + end


def all_bodies(random: Random) -> Iterator[Body]:
    """Every one of them."""
    yield from texts()
    yield from fields()
    yield from references()
    yield from forms(random)
