"""One try at a job, and what is told of it."""

from dataclasses import dataclass

from cosmos_handler.errors import Blocked, RequestError
from cosmos_handler.families.base import Context
from cosmos_handler.memory.autoregressive import SHARED_STAGE
from cosmos_handler.memory.plan import Plan
from cosmos_handler.messages.machine import StageReport
from cosmos_handler.messages.wire import Failed, Run
from cosmos_handler.worker.guarding import Inspected


@dataclass
class Attempt:
    """run: with the prompt as it became. plan: of all that are made together, which are batch_size.

    retried: whether it is one more, after the device had too little memory. is_last: whether there is none after it.
    has_spoken: words have gone out, which cannot be taken back. has_ended: its end has been told.
    """

    run: Run
    plan: Plan
    context: Context
    inspected: Inspected
    batch_size: int = 1
    retried: bool = False
    is_last: bool = False
    has_spoken: bool = False
    has_ended: bool = False

    def blocked(self, error: Blocked) -> Failed:
        """Its end where a guardrail stopped it."""
        return Failed(
            job_id=self.run.job_id,
            reason="guardrail",
            problem=error.problem,
            check=error.check,
            findings=self.inspected.verdicts(),
        )

    def refused(self, error: RequestError) -> Failed:
        """Its end where what was asked for cannot be done."""
        return Failed(
            job_id=self.run.job_id,
            reason="request",
            problem=getattr(error, "problem", None) or str(error),
            field=getattr(error, "field", None),
            allowed=getattr(error, "allowed", None),
        )

    def stages(self) -> tuple[StageReport, ...]:
        """Every stage that was gone through, beside what was planned for it."""
        reports = []
        for name, seconds in self.context.stage_seconds.items():
            planned = self.plan.stage(name)
            times = 1 if name == SHARED_STAGE else self.batch_size  # that the plan has it, one after the other
            reports.append(
                StageReport(
                    stage=name,
                    predicted_peak_bytes=planned.peak_bytes if planned else None,
                    measured_peak_bytes=self.context.stage_peak_bytes.get(name),
                    predicted_seconds=planned.seconds / times if planned else None,
                    copy_seconds=planned.copy_seconds / times if planned else None,
                    seconds=seconds,
                )
            )
        return tuple(reports)
