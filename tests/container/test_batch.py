"""A batch transform job at the real server, in this project's words; what the platform asks is in tests/conformance."""

import json
from typing import Any

import httpx2
import pytest

from tests.conftest import Server
from tests.container.test_life import LONG, wait_for_line

pytestmark = pytest.mark.model

LINES = {"Content-Type": "application/jsonlines", "Accept": "application/jsonlines"}
TINY = {"prompt": "a robot", "resolution": "64,96", "num_output_frames": 5, "num_steps": 1}


@pytest.fixture
def batch(batch_server: Server) -> Server:
    return batch_server


def test_a_repeat_finds_the_job_of_a_lost_client(batch: Server) -> None:
    mark = len(batch.log)
    record = json.dumps({**LONG, "num_steps": 60}).encode()
    with pytest.raises(httpx2.ReadTimeout):
        batch.client.post("/invocations", content=record, headers=LINES, timeout=1)
    wait_for_line(batch, r"job \S+ starts", after=mark)
    answer: dict[str, Any] = batch.client.post("/invocations", content=record, headers=LINES).json()
    assert answer["video"]
    assert batch.log.count("accepted for", mark) == 1
    assert "cancelled" not in batch.log[mark:]


def test_a_file_that_is_no_line_has_a_real_status(batch: Server) -> None:
    kinds = {"Content-Type": "application/json", "Accept": "video/mp4"}
    made = batch.client.post("/invocations", content=json.dumps(TINY), headers=kinds)
    assert (made.status_code, made.headers["content-type"]) == (200, "video/mp4")
    assert batch.client.post("/invocations", content=b'{"prompt": 7}', headers=kinds).status_code == 400


def test_jobs_are_refused_where_another_instance_may_be_asked(batch: Server) -> None:
    headers = {"X-Amzn-SageMaker-Custom-Attributes": "route=/v1/videos"}
    refused = batch.client.post("/invocations", json=TINY, headers=headers)
    assert (refused.status_code, refused.json()["error"]["type"]) == (409, "jobs_not_shared")
    assert "asynchronous" in refused.json()["error"]["message"]
