"""What is counted when jobs end."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cosmos_handler import errors
from cosmos_handler.engine.job import Job
from cosmos_handler.engine.metrics import Metrics
from cosmos_handler.messages.machine import StageReport
from cosmos_handler.messages.results import Report
from tests.fakes import REPORT, done, job, video_task


def values(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Name and label values, in the order of the labels' names → value."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


def completed(report: Report) -> Job:
    made = Job("job-1", model="predict", task=video_task(), folder=Path("/nowhere"))
    made.start()
    made.complete(done().model_copy(update={"report": report}))
    return made


def stage(predicted: int | None, measured: int | None) -> StageReport:
    return StageReport(
        stage="denoise",
        predicted_peak_bytes=predicted,
        measured_peak_bytes=measured,
        predicted_seconds=2.0,
        copy_seconds=0.25,
        seconds=2.5,
    )


def test_a_completed_job() -> None:
    metrics = Metrics()
    metrics.ended(completed(REPORT.model_copy(update={"stages": (stage(100, 90),), "retried": True})))
    told = values(metrics)
    assert told["cosmos_jobs_total", "predict", "completed"] == 1
    assert told["cosmos_stage_seconds_sum", "predict", "denoise"] == 1.0
    assert told["cosmos_stage_seconds_bucket", "1.0", "predict", "denoise"] == 1
    assert told["cosmos_stage_seconds_bucket", "0.3", "predict", "denoise"] == 0
    assert told["cosmos_predicted_copy_seconds_total", "predict", "denoise"] == 0.25
    assert told["cosmos_placement", "predict", "transformer", "resident"] == 1
    assert told["cosmos_out_of_memory_retries_total", "predict"] == 1
    assert told["cosmos_guardrail_verdicts_total", "blocklist", "passed"] == 1


def test_how_many_jobs_were_made_together() -> None:
    metrics = Metrics()
    for batch_size in (1, 3, 3, 3):
        metrics.ended(completed(REPORT.model_copy(update={"batch_size": batch_size})))
    told = values(metrics)
    assert (told["cosmos_batch_size_count", "predict"], told["cosmos_batch_size_sum", "predict"]) == (4, 10)
    below = {size: told["cosmos_batch_size_bucket", size, "predict"] for size in ("1.0", "2.0", "4.0", "64.0")}
    assert below == {"1.0": 1, "2.0": 1, "4.0": 4, "64.0": 4}


def test_the_last_peak_and_the_highest() -> None:
    metrics = Metrics()
    for predicted, measured in ((100, 90), (50, None), (70, 60)):
        metrics.ended(completed(REPORT.model_copy(update={"stages": (stage(predicted, measured),)})))
    told = values(metrics)
    assert told["cosmos_stage_peak_bytes", "predict", "predicted", "denoise"] == 70
    assert told["cosmos_stage_peak_bytes", "predict", "measured", "denoise"] == 60
    assert told["cosmos_stage_peak_bytes_max", "predict", "predicted", "denoise"] == 100
    assert told["cosmos_stage_peak_bytes_max", "predict", "measured", "denoise"] == 90


def test_a_part_lies_in_one_place() -> None:
    metrics = Metrics()
    for placement in ("resident", "streamed"):
        metrics.ended(completed(REPORT.model_copy(update={"plan": {"transformer": placement}})))
    assert [key for key in values(metrics) if key[0] == "cosmos_placement"] == [
        ("cosmos_placement", "predict", "transformer", "streamed")
    ]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (errors.InvalidField("seed", "is -1"), "refused"),
        (errors.OverWindow("long", nearest={}, predicted_seconds=2, window_seconds=1), "over_window"),
        (
            errors.WaitOverWindow("full", waiting_seconds=1, predicted_seconds=1, window_seconds=1),
            "wait_over_window",
        ),
        (errors.WillNotFit("large", table="", nearest={}), "will_not_fit"),
        (errors.OutOfMemory("full"), "out_of_memory"),
        (errors.Stopping("stops", retry_after_seconds=1), "stopped"),
        (errors.WorkerDied("gone"), "failed"),
    ],
)
def test_a_failed_job(error: errors.CosmosError, outcome: str) -> None:
    metrics = Metrics()
    failed = job()
    failed.fail(error)
    metrics.ended(failed)
    assert values(metrics)["cosmos_jobs_total", "reason", outcome] == 1


def test_a_blocked_and_a_cancelled_job() -> None:
    metrics = Metrics()
    blocked, cancelled = job("a secret prompt"), job()
    blocked.fail(errors.Blocked("blocklist", "no", findings=[{"check": "blocklist", "state": "blocked", "detail": ""}]))
    cancelled.cancel()
    for each in (blocked, cancelled):
        metrics.ended(each)
    told = values(metrics)
    assert told["cosmos_jobs_total", "reason", "blocked"] == told["cosmos_jobs_total", "reason", "cancelled"] == 1
    assert told["cosmos_guardrail_verdicts_total", "blocklist", "blocked"] == 1
    assert b"secret" not in metrics.text()


def test_how_many_there_are_is_asked_when_somebody_looks() -> None:
    metrics, counts = Metrics(), [1, 2]
    metrics.watch(running=lambda: counts[0], waiting=lambda: counts[1])
    counts[:] = [3, 4]
    told = values(metrics)
    assert (told["cosmos_jobs_running",], told["cosmos_jobs_waiting",]) == (3, 4)
    assert not [key for key in told if key[0].endswith("_created") or key[0].startswith("python")]
