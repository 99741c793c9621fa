"""Marked secrets through the real server, in requests that end well and badly: the log holds none of them."""

import json
import os
import time
from pathlib import Path

from tests.conftest import Server, data_url, running_server
from tests.container.media import png

LEAKY = Path(__file__).parent / "leaky"
MARK = "ZEBRA41"
PROMPT = f"a robot named {MARK} opens the vault"
KEY = f"key-{MARK}-0123456789"
TOKEN = f"hf_{MARK}abcdefghijklmnop"
GENERATE = {"model": "predict2.5", "resolution": "64,64", "num_output_frames": 1, "num_steps": 1}
AUTHORIZED = {"Authorization": f"Bearer {KEY}"}
PRESIGNED = f"https://bucket.s3.amazonaws.com/a.png?X-Amz-Credential={MARK}&X-Amz-Signature={MARK}"


def post(server: Server, path: str, body: object) -> int:
    return server.client.post(path, json=body, headers=AUTHORIZED).status_code


def test_no_marked_secret_is_in_the_log(tiny_models: Path, tmp_path: Path) -> None:
    environ = {"COSMOS_API_KEY": KEY, "HF_TOKEN": TOKEN, "AWS_SESSION_TOKEN": f"session-{MARK}-token"}
    with running_server(tiny_models, tmp_path, PYTHONPATH=str(LEAKY), COSMOS_LOG_LEVEL="debug", **environ) as server:
        server.wait_until_ready()
        _requests_that_end_well(server)
        _requests_that_are_refused(server)
        assert post(server, "/invocations", {**GENERATE, "prompt": f"{PROMPT} and fails here"}) == 500
        assert post(server, "/invocations", {**GENERATE, "prompt": f"{PROMPT} and crashes here"}) == 500
        server.wait_until_ready()
        assert post(server, "/invocations", {**GENERATE, "prompt": PROMPT}) == 200
    log = server.log
    assert MARK.lower() not in log.lower(), [line for line in log.splitlines() if MARK.lower() in line.lower()]
    assert "vault" not in log
    # and it was really tried, and the log is still good for something
    assert log.count("[withheld") >= 20
    assert "builtins.ValueError: [withheld" in log
    assert "unexpected fault" in log
    assert "ended with signal SIGABRT" in log
    assert "py.warnings: [withheld" in log


def _requests_that_end_well(server: Server) -> None:
    chat = {"model": "reason2", "max_tokens": 2, "messages": [{"role": "user", "content": PROMPT}]}
    image = {"type": "image_url", "image_url": {"url": data_url(png(), "image/png")}}
    assert post(server, "/invocations", {**GENERATE, "prompt": PROMPT, "negative_prompt": f"no {PROMPT}"}) == 200
    assert post(server, "/v1/chat/completions", chat) == 200
    pieces = [image, {"type": "text", "text": PROMPT}]
    assert post(server, "/v1/chat/completions", {**chat, "messages": [{"role": "user", "content": pieces}]}) == 200
    response = server.client.post("/v1/videos", json={**GENERATE, "prompt": PROMPT}, headers=AUTHORIZED)
    assert response.status_code == 202
    place = f"/v1/videos/{response.json()['id']}"
    deadline = time.monotonic() + 60
    while server.client.get(place, headers=AUTHORIZED).json()["status"] != "completed":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _requests_that_are_refused(server: Server) -> None:
    for change in (
        {"image": PRESIGNED, "inference_type": "image2world"},
        {"image": data_url(MARK.encode() * 50, "image/png"), "inference_type": "image2world"},
        {"image": f"/etc/{MARK}", "inference_type": "image2world"},
        {MARK: 1}, {"model": MARK}, {"num_steps": MARK}, {"name": MARK * 20}, {"prompt": MARK * 9000},
    ):  # fmt: skip
        assert 400 <= post(server, "/invocations", {**GENERATE, "prompt": PROMPT, **change}) < 500
    for content in (json.dumps({"prompt": PROMPT})[:-1].encode(), b"--x\r\n" + MARK.encode()):
        assert server.client.post("/invocations", content=content, headers=AUTHORIZED).status_code == 400
    assert server.client.get(f"/{MARK}%0a{MARK}?token={MARK}", headers=AUTHORIZED).status_code == 404
    assert server.client.get("/v1/models", headers={"Authorization": f"Bearer {MARK}"}).status_code == 401
    assert server.client.get(f"/v1/models?{os.urandom(4).hex()}={MARK}", headers=AUTHORIZED).status_code == 200
