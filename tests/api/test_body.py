"""What is read of a request, without a server."""

import asyncio
import json
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from cosmos_handler.api.body import Body, read_body
from cosmos_handler.api.intake import BodyLimits, Budget, Intake
from cosmos_handler.errors import InvalidBody, InvalidField, JobCancelled, TooLarge, UnsupportedMediaType

BOUNDARY = "multipart/form-data; boundary=x"


LIMITS = BodyLimits(10**7, 10**7, 10, max_json_bytes=9 * 10**6)


def arrive(scope: Scope, receive: Receive) -> Body:
    """What is read of a request that comes through the door."""

    async def scenario() -> Body:
        async with Intake(Budget(LIMITS)) as intake:
            return await read_body(Request({**scope, "state": {"intake": intake}}, receive))

    return asyncio.run(scenario())


def read(*pieces: bytes, content_type: str = "application/json") -> dict[str, Any]:
    """The fields of a body that comes in these pieces."""
    messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request", "body": b""})

    async def receive() -> Message:
        return messages.pop(0)

    scope = {"type": "http", "headers": [(b"content-type", content_type.encode())]}
    return arrive(scope, receive).one


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
    content = b'{"z": ' + b"[" * 99 + b"]" * 99 + b"}"
    assert read(whole(content), content_type=BOUNDARY) == read(content)


