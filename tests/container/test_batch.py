"""A batch transform job at the real server, in this project's words; what the platform asks is in tests/conformance."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from tests.conftest import Server
from tests.container.test_life import LONG, wait_for_line

pytestmark = pytest.mark.model

LINES = {"Content-Type": "application/jsonlines", "Accept": "application/jsonlines"}
TINY = {"prompt": "a robot", "resolution": "64,96", "num_output_frames": 5, "num_steps": 1}
BAD = {3: "{not json", 11: '"text"', 17: '{"prompt": "a robot", "stepz": 3}', 30: "[1]", 39: '{"model": "nobody"}'}


@pytest.fixture
def batch(batch_server: Server) -> Server:
    return batch_server


def records() -> list[str]:
    """Forty, five of which are bad; two make videos."""
    asked = []
    for number in range(40):
        if number in BAD:
            asked.append(BAD[number])
        elif number in (5, 25):
            asked.append(json.dumps({**TINY, "name": str(number)}))
        else:
            words = {"model": "reason2", "prompt": f"Say {number}.", "max_tokens": 2, "name": str(number)}
            asked.append(json.dumps(words))
    return asked


def check(lines: list[str]) -> None:
    answers = [json.loads(line) for line in lines]
    assert len(answers) == 40
    for number, answer in enumerate(answers):
        assert ("error" in answer) == (number in BAD), answer
        if number not in BAD:
            assert answer["name"] == str(number)
            assert ("video" in answer) == (number in (5, 25))


def test_all_records_in_one_body(batch: Server) -> None:
    response = batch.client.post("/invocations", content="\n".join(records()).encode(), headers=LINES)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/jsonlines")
    check(response.text.split("\n"))


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


def test_a_record_whose_process_died_is_done_once_more(batch: Server) -> None:
    """An error would be the record's answer for good, and it has done nothing wrong, unless it does it again."""

    def with_kills(num_kills: int) -> dict[str, Any]:
        record = json.dumps({**LONG, "num_steps": 61 + num_kills}).encode()
        mark = len(batch.log)
        with ThreadPoolExecutor(1) as thread:
            asked = thread.submit(batch.client.post, "/invocations", content=record, headers=LINES)
            for _ in range(num_kills):
                started = wait_for_line(batch, r"job \S+ starts", after=mark)
                mark = started.end()
                os.kill(batch.model_pid(), signal.SIGKILL)
            told: dict[str, Any] = asked.result().json()
        return told

    assert with_kills(1)["video"]
    assert with_kills(2)["error"]["type"] == "worker_died"
    batch.wait_until_ready()


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
