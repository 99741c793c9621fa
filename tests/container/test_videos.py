"""Jobs of `/v1/videos`: each ends once, whatever happens to its caller, its process or the server."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Server, forget_jobs, running_server
from tests.container.stream import events_in
from tests.container.test_life import LONG, SHORT, wait_for_line

pytestmark = pytest.mark.model


@pytest.fixture(autouse=True, scope="module")
def clean(shared_server: Server) -> Iterator[None]:
    """The server is other tests' as well."""
    yield
    forget_jobs(shared_server)


def create(server: Server, body: dict[str, Any]) -> dict[str, Any]:
    response = server.client.post("/v1/videos", json=body)
    assert response.status_code == 202, response.text
    told: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/v1/videos/{told['id']}"
    return told


def get(server: Server, job_id: str) -> dict[str, Any]:
    response = server.client.get(f"/v1/videos/{job_id}")
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    return told


def wait_until(server: Server, job_id: str, *statuses: str, seconds: float = 60) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        told = get(server, job_id)
        if told["status"] in statuses:
            return told
        time.sleep(0.02)
    raise AssertionError(f"{told['status']} after {seconds} s, not one of {statuses}")


def events(server: Server, job_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    with server.client.stream("GET", f"/v1/videos/{job_id}/events") as response:
        yield from events_in(response)


def test_a_job_as_it_goes(server: Server) -> None:
    first = create(server, LONG)
    second = create(server, SHORT)
    assert first["object"] == "video"
    assert second["status"] == "queued"
    assert second["queue_position"] >= 1
    early = server.client.get(f"/v1/videos/{first['id']}/content")
    assert (early.status_code, early.json()["error"]["type"]) == (409, "not_done")
    for name, data in events(server, first["id"]):
        if name == "progress" and data["stage"] == "denoise" and data["step"] >= 3:
            assert data["seconds_left"] > 0
            break
    running = get(server, first["id"])
    assert running["status"] == "in_progress"
    assert running["num_steps"] == LONG["num_steps"]
    assert running["step"] >= 3
    assert 1 <= running["progress"] <= 99
    assert get(server, second["id"])["queue_position"] == 1
    deleted = server.client.delete(f"/v1/videos/{first['id']}")
    assert deleted.json()["deleted"] is True
    assert wait_until(server, first["id"], "cancelled")["error"] is None
    told = list(events(server, second["id"]))
    assert told[-1][0] == "completed"
    assert told[-1][1]["cosmos"]["num_output_frames"] == 1


def cancelled_in(server: Server, job_id: str, stage: str, *, from_step: int) -> tuple[int, int]:
    """The step that a job has done when it is cancelled, and the one that it ends with."""
    mark = len(server.log)
    for name, data in events(server, job_id):
        if name == "progress" and data["stage"] == stage and data["step"] >= from_step:
            break
    with server.held():
        done, told = -1, data["step"]
        while told != done:  # what it has said before is still on its way
            time.sleep(0.5)
            done, told = told, get(server, job_id)["step"]
        server.client.delete(f"/v1/videos/{job_id}")
    stopped = wait_for_line(server, rf"job {job_id} cancelled in {stage} after step (\d+)", after=mark)
    return done, int(stopped.group(1))


def test_delete_cancels_within_a_step(server: Server) -> None:
    job = create(server, LONG)
    done, last = cancelled_in(server, job["id"], "denoise", from_step=2)
    assert done <= last <= done + 2  # one that was under way, one that may begin before the cancel is read
    assert wait_until(server, job["id"], "cancelled")["step"] is None
    assert server.client.get(f"/v1/videos/{job['id']}/content").status_code == 409
    # A second time forgets it.
    assert server.client.delete(f"/v1/videos/{job['id']}").status_code == 200
    assert server.client.get(f"/v1/videos/{job['id']}").status_code == 404


def test_a_waiting_job_is_cancelled_at_once(server: Server) -> None:
    running, waiting = create(server, LONG), create(server, LONG)
    assert server.client.delete(f"/v1/videos/{waiting['id']}").json()["status"] == "cancelled"
    assert get(server, waiting["id"])["status"] == "cancelled"
    server.client.delete(f"/v1/videos/{running['id']}")
    wait_until(server, running["id"], "cancelled")


def test_leaving_the_events_leaves_the_job(server: Server) -> None:
    job = create(server, {**SHORT, "num_steps": 20})
    for name, _ in events(server, job["id"]):
        if name == "progress":
            break
    assert wait_until(server, job["id"], "completed")["progress"] == 100


def test_a_killed_model_process_fails_the_job_once(server: Server) -> None:
    job = create(server, LONG)
    ended: list[tuple[str, dict[str, Any]]] = []
    listening = threading.Thread(target=lambda: ended.extend(events(server, job["id"])))
    listening.start()
    wait_until(server, job["id"], "in_progress")
    os.kill(server.model_pid(), signal.SIGKILL)
    listening.join()
    names = [name for name, _ in ended if name in ("completed", "failed", "cancelled")]
    assert names == ["failed"]
    told = get(server, job["id"])
    assert (told["status"], told["error"]["code"]) == ("failed", "worker_died")
    assert server.client.get(f"/v1/videos/{job['id']}/content").status_code == 409
    server.wait_until_ready()
    assert get(server, job["id"])["status"] == "failed"


def test_frames_without_an_encoder(server: Server) -> None:
    response = server.client.post("/v1/videos", json=SHORT, headers={"Accept": "application/x-npz"})
    job_id = response.json()["id"]
    wait_until(server, job_id, "completed")
    fetched = server.client.get(f"/v1/videos/{job_id}/content")
    assert fetched.headers["content-type"] == "application/x-npz"
    assert json.loads(fetched.headers["x-cosmos-result"])["job_id"] == job_id


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("limit=x", "limit"), ("order=up", "order"), ("after=job-1", "after")],
)
def test_a_bad_page_is_refused(server: Server, query: str, field: str) -> None:
    response = server.client.get(f"/v1/videos?{query}")
    assert (response.status_code, response.json()["error"]["field"]) == (400, field)


