"""`scripts/bench.py memory`: every preset and every rival on full-size networks, as far as the time goes."""

import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_handler.memory.plan import NothingFits, Plan
from cosmos_handler.messages.machine import Machine, MemoryWish
from scripts.benching.outcome import Outcome, Sheet, page
from scripts.benching.subjects import Subject

if TYPE_CHECKING:  # they bring torch and the libraries along, which predictions do without
    from scripts.benching.house import House

RIVALS = ("diffusers group", "diffusers model", "diffusers sequential")
# The more a case tells, the earlier it comes: time may be short.
CASES = (
    "none", "all", "auto", *RIVALS, "text_encoder", "diffusion_decoder", "tokenizer", "guardrails", "prompt_upsampler",
)  # fmt: skip
# What building costs, filling host memory, and what a case costs beside its run: pinning, warming up, giving back.
_BUILD_BYTES_PER_SECOND = 1.5e9
_PIN_BYTES_PER_SECOND = 3e9
_SECONDS_PER_CASE = 5.0
# What rivals move at, out of pinned memory but leaf by leaf, or out of memory that is not pinned any more.
_RIVAL_BYTES_PER_SECOND = 6e9
_ROUNDING_UP = 1.15


@dataclass(frozen=True)
class Bench:
    """One invocation. machine: what plans are held against. say: takes lines about how it goes. out: for JSON."""

    subjects: Sequence[Subject]
    cases: Sequence[str]
    machine: Machine
    budget_seconds: float
    began: float
    say: Callable[[str], None]
    out: Path | None = None

    def left_seconds(self) -> float:
        """Until the budget is spent."""
        return self.began + self.budget_seconds - time.monotonic()


def predict(bench: Bench) -> list[Sheet]:
    """The plans alone: no GPU is needed, nor any of the libraries."""
    sheets = []
    for subject in bench.subjects:
        sheet = Sheet(subject, note="predicted for another machine; nothing was run")
        for case in bench.cases:
            if case not in RIVALS:
                sheet.outcomes.append(_predicted(subject, case, bench.machine))
        sheets.append(sheet)
    _write(bench, sheets)
    return sheets


def measure(bench: Bench, device: Any, sheets: list[Sheet], *, folder: Path | None = None) -> None:
    """Every case on a device; what came out is put into sheets, model by model, so that nothing is lost on the way.

    folder: with the small files that the families read.
    """
    with tempfile.TemporaryDirectory() as own:
        place = folder or write_small_files(Path(own))
        build_rate = _BUILD_BYTES_PER_SECOND
        for number, subject in enumerate(bench.subjects):
            sheet = Sheet(subject)
            sheets.append(sheet)
            # Later models keep their share of the time.
            until = time.monotonic() + bench.left_seconds() / (len(bench.subjects) - number)
            needed = subject.size_bytes / build_rate
            if time.monotonic() + needed > until:
                sheet.note = f"skipped: building it would take about {needed:.0f} s of what is left"
                continue
            sheet.build_seconds = _measure_one(bench, sheet, place, device, until, lambda: _write(bench, sheets))
            build_rate = min(build_rate, subject.size_bytes / sheet.build_seconds)
        _write(bench, sheets)


def _measure_one(bench: Bench, sheet: Sheet, place: Path, device: Any, until: float, save: Callable[[], None]) -> float:
    """All cases of one model; gives the seconds in which it was built."""
    from scripts.benching.house import House

    subject = sheet.subject
    bench.say(f"{subject.name}: building, {subject.size_bytes / 1e9:.1f} GB of weights")
    began = time.monotonic()
    house = House(subject, place, device)
    sheet.build_seconds = time.monotonic() - began
    try:
        _cases(bench, house, sheet, until, save)
    finally:
        house.close()
        del house
        gc.collect()
    return sheet.build_seconds


def write_small_files(folder: Path) -> Path:
    """Tokenizers and a scheduler, which are files and no weights: the tests' tokenizers, and NVIDIA's scheduler."""
    from scripts.tiny import t5
    from scripts.tiny.predict2_5 import scheduler
    from scripts.tiny.tokenizer import write_tokenizer

    write_tokenizer(folder / "tokenizer", longest_tokens=131_072)
    t5.write_tokenizer(folder / "text_tokenizer")
    scheduler().save_pretrained(folder / "scheduler")
    return folder


def _cases(bench: Bench, house: "House", sheet: Sheet, until: float, save: Callable[[], None]) -> None:
    """Ours first, as rivals want what is on the device to be gone."""
    _warm_up(bench, house)
    seen: dict[tuple[tuple[str, str], ...], str] = {}
    ours = [case for case in bench.cases if case not in RIVALS]
    rivals = [case for case in bench.cases if case in RIVALS]
    meets_rivals = bool(rivals) and house.subject.has_rivals
    for case in ours[:3]:
        sheet.outcomes.append(_ours(bench, house, sheet, case, until, seen))
        save()
    # What the rivals will take is kept for them.
    kept = sum(_rival_seconds(bench, house, sheet, case) for case in rivals) if meets_rivals else 0.0
    for case in ours[3:]:
        sheet.outcomes.append(_ours(bench, house, sheet, case, until - kept, seen))
        save()
    if meets_rivals:
        house.leave_device()
    for case in rivals:
        sheet.outcomes.append(_rival(bench, house, sheet, case, until))
        save()


