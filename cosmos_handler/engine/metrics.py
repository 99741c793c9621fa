"""What `/metrics` tells: counted where jobs end, and nothing of a client's in it."""

from collections.abc import Callable

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from cosmos_handler.engine.job import Job, State
from cosmos_handler.errors import (
    Blocked,
    CosmosError,
    OutOfMemory,
    OverWindow,
    RequestError,
    Stopping,
    WaitOverWindow,
    WillNotFit,
)
from cosmos_handler.messages.machine import StageReport
from cosmos_handler.messages.results import Report

MEDIA_TYPE = prometheus_client.CONTENT_TYPE_LATEST

# A reasoner prepares in milliseconds; a long video is denoised for hours.
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0)
_TOGETHER = (1, 2, 4, 8, 16, 32, 64)
# The first class that an error is of, and how its job counts.
_OUTCOMES: tuple[tuple[type[CosmosError], str], ...] = (
    (Blocked, "blocked"),
    (OverWindow, "over_window"),
    (WaitOverWindow, "wait_over_window"),
    (RequestError, "refused"),
    (WillNotFit, "will_not_fit"),
    (OutOfMemory, "out_of_memory"),
    (Stopping, "stopped"),
)

# When each series began would double their number, and no process here outlives its series.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # its own lack of annotations


class Metrics:
    """All of them, in a registry of their own. Labels are names of models, stages, parts and checks, never texts."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._jobs = Counter("cosmos_jobs", "Jobs that ended, by how.", ["model", "outcome"], registry=registry)
        self._running = Gauge("cosmos_jobs_running", "Jobs that run.", registry=registry)
        self._waiting = Gauge("cosmos_jobs_waiting", "Jobs that wait their turn.", registry=registry)
        self._stage = Histogram(
            "cosmos_stage_seconds", "Seconds in each stage of a completed job.", ["model", "stage"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._copying = Counter(
            "cosmos_predicted_copy_seconds",
            "Seconds that completed jobs were predicted to wait for weights.",
            ["model", "stage"],
            registry=registry,
        )
        self._peak = Gauge(
            "cosmos_stage_peak_bytes", "Most device memory in a stage of the last job that had it.",
            ["model", "stage", "source"], registry=registry,
        )  # fmt: skip
        self._highest = Gauge(
            "cosmos_stage_peak_bytes_max", "Most device memory in a stage of any job since the start.",
            ["model", "stage", "source"], registry=registry,
        )  # fmt: skip
        self._placement = Gauge(
            "cosmos_placement", "1 for where each part lay in the model's last job.",
            ["model", "part", "placement"], registry=registry,
        )  # fmt: skip
        self._retries = Counter(
            "cosmos_out_of_memory_retries", "Completed jobs that ran out of device memory once and were run again.",
            ["model"], registry=registry,
        )  # fmt: skip
        self._together = Histogram(
            "cosmos_batch_size", "How many jobs a completed job was made together with, itself among them.",
            ["model"], buckets=_TOGETHER, registry=registry,
        )  # fmt: skip
        self._verdicts = Counter(
            "cosmos_guardrail_verdicts", "What the guardrails said.", ["check", "state"], registry=registry
        )
        self._lain: dict[tuple[str, str], str] = {}
        self._reached: dict[tuple[str, str, str], int] = {}

    def watch(self, *, running: Callable[[], int], waiting: Callable[[], int]) -> None:
        """Whom to ask how many jobs there are, whenever somebody looks."""
        self._running.set_function(running)
        self._waiting.set_function(waiting)

    def text(self) -> bytes:
        """All of it in Prometheus' own format."""
        return generate_latest(self._registry)

    def ended(self, job: Job) -> None:
        """A job has ended; called once for each."""
        if job.done is not None:
            self._jobs.labels(job.model, "completed").inc()
            self._completed(job.model, job.done.report)
        elif job.state is State.CANCELLED:
            self._jobs.labels(job.model, "cancelled").inc()
        elif job.error is not None:
            self.refused(job.model, job.error)

    def refused(self, model: str, error: CosmosError) -> None:
        """A job failed, or was refused before it was one."""
        outcome = next((word for kind, word in _OUTCOMES if isinstance(error, kind)), "failed")
        self._jobs.labels(model, outcome).inc()
        for finding in error.findings if isinstance(error, Blocked) else ():
            self._verdicts.labels(finding["check"], finding["state"]).inc()

    def _completed(self, model: str, report: Report) -> None:
        for stage, seconds in report.stage_seconds.items():
            self._stage.labels(model, stage).observe(seconds)
        for told in report.stages:
            self._predicted(model, told)
        for part, placement in report.plan.items():
            before = self._lain.get((model, part))
            if before is not None and before != placement:
                self._placement.remove(model, part, before)
            self._lain[model, part] = placement
            self._placement.labels(model, part, placement).set(1)
        for verdict in report.guardrails:
            self._verdicts.labels(verdict.check, verdict.state).inc()
        self._together.labels(model).observe(report.batch_size)
        if report.retried:
            self._retries.labels(model).inc()

    def _predicted(self, model: str, told: StageReport) -> None:
        if told.copy_seconds is not None:
            self._copying.labels(model, told.stage).inc(told.copy_seconds)
        for source, peak in (("predicted", told.predicted_peak_bytes), ("measured", told.measured_peak_bytes)):
            if peak is not None:
                key = (model, told.stage, source)
                self._reached[key] = max(peak, self._reached.get(key, 0))
                self._peak.labels(*key).set(peak)
                self._highest.labels(*key).set(self._reached[key])
