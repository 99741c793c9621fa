"""Health, hang-ups, deaths and ends of the real process."""

import asyncio
import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import httpx2

from tests.artifacts.hub import Hub, serving
from tests.conftest import Server, running_server
from tests.container.stream import hang_up_at

LONG = {"prompt": "a robot", "resolution": "128,192", "num_output_frames": 17, "num_steps": 150}
SHORT = {"prompt": "a robot", "resolution": "64,64", "num_output_frames": 1, "num_steps": 1}


def in_background(server: Server, body: dict[str, Any]) -> tuple[threading.Thread, list[httpx2.Response]]:
    answers: list[httpx2.Response] = []
    thread = threading.Thread(target=lambda: answers.append(server.invoke(body)))
    thread.start()
    return thread, answers


def wait_for_line(server: Server, pattern: str, *, after: int, seconds: float = 60) -> re.Match[str]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := re.compile(pattern).search(server.log, after):
            return found
        time.sleep(0.02)
    raise AssertionError(f"no line {pattern!r} within {seconds} s")


def test_a_caller_who_hangs_up_stops_the_work_within_a_step(server: Server) -> None:
    mark = len(server.log)

    async def hang_up() -> None:
        async with httpx2.AsyncClient(base_url=server.client.base_url, trust_env=False) as client:
            calling = asyncio.create_task(client.post("/invocations", json=LONG))
            await asyncio.to_thread(wait_for_line, server, r"job \S+ starts", after=mark)
            await asyncio.sleep(0.5)
            calling.cancel()
            await asyncio.wait({calling})

    asyncio.run(hang_up())
    stopped = wait_for_line(server, r"cancelled in denoise after step (\d+)", after=mark)
    assert int(stopped.group(1)) < LONG["num_steps"]
    assert server.invoke(SHORT).status_code == 200


def test_a_reader_of_a_stream_who_hangs_up_stops_the_work(server: Server) -> None:
    mark = len(server.log)
    hang_up_at(server, LONG, stage="denoise", step=3)
    wait_for_line(server, r"cancelled in denoise after step", after=mark)
    assert server.invoke(SHORT).status_code == 200


def test_a_killed_model_process_costs_its_job_only(server: Server) -> None:
    mark = len(server.log)
    first = server.model_pid()
    thread, answers = in_background(server, LONG)
    started = wait_for_line(server, r"job (\S+) starts", after=mark)
    killed = time.monotonic()
    os.kill(first, signal.SIGKILL)
    thread.join()
    assert time.monotonic() - killed < 10
    error = answers[0].json()["error"]
    assert answers[0].status_code == 500
    assert error["type"] == "worker_died"
    assert error["job_id"] == started.group(1) == answers[0].headers["x-cosmos-job-id"]
    assert server.client.get("/ping").status_code == 503
    # Arrives while nobody is there to do it, waits, and is done.
    waiting, patient = in_background(server, SHORT)
    waiting.join()
    assert patient[0].status_code == 200
    assert server.client.get("/ping").status_code == 200
    assert server.model_pid() != first


def test_the_line_is_bounded(tiny_models: Path, tmp_path: Path) -> None:
    with running_server(tiny_models / "predict2.5", tmp_path, COSMOS_MAX_JOBS="1") as server:
        server.wait_until_ready()
        mark = len(server.log)
        thread, answers = in_background(server, LONG)
        wait_for_line(server, r"job \S+ starts", after=mark)
        refused = server.invoke(SHORT)
        assert (refused.status_code, refused.json()["error"]["type"]) == (429, "backlog_full")
        assert int(refused.headers["retry-after"]) > 0
        # A single model needs no name and no inference_type.
        server.process.send_signal(signal.SIGTERM)
        thread.join()
        assert server.process.wait(30) == 0
        assert answers[0].status_code in (200, 499, 503) or not answers


def test_a_job_that_outlasts_the_end_is_told_so(tiny_models: Path, tmp_path: Path) -> None:
    with running_server(tiny_models / "predict2.5", tmp_path, COSMOS_STOP_SECONDS="1") as server:
        server.wait_until_ready()
        mark = len(server.log)
        thread, answers = in_background(server, {**LONG, "num_output_frames": 61})
        wait_for_line(server, r"job \S+ starts", after=mark)
        server.process.send_signal(signal.SIGTERM)
        thread.join()
        assert server.process.wait(30) == 0
        assert (answers[0].status_code, answers[0].json()["error"]["type"]) == (503, "stopping")
        assert "Traceback" not in server.log
        assert not [path for path in tmp_path.iterdir() if path.name.startswith("job-")]


def test_a_download_does_not_delay_the_end(tmp_path: Path) -> None:
    files = {"config.json": b"{}", "model.safetensors": bytes(1000)}
    with serving(Hub("org/model", "main", files)) as hub:
        hub.may_send.clear()
        environ = {"HF_MODEL_ID": "org/model", "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hub")}
        with running_server(None, tmp_path, **environ) as server:
            wait_for_line(server, "fetching org/model", after=0)
            while not hub.downloaded():
                time.sleep(0.02)
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(8) == 0
