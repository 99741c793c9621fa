"""/ping and the port: there at once, truthful, whatever else goes on."""

import os
import signal
import socket
import time

import httpx2
import pytest

from tests.conformance.container import Container, in_background, says
from tests.conformance.sections import section
from tests.conformance.sockets import open_ports
from tests.conftest import Server

pytestmark = [pytest.mark.model, section("1.2")]

PING_SECONDS = 2.0
ACCEPT_SECONDS = 0.25


def ping(container: Container, method: str) -> httpx2.Response:
    began = time.monotonic()
    response = container.client.request(method, "/ping", timeout=30)
    assert time.monotonic() - began < PING_SECONDS
    return response


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_both_methods_that_are_documented(container: Container, method: str) -> None:
    response = ping(container, method)
    assert response.status_code == 200, says(response)


def test_while_a_request_is_served(container: Container) -> None:
    statuses = []
    with in_background(container, container.long) as call:
        while call.is_running or not statuses:  # a container may be quicker
            statuses += [ping(container, "GET").status_code, ping(container, "POST").status_code]
    assert set(statuses) == {200}
    assert len(statuses) > 4 or not container.is_ours
    assert call.answers[0].status_code == 200, says(call.answers[0])


def test_the_socket_accepts_at_once(container: Container) -> None:
    host, port = container.client.base_url.host, container.client.base_url.port or 80
    with in_background(container, container.long) as call:
        while True:
            began = time.monotonic()
            with socket.create_connection((host, port), timeout=30):
                assert time.monotonic() - began < ACCEPT_SECONDS
            if not call.is_running:
                break
            time.sleep(0.05)


def test_an_engine_that_died_is_not_hidden(own_server: Server) -> None:
    """Kept `InService` by a front end that still answers, an endpoint would fail every call."""
    os.kill(own_server.model_pid(), signal.SIGKILL)
    deadline = time.monotonic() + 30
    while own_server.client.get("/ping").status_code == 200:
        assert time.monotonic() < deadline
    own_server.wait_until_ready()


def test_no_port_is_opened_but_the_one(own_server: Server) -> None:
    """A further one would have to lie in SAGEMAKER_SAFE_PORT_RANGE, which is not set here."""
    body = {"prompt": "a robot", "resolution": "64,64", "num_output_frames": 1, "num_steps": 1}
    assert own_server.invoke(body).status_code == 200
    ports = open_ports(own_server.process.pid) | open_ports(own_server.model_pid())
    assert ports == {("tcp", own_server.client.base_url.port)}
