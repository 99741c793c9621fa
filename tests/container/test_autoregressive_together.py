"""Jobs of an autoregressive model that are made together, over HTTP."""

import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Server, data_url, forget_jobs, running_server, sample
from tests.container.media import frames_of_mp4, png
from tests.container.test_life import wait_for_line
from tests.container.test_videos import cancelled_in, create, events, wait_until

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def server(tiny_autoregressive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"COSMOS_MAX_BATCH_SIZE": "4", "COSMOS_GUARDRAILS": "off"}
    with running_server(
        tiny_autoregressive / "autoregressive", tmp_path_factory.mktemp("server"), **settings
    ) as running:
        running.wait_until_ready()
        yield running


@contextmanager
def at_work(server: Server) -> Iterator[None]:
    """The model process has something to do, so that what is sent meanwhile waits in the line."""
    mark = len(server.log)
    long = create(server, wish(num_output_frames=900))
    wait_for_line(server, rf"job {long['id']} starts on", after=mark)
    yield
    server.client.delete(f"/v1/videos/{long['id']}")


def num_waiting(server: Server) -> int:
    shown = re.search(r"^cosmos_jobs_waiting (\d+)", server.client.get("/metrics").text, re.MULTILINE)
    assert shown is not None
    return int(shown[1])


def wish(**more: Any) -> dict[str, Any]:
    image = data_url(sample("predict1/autoregressive_input.jpg").read_bytes(), "image/jpeg")
    return {"image": image, "num_output_frames": 17, "decoder": "tokenizer", **more}


def test_the_samples_of_a_body_are_made_together_and_answered_in_their_order(server: Server) -> None:
    mark = len(server.log)
    jobs = [wish(seed=seed, temperature=0.5 + seed / 10, top_p=0.9) for seed in range(5)]
    with ThreadPoolExecutor(1) as pool:
        with at_work(server):
            answering = pool.submit(server.invoke, [*jobs, wish(seed=5, num_output_frames=9)])
            while num_waiting(server) < 4:
                assert not answering.done()
                time.sleep(0.05)
        answers = answering.result().json()
    assert [answer["seed"] for answer in answers] == [0, 1, 2, 3, 4, 5]
    assert [answer["num_output_frames"] for answer in answers] == [17] * 5 + [9]
    assert len({answer["video"] for answer in answers}) == 6
    batches = [line.split(", ") for line in re.findall(r"jobs (.*) start together", server.log[mark:])]
    assert batches
    assert all(2 <= len(batch) <= 4 for batch in batches)
    together = {job_id for batch in batches for job_id in batch}
    assert together < {answer["job_id"] for answer in answers}
    assert answers[-1]["job_id"] not in together
    assert [answer["batch_size"] for answer in answers] == [
        next((len(batch) for batch in batches if answer["job_id"] in batch), 1) for answer in answers
    ]


def test_each_is_as_it_is_alone(server: Server) -> None:
    """One that is cancelled in the middle changes nothing for the others.

    With the likeliest codes, as sums over several rows are rounded otherwise than over one.
    """
    images = [data_url(png(*size), "image/png") for size in ((48, 80), (80, 48), (30, 90))]
    bodies = [wish(image=image, temperature=0, num_output_frames=129) for image in images]
    with at_work(server):
        jobs = [create(server, body) for body in bodies]
    done, last = cancelled_in(server, jobs[1]["id"], "generate", from_step=3)
    assert done <= last <= done + 2
    assert wait_until(server, jobs[1]["id"], "cancelled")["error"] is None
    for job in (jobs[0], jobs[2]):
        assert wait_until(server, job["id"], "completed")["cosmos"]["batch_size"] == 3
    alone = [frames_of_mp4(server.invoke(body, accept="video/mp4").content)[0] for body in bodies]
    for job, frames in ((jobs[0], alone[0]), (jobs[2], alone[2])):
        content = server.client.get(f"/v1/videos/{job['id']}/content")
        np.testing.assert_array_equal(frames_of_mp4(content.content)[0], frames)
    assert (alone[0] != alone[2]).any()


def test_a_killed_process_costs_those_of_the_batch_and_no_other(server: Server) -> None:
    with at_work(server):
        jobs = [create(server, wish(seed=seed, num_output_frames=900)) for seed in range(3)]
        later = create(server, wish(num_output_frames=9))
    for name, data in events(server, jobs[2]["id"]):
        if name == "progress" and data["stage"] == "generate":
            os.kill(server.model_pid(), signal.SIGKILL)
            break
    for job in jobs:
        assert wait_until(server, job["id"], "failed")["error"]["code"] == "worker_died"
    assert wait_until(server, later["id"], "completed")["cosmos"]["batch_size"] == 1
    forget_jobs(server)


def test_as_many_records_are_asked_for_as_can_run(server: Server) -> None:
    told = server.client.get("/execution-parameters").json()
    assert (told["MaxConcurrentTransforms"], told["MaxPayloadInMB"]) == (4, 25)
    assert "cosmos_batch_size_bucket" in server.client.get("/metrics").text
