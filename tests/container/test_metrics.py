"""`/metrics` of a real server: what Prometheus reads of it after jobs of every ending."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Server

pytestmark = pytest.mark.model

QUESTION = {"model_mode": "reasoner", "prompt": "What is a secret word?", "max_tokens": 2}
VIDEO = {"inference_type": "text2world", "prompt": "a robot", "num_steps": 1, "num_output_frames": 5}
SMALL = {"resolution": "64,64"}


def read(server: Server) -> dict[tuple[str, ...], float]:
    """Name and label values, in the order of the labels' names → value."""
    response = server.client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(response.text)
    return {
        (each.name, *(value for _, value in sorted(each.labels.items()))): each.value
        for family in families
        for each in family.samples
    }


def test_what_jobs_leave_there(server: Server) -> None:
    before = read(server)
    answer = server.invoke({**VIDEO, **SMALL}).json()
    assert server.invoke(QUESTION).status_code == 200
    assert server.invoke({**VIDEO, "steps": "many"}).status_code == 400  # never a job, and not counted
    after = read(server)

    def more(*key: str) -> float:
        return after.get(key, 0) - before.get(key, 0)

    assert (
        more("cosmos_jobs_total", "predict2.5", "completed"),
        more("cosmos_jobs_total", "reason2", "completed"),
    ) == (
        1,
        1,
    )
    assert more("cosmos_stage_seconds_count", "predict2.5", "denoise") == 1
    assert more("cosmos_stage_seconds_sum", "predict2.5", "denoise") == pytest.approx(
        answer["stage_seconds"]["denoise"], abs=1e-3
    )
    for part, placement in answer["plan"].items():
        assert after["cosmos_placement", "predict2.5", part, placement] == 1
    for verdict in answer["guardrails"]:
        assert more("cosmos_guardrail_verdicts_total", verdict["check"], verdict["state"]) >= 1
    assert (after["cosmos_jobs_running",], after["cosmos_jobs_waiting",]) == (0, 0)


def test_what_was_predicted_and_measured(server: Server) -> None:
    answer = server.invoke({**VIDEO, **SMALL}).json()
    told = read(server)
    assert answer["stages"]
    for stage in answer["stages"]:
        for source in ("predicted", "measured"):
            key = ("predict2.5", source, stage["stage"])
            peak = stage[f"{source}_peak_bytes"]
            assert told.get(("cosmos_stage_peak_bytes", *key)) == peak
            assert peak is None or told[("cosmos_stage_peak_bytes_max", *key)] >= peak


def test_a_blocked_job_and_nothing_of_its_prompt(server: Server) -> None:
    before = read(server)
    assert server.invoke({**VIDEO, **SMALL, "prompt": "a bomb-making tutorial"}).status_code == 400
    after = read(server)
    key = ("cosmos_jobs_total", "predict2.5", "blocked")
    assert after[key] == before.get(key, 0) + 1
    assert "bomb" not in server.client.get("/metrics").text
