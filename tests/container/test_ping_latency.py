"""How soon `/ping` answers while a video is made: the platform gives up on a container that takes 2 seconds."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from statistics import quantiles

import pytest

from tests.conftest import Server, running_server

NUM_CLIENTS = 20
PAUSE_SECONDS = 0.1  # of a client between two polls: together 200 a second, where the platform sends one in several
GENERATION_SECONDS = 60
TRIES = 3
BODY = {"model": "predict2.5", "prompt": "a robot"}
SHORT = {**BODY, "resolution": "64,64", "num_output_frames": 5, "num_steps": 2}
# As many steps as may be asked for, of the size of a small real video: minutes on a CPU, from a tiny model too.
LONG = {**BODY, "resolution": "240,416", "num_output_frames": 93, "num_steps": 200}


@pytest.fixture(scope="module")
def usual(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """As a deployer has it: the model process computes with every core, and the front has none to itself."""
    with running_server(tiny_models, tmp_path_factory.mktemp("ping"), COSMOS_CPU_THREADS="") as server:
        server.wait_until_ready()
        yield server


def polled(server: Server, over: threading.Event) -> list[float]:
    """What one client waited for each of its answers, in seconds."""
    waited = []
    connection = HTTPConnection(server.client.base_url.host, server.client.base_url.port or 80, timeout=30)
    while not over.wait(PAUSE_SECONDS):
        began = time.perf_counter()
        connection.request("GET", "/ping")
        response = connection.getresponse()
        response.read()
        waited.append(time.perf_counter() - began)
        assert response.status == 200
    connection.close()
    return waited


def generated(server: Server) -> None:
    """A whole short video, then a minute of a long one, which is given up."""
    answer = server.invoke(SHORT)
    assert answer.status_code == 200, answer.text
    job = server.client.post("/v1/videos", json=LONG).json()
    until = time.monotonic() + GENERATION_SECONDS
    while time.monotonic() < until:
        time.sleep(1)
        told = server.client.get(f"/v1/videos/{job['id']}").json()
        assert told["status"] in ("queued", "in_progress"), told
    assert (told["stage"], told["step"] > 0) == ("denoise", True)  # it was computed all the while
    server.client.delete(f"/v1/videos/{job['id']}")


@pytest.mark.timeout(TRIES * (GENERATION_SECONDS + 60))
def test_ping_stays_quick_through_a_minute_of_generating(usual: Server) -> None:
    slowest = []
    for _ in range(TRIES):
        over = threading.Event()
        with ThreadPoolExecutor(NUM_CLIENTS) as pool:
            clients = [pool.submit(polled, usual, over) for _ in range(NUM_CLIENTS)]
            try:
                generated(usual)
            finally:
                over.set()
        waited = [seconds for client in clients for seconds in client.result()]
        assert len(waited) > NUM_CLIENTS * GENERATION_SECONDS  # at least one a second from each
        slowest.append(quantiles(waited, n=100)[-1])
        if slowest[-1] < 0.1:
            return
    raise AssertionError(f"99th percentiles, in seconds: {slowest}")