@pytest.mark.parametrize("depth", [100, 600, 960])
def test_what_is_too_deep_to_be_written_again_is_refused(depth: int) -> None:
    content = b'{"extra": ' + b'[{"a":' * (depth // 2) + b"1" + b"}]" * (depth // 2) + b"}"
    with pytest.raises(InvalidBody, match="deeper than 100"):
        read(content)
    with pytest.raises(InvalidBody, match="deeper than 100"):
        read(whole(content), content_type=BOUNDARY)


def test_an_object_of_very_many_names() -> None:
    with pytest.raises(InvalidBody, match="1001 names"):
        read(json.dumps({"messages": [{f"k{number}": 1 for number in range(1001)}]}).encode())


def part(name: str, value: str) -> bytes:
    """One field of a form."""
    return f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


@pytest.mark.parametrize("content", [b'{"seed": 1, "seed": 2}', b'{"messages": [{"seed": 1, "role": "", "seed": 1}]}'])
def test_a_name_that_stands_twice(content: bytes) -> None:
    with pytest.raises(InvalidField, match="seed: is given twice"):
        read(content)


@pytest.mark.parametrize(
    "parts",
    [
        [("prompt", "a"), ("prompt", "b")],
        [("prompt", "a"), ("request", '{"prompt": "b"}')],
        [("request", '{"prompt": "b"}'), ("prompt", "a")],
        [("request", '{"prompt": "b"}'), ("prompt", "b"), ("request", "{}")],
    ],
)
def test_a_part_that_comes_twice(parts: list[tuple[str, str]]) -> None:
    content = b"".join(part(name, value) for name, value in parts) + b"--x--\r\n"
    with pytest.raises(InvalidField, match="is given twice"):
        read(content, content_type=BOUNDARY)
    with pytest.raises(InvalidField, match="request: is given twice"):
        read(part("request", "{}") * 2 + b"--x--\r\n", content_type=BOUNDARY)


@pytest.mark.parametrize("content_type", ["application/json", BOUNDARY])
def test_a_caller_who_hangs_up_in_the_middle(content_type: str) -> None:
    messages: list[Message] = [{"type": "http.request", "body": b"--", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        return messages.pop(0)

    scope = {"type": "http", "headers": [(b"content-type", content_type.encode())]}
    with pytest.raises(JobCancelled):
        arrive(scope, receive)


def test_values_without_end_are_not_read() -> None:
    with pytest.raises(InvalidBody, match="1000000 values"):
        read(b'{"z": [' + b"[]," * 600_000 + b"1]}")


def form(*parts: tuple[str, str, str | None]) -> bytes:
    """A form of parts: name, content, file name."""
    pieces = []
    for name, value, filename in parts:
        own = f'; filename="{filename}"' if filename else ""
        pieces.append(f'--x\r\nContent-Disposition: form-data; name="{name}"{own}\r\n\r\n{value}\r\n')
    return "".join([*pieces, "--x--\r\n"]).encode()


def read_whole(content: bytes, content_type: str = BOUNDARY) -> Body:
    """A body, read."""

    async def receive() -> Message:
        return {"type": "http.request", "body": content}

    scope = {"type": "http", "headers": [(b"content-type", content_type.encode())]}
    return arrive(scope, receive)


def bytes_of(body: Body) -> dict[str, bytes]:
    return {name: upload.read() for name, upload in body.uploads.items()}


def test_files_go_by_the_names_of_their_parts() -> None:
    request = ("request", '{"prompt_path": "../a/p.txt", "input_path": "photo.png"}', None)
    body = read_whole(
        form(request, ("../a/p.txt", "words", None), ("odd", "picture", "photo.png"), ("../b/p.txt", "x", "p.txt"))
    )
    # A part that only its own file name connects goes by that; one that nothing mentions is a field.
    assert bytes_of(body) == {"../a/p.txt": b"words", "photo.png": b"picture", "../b/p.txt": b"x"}
    assert body.one["../b/p.txt"] == "../b/p.txt"
    assert body.strict


def test_two_files_of_one_name_in_two_folders() -> None:
    request = ("request", '[{"prompt_path": "a/p.txt"}, {"prompt_path": "b/p.txt"}]', None)
    body = read_whole(form(request, ("a/p.txt", "1", "p.txt"), ("b/p.txt", "2", "p.txt")))
    assert bytes_of(body) == {"a/p.txt": b"1", "b/p.txt": b"2"}
    assert len(body.content) == 2
    with pytest.raises(InvalidBody, match="takes several"):
        assert body.one


def test_nested_fields_of_a_form() -> None:
    body = read_whole(form(("prompt", "a", None), ("video_params[height]", "64", None), ("extra[x]", "1", None)))
    assert body.one == {"prompt": "a", "video_params": {"height": "64"}, "extra": {"x": "1"}}
    assert not body.strict
    with pytest.raises(InvalidBody, match="both as text and as an object"):
        read_whole(form(("extra", "a", None), ("extra[x]", "1", None)))


def test_objects_and_lists_in_a_form() -> None:
    edge = ("edge", '{"control_path": "map", "control_weight": 0.5}', None)
    body = read_whole(form(edge, ("map", "video", "a.mp4"), ("vis", " {}", None), ("prompt", '{"a": "caption"}', None)))
    assert body.one == {
        "edge": {"control_path": "map", "control_weight": 0.5}, "vis": {}, "prompt": '{"a": "caption"}'
    }  # fmt: skip
    assert bytes_of(body) == {"map": b"video"}
    assert read_whole(form(("condition_frame_indexes_vision", "[0, 1]", None))).one == {
        "condition_frame_indexes_vision": [0, 1]
    }
    # OpenAI's client sends a list so.
    assert read_whole(form(("indexes[]", "0", None), ("indexes[]", "1", None))).one == {"indexes": ["0", "1"]}
    with pytest.raises(InvalidField, match="indexes: is given twice"):
        read_whole(form(("indexes[]", "0", None), ("indexes", "1", None)))
    with pytest.raises(InvalidBody, match="the part 'extra' is not JSON"):
        read_whole(form(("extra", "{", None)))


def test_lines_in_a_part_by_its_name() -> None:
    body = read_whole(form(("request", '{"prompt": "a"}\n{"prompt": "b"}\n{', "jobs.jsonl")))
    assert isinstance(body.content, list)
    assert body.content[:2] == [{"prompt": "a"}, {"prompt": "b"}]
    assert isinstance(body.content[2], InvalidBody)


@pytest.mark.parametrize("content", [b"3", b'"text"', b"null"])
def test_neither_an_object_nor_a_list(content: bytes) -> None:
    with pytest.raises(InvalidBody, match="not a JSON object"):
        read_whole(content, "application/json")


PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
MP4 = b"\x00\x00\x00\x20ftypisom" + bytes(20)


def read_raw(content: bytes, content_type: str = "application/octet-stream", query: str = "", said: str = "") -> Body:
    """A body that is a medium, which comes a byte at a time."""
    messages: list[Message] = [{"type": "http.request", "body": bytes([each]), "more_body": True} for each in content]
    messages.append({"type": "http.request", "body": b""})

    async def receive() -> Message:
        return messages.pop(0)

    headers = [(b"content-type", content_type.encode())]
    if said:
        headers.append((b"x-amzn-sagemaker-custom-attributes", said.encode()))
    scope = {"type": "http", "headers": headers, "query_string": query.encode()}
    return arrive(scope, receive)


@pytest.mark.parametrize("content_type", ["application/octet-stream", "image/jpeg", "video/mp4"])
@pytest.mark.parametrize(("content", "field"), [(PNG, "image"), (MP4, "video")])
def test_a_medium_as_a_body(content: bytes, content_type: str, field: str) -> None:
    body = read_raw(content, content_type, said='{"prompt": "body", "num_steps": 4, "route": "/v1/infer"}')
    assert body.one == {"prompt": "body", "num_steps": 4, field: "body"}
    assert bytes_of(body) == {"body": content}
    assert body.strict


def test_its_fields_in_the_query_string() -> None:
    body = read_raw(MP4, query="prompt=a+b&edge[control_path]=body&indexes[]=0&extra=%7B%22x%22%3A1%7D", said="trace=1")
    assert body.one == {"prompt": "a b", "edge": {"control_path": "body"}, "indexes": ["0"], "extra": {"x": 1}}
    assert not body.strict
    for query, said in (("seed=1&seed=2", ""), ("seed=1", '{"seed": 1}'), ("video=x", "")):
        with pytest.raises(InvalidField, match="is given twice"):
            read_raw(MP4, query=query, said=said)


def test_what_the_body_itself_is_may_be_said() -> None:
    body = read_raw(MP4, said='{"input_path": "body", "inference_type": "video2world"}')
    assert body.one == {"input_path": "body", "inference_type": "video2world"}


@pytest.mark.parametrize("content", [b"", b"no", b"GIF89a" + bytes(20), b'{"prompt": "a robot"}'])
def test_a_body_that_is_no_medium(content: bytes) -> None:
    with pytest.raises((UnsupportedMediaType, InvalidBody)):
        read_raw(content)


def test_json_has_a_limit_of_its_own() -> None:
    large = b'{"prompt": "' + b"x" * LIMITS.max_json_bytes + b'"}'
    with pytest.raises(TooLarge, match="9000000"):
        read_whole(large, "application/json")
    part = b'--x\r\nContent-Disposition: form-data; name="request"; filename="a"\r\n\r\n' + large + b"\r\n--x--\r\n"
    with pytest.raises(TooLarge, match=r"'request'.*9000000"):
        read_whole(part)


def test_a_mark_before_lines_is_passed_over() -> None:
    """As Windows tools write it, in a body and in a part."""
    lines = b"\xef\xbb\xbf" + b'{"prompt": "a"}\n{"prompt": "b"}\n'
    assert read_whole(lines, "application/jsonlines").content == [{"prompt": "a"}, {"prompt": "b"}]
    head = b'--x\r\nContent-Disposition: form-data; name="request"; filename="a.jsonl"\r\n\r\n'
    assert read_whole(head + lines + b"\r\n--x--\r\n").content == [{"prompt": "a"}, {"prompt": "b"}]
    assert read(whole(b'\xef\xbb\xbf{"prompt": "a"}'), content_type=BOUNDARY) == {"prompt": "a"}
