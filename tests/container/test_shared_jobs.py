"""Jobs of `/v1/videos` in S3: any instance answers for any job, and each ends once, whichever instance dies."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Server, running_server
from tests.container.stream import events_in
from tests.container.test_videos import create, get, wait_until
from tests.s3 import S3, running_s3

pytestmark = pytest.mark.model

ASK = {"prompt": "A robot.", "resolution": "64,96", "num_output_frames": 5, "num_steps": 2, "seed": 7}
# Longer than it takes until its instance hears that another one was asked to cancel it.
LONG = {"prompt": "A robot.", "resolution": "240,416", "num_output_frames": 33, "num_steps": 200}
LOST_SECONDS = 8


@dataclass(frozen=True)
class Fleet:
    """Two instances of one endpoint."""

    one: Server
    other: Server
    s3: S3


@contextmanager
def instance(models: Path, folder: Path, s3: S3, **environ: str) -> Iterator[Server]:
    folder.mkdir()
    shared = {"COSMOS_JOBS_S3_URI": "s3://jobs/all/", "COSMOS_JOBS_LOST_SECONDS": str(LOST_SECONDS)}
    # As on SageMaker, where the platform's names are there.
    with running_server(
        models / "predict2.5", folder, **shared, **s3.environment, SAGEMAKER_REGION="us-east-1", **environ
    ) as server:
        yield server


@pytest.fixture(scope="module")
def fleet(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    with (
        running_s3(folder, "jobs", "named") as s3,
        instance(tiny_models, folder / "one", s3) as one,
        instance(tiny_models, folder / "other", s3) as other,
    ):
        one.wait_until_ready()
        other.wait_until_ready()
        yield Fleet(one, other, s3)


def test_any_instance_answers_for_a_job(fleet: Fleet) -> None:
    job = create(fleet.one, {**ASK, "name": "mine"})
    assert get(fleet.other, job["id"])["status"] in ("queued", "in_progress", "completed")
    told = wait_until(fleet.other, job["id"], "completed")
    assert told == get(fleet.one, job["id"])
    assert (told["name"], told["progress"], told["size"]) == ("mine", 100, "96x64")
    assert told["cosmos"]["s3_uri"] == f"s3://jobs/all/results/{job['id']}.mp4"
    contents = [server.client.get(f"/v1/videos/{job['id']}/content") for server in (fleet.one, fleet.other)]
    assert [each.status_code for each in contents] == [200, 200]
    assert contents[0].content == contents[1].content == fleet.s3.object(told["cosmos"]["s3_uri"])["Body"].read()
    assert contents[1].headers["content-type"] == "video/mp4"
    assert json.loads(contents[1].headers["x-cosmos-result"])["job_id"] == job["id"]
    assert [path.name for path in Path(fleet.other.log_path.parent).glob("spool-*")] == []
    assert fleet.other.client.delete(f"/v1/videos/{job['id']}").json()["status"] == "completed"
    for server in (fleet.one, fleet.other):
        assert server.client.get(f"/v1/videos/{job['id']}").status_code == 404
    assert fleet.s3.keys("jobs") == []


def test_a_job_is_followed_and_cancelled_from_elsewhere(fleet: Fleet) -> None:
    job = create(fleet.one, LONG)
    names = []
    with fleet.other.client.stream("GET", f"/v1/videos/{job['id']}/events") as response:
        for name, data in events_in(response):
            names.append(name)
            if name == "progress":
                assert data["num_steps"] == LONG["num_steps"]
                deleted = fleet.other.client.delete(f"/v1/videos/{job['id']}")
                assert deleted.json()["status"] == "in_progress"
                break
    assert "status" in names
    assert wait_until(fleet.other, job["id"], "cancelled", seconds=20)["error"] is None
    assert get(fleet.one, job["id"])["status"] == "cancelled"
    content = fleet.other.client.get(f"/v1/videos/{job['id']}/content")
    assert (content.status_code, content.json()["error"]["type"]) == (409, "not_done")
    fleet.one.client.delete(f"/v1/videos/{job['id']}")
    assert fleet.other.client.get(f"/v1/videos/{job['id']}/events").status_code == 404


def test_through_invocations_behind_the_platform(fleet: Fleet) -> None:
    def call(server: Server, attributes: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        header = {"X-Amzn-SageMaker-Custom-Attributes": attributes}
        answer = server.client.post("/invocations", headers=header, json=body)
        assert answer.status_code < 300, answer.text
        told: dict[str, Any] = answer.json()
        return told

    job = call(fleet.one, "route=/v1/videos", ASK)
    route = f"route=/v1/videos/{job['id']}"
    deadline = time.monotonic() + 60
    while call(fleet.other, f"{route},method=GET")["status"] != "completed":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert [each["id"] for each in call(fleet.other, "route=/v1/videos,method=GET")["data"]] == [job["id"]]
    assert call(fleet.other, f"{route},method=DELETE")["deleted"] is True


def test_a_place_of_the_request_s_own_stays_when_the_job_is_forgotten(fleet: Fleet) -> None:
    job = create(fleet.one, {**ASK, "output_s3_uri": "s3://named/here.mp4"})
    wait_until(fleet.other, job["id"], "completed")
    assert fleet.other.client.get(f"/v1/videos/{job['id']}/content").status_code == 200
    fleet.other.client.delete(f"/v1/videos/{job['id']}")
    assert (fleet.s3.keys("named"), fleet.s3.keys("jobs")) == (["here.mp4"], [])


def test_what_a_killed_instance_had_fails_once(fleet: Fleet, tiny_models: Path, tmp_path: Path) -> None:
    with instance(tiny_models, tmp_path / "third", fleet.s3) as third:
        third.wait_until_ready()
        running, waiting = create(third, LONG), create(third, LONG)
        wait_until(fleet.one, running["id"], "in_progress", seconds=20)
        third.process.send_signal(signal.SIGKILL)
        third.process.wait(10)
    ended = [wait_until(fleet.one, job["id"], "failed", seconds=LOST_SECONDS + 20) for job in (running, waiting)]
    assert [each["error"]["code"] for each in ended] == ["instance_lost"] * 2
    assert ended[0]["step"] is None
    assert [get(fleet.other, each["id"]) for each in ended] == ended
    for each in ended:
        fleet.other.client.delete(f"/v1/videos/{each['id']}")


def test_an_instance_that_is_stopped_lets_its_job_end(fleet: Fleet, tiny_models: Path, tmp_path: Path) -> None:
    with instance(tiny_models, tmp_path / "third", fleet.s3, COSMOS_STOP_SECONDS="20") as third:
        third.wait_until_ready()
        running, waiting = create(third, {**ASK, "num_steps": 100}), create(third, ASK)
        wait_until(third, running["id"], "in_progress", seconds=20)
        third.process.send_signal(signal.SIGTERM)
        assert third.process.wait(30) == 0
    assert get(fleet.one, running["id"])["status"] == "completed"
    turned_away = get(fleet.one, waiting["id"])
    assert (turned_away["status"], turned_away["error"]["code"]) == ("failed", "stopping")
    for job in (running, waiting):
        fleet.one.client.delete(f"/v1/videos/{job['id']}")


def test_a_place_where_jobs_cannot_be_kept_ends_the_start(fleet: Fleet, tiny_models: Path, tmp_path: Path) -> None:
    environ = {**fleet.s3.environment, "COSMOS_JOBS_S3_URI": "s3://missing/jobs/"}
    with running_server(tiny_models / "predict2.5", tmp_path, **environ) as server:
        assert server.process.wait(60) == 2
    assert "COSMOS_JOBS_S3_URI='s3://missing/jobs/': jobs cannot be kept there: S3 has no such bucket" in server.log
    assert "found" not in server.log