def _warm_up(bench: Bench, house: "House") -> None:
    plan = _plan_or_none(house.subject.smallest(), "none", bench.machine)
    if plan is not None:
        house.warm_up(plan)


def _ours(
    bench: Bench, house: "House", sheet: Sheet, case: str, until: float, seen: dict[tuple[tuple[str, str], ...], str]
) -> Outcome:
    import torch

    predicted = _predicted(sheet.subject, case, bench.machine)
    plan = predicted.plan
    if plan is None:
        return predicted
    places = tuple(sorted((key, where) for key, where in plan.placements.items()))
    if places in seen:
        return Outcome(case, plan, None, f"places everything as {seen[places]} does")
    needed = _our_seconds(bench, sheet, plan)
    if time.monotonic() + needed > until:
        return Outcome(case, plan, None, f"skipped: it would take about {needed:.0f} s of what is left")
    seen[places] = case
    bench.say(f"{sheet.subject.name}: {case}, about {needed:.0f} s")
    try:
        return Outcome(case, plan, house.measure(plan), _places_said(plan))
    except torch.OutOfMemoryError as error:
        house.residence.clear()
        return Outcome(case, plan, None, f"out of device memory: {_first_line(error)}")


def _rival(bench: Bench, house: "House", sheet: Sheet, case: str, until: float) -> Outcome:
    if not house.subject.has_rivals:
        return Outcome(case, note="not tried: diffusers has no pipeline for it")
    from scripts.benching.meters import settle
    from scripts.benching.rivals import measure_rival

    needed = _rival_seconds(bench, house, sheet, case)
    if time.monotonic() + needed > until:
        return Outcome(case, note=f"skipped: it would take about {needed:.0f} s of what is left")
    bench.say(f"{sheet.subject.name}: {case}, about {needed:.0f} s")
    try:
        return Outcome(case, taken=measure_rival(house, case))
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError, NotImplementedError) as error:
        # That another library cannot do it is a result as well.
        return Outcome(case, note=f"failed: {type(error).__name__}: {_first_line(error)}")
    finally:
        gc.collect()
        settle(house.device)


def _predicted(subject: Subject, case: str, machine: Machine) -> Outcome:
    if not subject.has_row(case):
        return Outcome(case, note=f"not tried: it has no {case}")
    try:
        plan = subject.plan(case, machine)
    except NothingFits as error:
        return Outcome(case, None, None, f"does not fit: {error.problem}")
    return Outcome(case, plan, None, _places_said(plan))


def _plan_or_none(subject: Subject, case: str, machine: Machine) -> Plan | None:
    return _predicted(subject, case, machine).plan


def _places_said(plan: Plan) -> str:
    """The groups of parts that are not resident, by where they lie."""
    away = dict.fromkeys(
        (plan.placements[part.key], part.group) for part in plan.parts if plan.placements[part.key] != "resident"
    )
    said = [f"{group} {where}" for where, group in away]
    if plan.decode != "exact":
        said.append(f"decode {plan.decode}")
    return ", ".join(said) or "everything resident"


def _our_seconds(bench: Bench, sheet: Sheet, plan: Plan) -> float:
    base = sheet.base()
    run = plan.seconds if base is None else base.seconds + plan.copy_seconds
    return run * _ROUNDING_UP + plan.host_bytes / _PIN_BYTES_PER_SECOND + _SECONDS_PER_CASE


def _rival_seconds(bench: Bench, house: "House", sheet: Sheet, case: str) -> float:
    base = sheet.base()
    planned = _plan_or_none(sheet.subject, "none", bench.machine)
    run = base.seconds if base is not None else planned.seconds if planned is not None else 60.0
    task = sheet.subject.task
    forwards = task.num_steps * (2 if task.guidance > 1 else 1)
    moved = house.size_bytes * (2 if case == "diffusers model" else forwards if case == "diffusers sequential" else 1)
    return run * _ROUNDING_UP + moved / _RIVAL_BYTES_PER_SECOND + 2 * _SECONDS_PER_CASE


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")[:200]


def _write(bench: Bench, sheets: Sequence[Sheet]) -> None:
    if bench.out is not None:
        bench.out.write_text(json.dumps(record(bench, sheets), indent=2) + "\n", encoding="utf-8")


def record(bench: Bench, sheets: Sequence[Sheet]) -> Mapping[str, Any]:
    """Everything as JSON."""
    return {"machine": bench.machine.model_dump(), "models": [sheet.as_json() for sheet in sheets]}


def machine_here(device: str) -> Machine:
    """This machine, measured."""
    from cosmos_handler.memory.probe import measure_machine

    return measure_machine(device, MemoryWish(), [])


def say(line: str) -> None:
    """On stderr, where it is in nobody's way."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


__all__ = ["CASES", "RIVALS", "Bench", "Sheet", "machine_here", "measure", "page", "predict", "record", "say"]
