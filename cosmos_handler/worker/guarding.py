"""The guardrails around one run: every check that is on is asked, and whatever it does but pass stops the job."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from cosmos_handler.artifacts.guardrail import CHECKS, Guardrails
from cosmos_handler.errors import Blocked
from cosmos_handler.families.base import Context, Stopped
from cosmos_handler.guardrails.finding import Finding, TextCheck, VideoCheck
from cosmos_handler.guardrails.loading import load_guardrail, text_checks, video_checks
from cosmos_handler.memory.place import Residence
from cosmos_handler.messages.results import Verdict

T = TypeVar("T")

log = logging.getLogger(__name__)

# These are no verdicts: a job that is taken back, and a device without room or broken, which the session answers for.
_NOT_OURS = (Stopped, torch.OutOfMemoryError, torch.AcceleratorError)


class Guards:
    """All checks of this process, loaded and placed. Raises SetupError where they cannot be."""

    def __init__(self, guardrails: Guardrails, residence: Residence) -> None:
        modules = {}
        for part in guardrails.parts:
            module = load_guardrail(guardrails, part)
            if module is not None:  # an adapter is loaded with the model it belongs to
                modules[part.name] = module
        parts = residence.add(guardrails.name, modules)
        self._texts = text_checks(guardrails, parts)
        self._videos = video_checks(guardrails, parts)
        made = (*(check.name for check in self._texts), *(check.name for check in self._videos))
        if sorted(made) != sorted(guardrails.checks):
            raise RuntimeError(f"of the guardrails {guardrails.checks} only {made} were made: this is a bug")

    def begin(self, context: Context) -> "Inspected":
        """A run begins."""
        return Inspected(self._texts, self._videos, context)


@dataclass
class Inspected:
    """What the checks have said in one run so far."""

    texts: tuple[TextCheck, ...]
    videos: tuple[VideoCheck, ...]
    context: Context
    said: list[Verdict] = field(default_factory=list)

    def prompt(self, text: str, what: str) -> None:
        """Ask about words. what: which words, for the answer. Raises Blocked unless every check passes them."""
        if not self.texts:
            return
        with self.context.stage("guard_prompt"):
            for check in self.texts:
                began = time.perf_counter()
                finding = _judgement(check.name, partial(check.check, text))
                self._note(check.name, finding, began, what, may_go_on=("passed",))
                self.context.raise_if_cancelled()

    def frames(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The frames as they may go out. Raises Blocked unless every check lets them."""
        if not self.videos:
            return frames
        with self.context.stage("guard_frames"):
            for check in self.videos:
                began = time.perf_counter()
                judged = _judgement(check.name, partial(check.check, frames, self.context.step))
                if isinstance(judged, Finding):
                    finding = judged
                else:
                    frames, finding = judged
                self._note(check.name, finding, began, "the frames", may_go_on=("passed", "changed"))
                self.context.raise_if_cancelled()
        return frames

    def verdicts(self) -> tuple[Verdict, ...]:
        """What every check of this server has said; one that a refusal left unasked has said nothing."""
        on = {check.name for check in self.texts} | {check.name for check in self.videos}
        return (*self.said, *(Verdict(check=name, state="off") for name in CHECKS if name not in on))

    def _note(self, check: str, finding: Finding, began: float, what: str, *, may_go_on: tuple[str, ...]) -> None:
        seconds = time.perf_counter() - began
        detail = f"{what}: {finding.detail}" if finding.detail else what
        self.said.append(Verdict(check=check, state=finding.state, detail=detail, seconds=seconds))
        if finding.state == "blocked":
            _refuse(check, f"the guardrail {check} does not allow {what}" + _in_brackets(finding.detail))
        if finding.state not in may_go_on:
            _refuse(check, f"the guardrail {check} could not judge {what}, so that it is not allowed")


def _refuse(check: str, problem: str) -> NoReturn:
    log.warning("%s", problem)
    raise Blocked(check, problem)


def _in_brackets(detail: str) -> str:
    return f" ({detail})" if detail else ""


def _judgement(check: str, ask: Callable[[], T]) -> T | Finding:
    """What a check says; an error in its place where it raises anything at all."""
    try:
        return ask()
    except _NOT_OURS:
        raise
    except Exception as error:  # noqa: BLE001 - a check that has not ended has not passed anything, whatever ended it
        return _failure(check, error)


def _failure(check: str, error: Exception) -> Finding:
    # Neither its text nor its traceback goes to the log: both may repeat the prompt.
    trace, places = error.__traceback__, []
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
        trace = trace.tb_next
    log.error("the guardrail %s failed: %s at %s", check, type(error).__name__, " < ".join(reversed(places[-4:])))
    return Finding("error", f"it failed with {type(error).__name__}")
