"""Everything a client can get wrong: its 4xx with the field's name, within a second, and the server stays well."""

import http.client
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Server, data_url
from tests.container.media import clip, png

PNG = data_url(png(), "image/png")
GENERATE = {"prompt": "a robot", "resolution": "64,64", "num_output_frames": 5, "num_steps": 1}
IMAGE = {**GENERATE, "inference_type": "image2world"}
VIDEO = {**GENERATE, "inference_type": "video2world", "num_output_frames": 9}


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


CASES: list[tuple[str, dict[str, Any], int, str, str]] = [
    # what, body, status, field, something that the message must say
    ("long unknown field", {**GENERATE, "k" * 10_000: 1}, 400, "k" * 199 + "…", "not a field"),
    ("long model", {**GENERATE, "model": "m" * 10_000}, 400, "model", "there is no model"),
    ("unknown field", {**GENERATE, "stepz": 3}, 400, "stepz", "num_steps"),
    ("wrong type", {**GENERATE, "num_steps": "many"}, 400, "num_steps", "1 to 200"),
    ("no prompt", without(GENERATE, "prompt"), 400, "prompt", ""),
    ("empty prompt", {**GENERATE, "prompt": " "}, 400, "prompt", "1 to 20000"),
    ("image and video", {**GENERATE, "image": PNG, "video": PNG}, 400, "video", "image"),
    ("image for a text", {**GENERATE, "inference_type": "text2world", "image": PNG}, 400, "image", "text2world"),
    ("no image", IMAGE, 400, "input_path", "image2world"),
    ("an empty image", {**IMAGE, "image": ""}, 400, "image", "empty"),
    ("not an image", {**IMAGE, "input_path": data_url(b"hello, world", "image/png")}, 400, "input_path", ""),
    ("half an image", {**IMAGE, "image": data_url(png()[: len(png()) // 2], "image/png")}, 400, "image", ""),
    ("not base64", {**IMAGE, "image": "data:image/png;base64,@@@@"}, 400, "image", ""),
    ("a path of the server", {**IMAGE, "image": "/etc/passwd"}, 400, "image", "data:"),
    ("a file address", {**IMAGE, "image": "file:///etc/passwd"}, 400, "image", "COSMOS_MEDIA_DIR"),
    ("an address", {**IMAGE, "image": "https://example.com/a.png"}, 400, "image", "COSMOS_MEDIA_HOSTS"),
    ("an unknown scheme", {**IMAGE, "image": "ftp://example.com/a.png"}, 400, "image", "data:"),
    ("image as video", {**VIDEO, "video": PNG}, 400, "video", "video"),
    ("no frames", {**GENERATE, "num_output_frames": 0}, 400, "num_output_frames", ""),
    ("10000 frames", {**GENERATE, "num_output_frames": 10_000}, 400, "num_output_frames", "1 to 509"),
    ("alias 10000 frames", {**without(GENERATE, "num_output_frames"), "num_frames": 10_000}, 400, "num_frames", "509"),
    ("crooked size", {**GENERATE, "resolution": "65,64"}, 400, "resolution", "multiples of 16"),
    ("crooked width", {**without(GENERATE, "resolution"), "height": 64, "width": 100}, 400, "width", "multiples of 16"),
    ("huge size", {**GENERATE, "resolution": "64,16000"}, 400, "resolution", "16 to"),
    ("one side", {**without(GENERATE, "resolution"), "height": 64}, 400, "width", ""),
    ("conditional frames", {**IMAGE, "image": PNG, "num_input_frames": 2}, 400, "num_input_frames", "1"),
    ("unknown model", {**GENERATE, "model": "gpt"}, 400, "model", "predict2.5"),
    ("the wrong model", {**GENERATE, "model": "reason2"}, 400, "model", "reasoner"),
    ("open meaning", {"prompt": "x"}, 400, "inference_type", "reasoner"),
    ("chat without a user", {"messages": [{"role": "assistant", "content": "x"}]}, 400, "messages.0.role", "user"),
    ("control token", {"prompt": "a <|im_end|> b", "max_tokens": 2}, 400, "prompt", "<|im_end|>"),
    ("a size of 5000 digits", {**GENERATE, "resolution": "9" * 5000 + ",64"}, 400, "resolution", "H,W"),
    ("letters for a file", {**without(GENERATE, "num_steps"), "input_reference": "é"}, 400, "inference_type", ""),
    ("endless seconds", {**without(GENERATE, "num_output_frames"), "seconds": 10**400}, 400, "seconds", "3600"),
    ("too long an answer", {"prompt": "x", "max_tokens": 262_144}, 400, "max_tokens", '"allowed": "1 to '),
]


@pytest.mark.parametrize(
    ("body", "status", "field", "says"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_bad_body_is_refused(server: Server, body: dict[str, Any], status: int, field: str, says: str) -> None:
    seconds = []
    for _ in range(10):  # the best of them: both cores may be busy
        began = time.perf_counter()
        response = server.invoke(body)
        seconds.append(time.perf_counter() - began)
        if seconds[-1] < 1:
            break
    error = response.json()["error"]
    assert (response.status_code, error["field"]) == (status, field)
    assert says in json.dumps(error, ensure_ascii=False)
    assert len(response.content) < 2048
    assert min(seconds) < 1
    assert server.client.get("/ping").status_code == 200


def test_a_short_clip_says_how_many_frames_are_needed(server: Server, tmp_path: Path) -> None:
    data = clip(tmp_path / "short.mp4", num_frames=3)
    error = server.invoke({**VIDEO, "video": data_url(data, "video/mp4")}).json()["error"]
    assert error["field"] == "video"
    assert "5" in error["message"]


def test_a_truncated_clip(server: Server, tmp_path: Path) -> None:
    data = clip(tmp_path / "whole.mp4")[:400]
    response = server.invoke({**VIDEO, "video": data_url(data, "video/mp4")})
    assert (response.status_code, response.json()["error"]["field"]) == (400, "video")


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b'{"prompt": NaN}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"", "application/json", 400),
        (b"prompt=x", "application/x-www-form-urlencoded", 415),
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x", 400),
        (b"x", "multipart/form-data", 400),
        (
            b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nhalf',
            "multipart/form-data; boundary=x",
            400,
        ),
        (b"", "video/mp4", 400),
        (b"GIF89a and so on, long enough", "image/gif", 415),
        (b"{" * 100, "application/octet-stream", 415),
    ],
)
def test_a_body_that_cannot_be_read(server: Server, content: bytes, content_type: str, status: int) -> None:
    response = server.client.post("/invocations", content=content, headers={"Content-Type": content_type})
    assert response.status_code == status
    assert response.json()["error"]["message"]


def test_text_that_comes_as_a_file(server: Server) -> None:
    """curl's `-F prompt=@prompt.txt` sends a file; its part's name must not become the prompt."""
    data = {"resolution": "64,64", "num_output_frames": "1", "num_steps": "1"}
    response = server.client.post("/invocations", data=data, files={"prompt": ("prompt.txt", b"a robot")})
    error = response.json()["error"]
    assert (response.status_code, error["field"]) == (400, "prompt")
    assert "as text" in error["allowed"]


def test_windows_tools_put_a_mark_in_front(server: Server) -> None:
    content = b"\xef\xbb\xbf" + json.dumps({**GENERATE, "num_steps": 0}).encode()
    response = server.client.post("/invocations", content=content, headers={"Content-Type": "application/json"})
    assert response.json()["error"]["field"] == "num_steps"


def test_an_accept_that_cannot_be_met(server: Server) -> None:
    response = server.invoke(GENERATE, accept="image/png")
    assert response.status_code == 406
    assert "video/mp4" in response.json()["error"]["message"]


def test_a_body_over_the_limit_is_refused_before_it_is_sent(server: Server) -> None:
    connection = http.client.HTTPConnection(server.client.base_url.host, server.client.base_url.port, timeout=10)
    connection.putrequest("POST", "/invocations")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(2**40))
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 413
    assert json.load(response)["error"]["type"] == "too_large"
    connection.close()


def test_routes_that_are_none(server: Server) -> None:
    for path, status in (("/", 404), ("/invocations", 405)):
        response = server.client.get(path)
        assert response.status_code == status
        assert response.json()["error"]["message"].startswith("GET: ")
    assert response.headers["allow"] == "POST"


def test_a_caller_who_hangs_up_in_the_middle_of_a_body_is_no_fault(server: Server) -> None:
    address = (server.client.base_url.host, server.client.base_url.port)
    lines = ("POST /invocations HTTP/1.1", "Host: x", "Content-Type: application/json", "Content-Length: 500", "", "{")
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode())
    assert server.client.get("/ping").status_code == 200
    assert "unexpected fault" not in server.log


def kept(server: Server) -> set[str]:
    """The folders of jobs and bodies; what other tests asked for with an inference id stays."""
    return {path.name for path in server.log_path.parent.iterdir() if path.name.startswith(("job-", "spool-"))}


@pytest.fixture(scope="module")
def kept_before(shared_server: Server) -> set[str]:
    return kept(shared_server)


@pytest.fixture(autouse=True)
def _look_before(kept_before: set[str]) -> None:
    """Before the first test of this file."""


def test_nothing_is_left_behind(server: Server, kept_before: set[str]) -> None:
    assert kept(server) <= kept_before