def test_waiting_jobs_are_turned_away_at_sigterm(tiny_models: Path, tmp_path: Path) -> None:
    with running_server(tiny_models / "predict2.5", tmp_path, COSMOS_STOP_SECONDS="1") as server:
        server.wait_until_ready()
        running, waiting = create(server, LONG), create(server, LONG)
        wait_until(server, running["id"], "in_progress")
        ended: list[tuple[str, dict[str, Any]]] = []
        listening = threading.Thread(target=lambda: ended.extend(events(server, waiting["id"])))
        listening.start()
        while server.log.count("accepted for") != 2:
            time.sleep(0.02)
        time.sleep(0.5)  # the listener's request is on its way
        server.process.send_signal(signal.SIGTERM)
        listening.join()
        assert server.process.wait(30) == 0
    assert [name for name, _ in ended] == ["status", "failed"]
    assert ended[-1][1]["error"]["code"] == "stopping"
    assert server.log.count(f"job {running['id']} failed") == 1
    assert not list(tmp_path.glob("job-*"))


def test_results_go_when_their_time_or_the_room_is_up(tiny_models: Path, tmp_path: Path) -> None:
    with running_server(tiny_models / "predict2.5", tmp_path, COSMOS_RESULT_BYTES="1") as server:
        server.wait_until_ready()
        first = create(server, SHORT)
        wait_until(server, first["id"], "completed")
        second = create(server, SHORT)
        wait_until(server, second["id"], "completed")
        deadline = time.monotonic() + 30
        while server.client.get(f"/v1/videos/{first['id']}").status_code != 404:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert server.client.get(f"/v1/videos/{second['id']}/content").status_code == 200
        assert not list(tmp_path.glob(f"{first['id']}*"))
    (late := tmp_path / "late").mkdir()
    with running_server(tiny_models / "predict2.5", late, COSMOS_RESULT_SECONDS="1") as server:
        server.wait_until_ready()
        job = create(server, SHORT)
        deadline = time.monotonic() + 60
        while server.client.get(f"/v1/videos/{job['id']}").status_code != 404:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert not list(late.glob("job-*"))
