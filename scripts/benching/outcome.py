"""What came out: one record a case, as JSON for programs and as tables for people. GB are 1e9 bytes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cosmos_handler.memory.plan import Plan
from scripts.benching.subjects import Subject


@dataclass(frozen=True)
class Taken:
    """What one run took. stages: for each the peak in bytes where it was measured, and its seconds.

    seconds_per_step: of denoising, or of the diffusion decoder. seconds_per_token: of models that make tokens.
    """

    seconds: float
    seconds_per_step: float | None
    peak_bytes: int | None
    driver_bytes: int | None
    stages: dict[str, tuple[int | None, float]] = field(default_factory=dict)
    seconds_per_token: float | None = None


@dataclass(frozen=True)
class Outcome:
    """One case. plan: of ours. taken: None where it did not run, for the reason that note gives."""

    case: str
    plan: Plan | None = None
    taken: Taken | None = None
    note: str = ""


@dataclass
class Sheet:
    """All cases of one model."""

    subject: Subject
    outcomes: list[Outcome] = field(default_factory=list)
    build_seconds: float | None = None
    note: str = ""

    def base(self) -> Taken | None:
        """What the others are held against: everything resident."""
        return next((outcome.taken for outcome in self.outcomes if outcome.case == "none"), None)

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        task = self.subject.task
        return {
            "model": self.subject.name,
            "request": {
                "num_frames": task.num_frames, "height": task.height, "width": task.width,
                "num_steps": task.num_steps, "guidance": task.guidance,
            },
            "build_seconds": self.build_seconds,
            "published_note": self.subject.published_note,
            "note": self.note,
            "cases": [self._case(outcome) for outcome in self.outcomes],
        }  # fmt: skip

    def table(self) -> str:
        """For a person."""
        task = self.subject.task
        lines = [
            f"{self.subject.name}: {task.num_frames} frames at {task.width}x{task.height}, {task.num_steps} steps, "
            f"guidance {task.guidance:g}"
            + ("" if self.build_seconds is None else f"; built in {self.build_seconds:.0f} s"),
            f"  {'GB':<22}{'predicted':>10}{'allocator':>10}{'driver':>9}{'published':>10}"
            f"{'s/step':>9}{'vs none':>9}{'job s':>8}{'copying: predicted':>20}{'measured':>10}",
        ]
        lines += [self._row(outcome) for outcome in self.outcomes]
        lines.append(f"  published: {self.subject.published_note}")
        lines += [f"  {note}" for note in [self.note] if note]
        for outcome in self.outcomes:
            lines += _stage_rows(outcome)
        return "\n".join(lines)

    def _row(self, outcome: Outcome) -> str:
        taken, plan = outcome.taken, outcome.plan
        published = self.subject.published_gigabytes.get(outcome.case)
        cells = (
            f"{_gigabytes(plan.peak_bytes if plan else None):>10}"
            f"{_gigabytes(taken.peak_bytes if taken else None):>10}"
            f"{_gigabytes(taken.driver_bytes if taken else None):>9}"
            f"{'-' if published is None else f'{published:.1f}':>10}"
        )
        copying = "-" if plan is None else f"{plan.copy_seconds:.2f}"
        if taken is None:
            return f"  {outcome.case:<22}{cells}{'':>26}{copying:>20}  {outcome.note}"
        lost = self._lost_seconds(outcome)
        return (
            f"  {outcome.case:<22}{cells}{_number(taken.seconds_per_step, 3):>9}{self._slower(taken):>9}"
            f"{taken.seconds:>8.1f}{copying:>20}{_number(lost, 2):>10}  {outcome.note}"
        )

    def _slower(self, taken: Taken) -> str:
        base = self.base()
        if base is None or base.seconds_per_step is None or taken.seconds_per_step is None:
            return "-"
        return f"{100 * (taken.seconds_per_step / base.seconds_per_step - 1):+.2f}%"

    def _lost_seconds(self, outcome: Outcome) -> float | None:
        """How much longer a job took than with everything resident."""
        base = self.base()
        return None if base is None or outcome.taken is None else outcome.taken.seconds - base.seconds

    def _case(self, outcome: Outcome) -> dict[str, Any]:
        taken, base = outcome.taken, self.base()
        record: dict[str, Any] = {"case": outcome.case, "note": outcome.note}
        record["published_gigabytes"] = self.subject.published_gigabytes.get(outcome.case)
        record["predicted"] = None if outcome.plan is None else outcome.plan.as_json()
        if taken is None:
            return record | {"measured": None}
        lost = self._lost_seconds(outcome)
        measured = {
            "peak_bytes": taken.peak_bytes,
            "driver_bytes": taken.driver_bytes,
            "seconds": taken.seconds,
            "seconds_per_step": taken.seconds_per_step,
            "seconds_per_step_of_none": base.seconds_per_step if base else None,
            "seconds_per_token": taken.seconds_per_token,
            "seconds_longer_than_none": lost,
            "stages": {
                name: {"peak_bytes": peak, "seconds": round(seconds, 4)}
                for name, (peak, seconds) in taken.stages.items()
            },
        }
        return record | {"measured": measured}


def _stage_rows(outcome: Outcome) -> list[str]:
    """What each stage took at its most, predicted and measured, and its seconds."""
    if outcome.taken is None and (outcome.plan is None or outcome.note.startswith(("places", "skipped"))):
        return []
    measured = outcome.taken.stages if outcome.taken else {}
    planned = {stage.name: stage for stage in outcome.plan.stages} if outcome.plan else {}
    cells = []
    for name in dict.fromkeys((*planned, *measured)):
        stage, (peak, seconds) = planned.get(name), measured.get(name, (None, None))
        off = ""
        if stage is not None and peak:
            off = f" ({100 * (stage.peak_bytes / peak - 1):+.1f}%)"
        bytes_said = f"{_gigabytes(stage.peak_bytes if stage else None)}/{_gigabytes(peak)}{off}"
        spent = f"{_number(stage.seconds if stage else None, 1)}/{_number(seconds, 1)} s"
        pace = None if name != "generate" or outcome.taken is None else outcome.taken.seconds_per_token
        cells.append(f"{name} {bytes_said} {spent}" + ("" if pace is None else f" {1e3 * pace:.2f} ms/token"))
    return [f"  {outcome.case:<22}" + " · ".join(cells)]


def page(sheets: Sequence[Sheet]) -> str:
    """All models. In the rows of stages, what stands before a slash is predicted and what stands behind it measured."""
    return "\n\n".join(sheet.table() for sheet in sheets)


def _gigabytes(size_bytes: int | None) -> str:
    return "-" if size_bytes is None else f"{size_bytes / 1e9:.2f}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
