"""One run, always in this order: plan → guard prompt → family → guard frames → encode → report.

A prompt that a reasoner writes is guarded as well as the one that it was written from. A run for which the device has
too little memory after all is done once more, by a plan that takes less.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from pydantic import BaseModel

from cosmos_handler.artifacts.defaults import usual_guidance
from cosmos_handler.errors import Blocked, RequestError
from cosmos_handler.families.base import Context, Stopped, Words
from cosmos_handler.families.embeddings import TextCache
from cosmos_handler.memory.plan import NothingFits, Plan
from cosmos_handler.memory.planning import plan_below, plan_for
from cosmos_handler.memory.probe import Peak
from cosmos_handler.messages.machine import StageReport
from cosmos_handler.messages.results import Output, Report
from cosmos_handler.messages.tasks import Generation
from cosmos_handler.messages.wire import Cancelled, Done, Failed, Progress, Ready, Run, Setup, Token
from cosmos_handler.redaction import remember
from cosmos_handler.worker.delivery import file_output, words_output
from cosmos_handler.worker.guarding import Inspected
from cosmos_handler.worker.loaded import Loaded
from cosmos_handler.worker.upsampling import upsampled_prompt
from cosmos_handler.worker.warming import warm_up

log = logging.getLogger(__name__)

Send = Callable[[BaseModel], None]

# What a stage that ran out of memory is reckoned to take from then on, times what was reckoned before.
_MARGIN_AFTER_FAILURE = 1.2


@dataclass
class _Attempt:
    """One try at a run. has_spoken: words have gone out, which cannot be taken back."""

    plan: Plan
    context: Context
    inspected: Inspected
    is_second: bool
    has_spoken: bool = False


class Session:
    """All models of this process. Raises SetupError where they cannot be loaded."""

    def __init__(self, setup: Setup, *, send: Send) -> None:
        self._send = send
        self._device = setup.device
        self._is_warming = False
        self._peak = Peak(setup.device)
        self._loaded = Loaded(setup, send=send)
        if setup.warm_up_dir is not None:
            for checkpoint in setup.checkpoints:
                warm_up(checkpoint, self._run_apart, setup.warm_up_dir)
        log.info("the plan while nothing runs, for the usual request: %s", self._loaded.plan_at_rest.summary())
        send(
            Ready(
                device=self._device_name(),
                plan=self._loaded.plan_at_rest.table(),
                machine=self._loaded.machine,
            )
        )

    def _run_apart(self, message: Run, hear: Send) -> None:
        """Of which the serving process hears nothing, and nothing is learned or kept: no request is so small."""
        told, self._send, self._is_warming = self._send, hear, True
        try:
            self.run(message, is_cancelled=lambda: False)
        finally:
            self._send, self._is_warming = told, False

    def run(self, message: Run, *, is_cancelled: Callable[[], bool]) -> None:
        """Do one job and say how it ended. Faults that are nobody's but ours go up to the loop."""
        try:
            plan = plan_for(message.task, message.model, self._loaded.house)
        except NothingFits as error:
            self._send(Failed(job_id=message.job_id, reason="memory", problem=f"it does not fit: {error.problem}"))
            return
        attempt: _Attempt | None = self._attempt(message, plan, is_cancelled, is_second=False)
        while attempt is not None:
            try:
                self._run(message, attempt)
            except torch.OutOfMemoryError:
                stage, summary = attempt.context.stage_name, attempt.plan.summary()
                log.exception("out of device memory in %s, with the plan: %s", stage, summary)
            else:
                return
            # Not in the handler: the error's traceback holds on to all that the failed run has on the device.
            attempt = self._after_failure(message, attempt, is_cancelled)

    def _attempt(self, message: Run, plan: Plan, is_cancelled: Callable[[], bool], *, is_second: bool) -> _Attempt:
        job_id = message.job_id

        def on_words(text: str, reasoning: bool) -> None:
            attempt.has_spoken = True
            self._send(Token(job_id=job_id, text=text, reasoning=reasoning))

        context = Context(
            parts=self._loaded.parts[message.model],
            is_cancelled=is_cancelled,
            on_progress=lambda stage, step, steps: self._send(
                Progress(job_id=job_id, stage=stage, step=step, num_steps=steps)
            ),
            on_words=on_words,
            decode_mode=plan.decode,
            peak=self._peak,
            text_cache=TextCache(0) if self._is_warming else self._loaded.text_cache,
            spare_bytes=plan.spare_bytes,
        )
        attempt = _Attempt(plan, context, self._loaded.guards.begin(context), is_second)
        return attempt

    def _run(self, message: Run, attempt: _Attempt) -> None:
        context, inspected, job_id = attempt.context, attempt.inspected, message.job_id
        try:
            context.raise_if_cancelled()
            self._loaded.residence.apply(attempt.plan)
            message = self._guarded_prompt(message, context, inspected)
            made = self._loaded.families[message.model].run(message.task, context)
            context.raise_if_cancelled()
            if isinstance(made, Words):
                output = words_output(made)
            elif isinstance(message.task, Generation):
                frames = inspected.frames(made.frames[: made.num_output_frames])
                report = self._report(message, attempt)
                output = file_output(message, message.task, made, frames, context, report)
            else:
                raise TypeError("frames came of a task that makes none: this is a bug")
            self._done(message, attempt, output)
        except Stopped:
            self._loaded.residence.release_cache()
            self._send(Cancelled(job_id=job_id, stage=context.stage_name, step=context.step_number))
        except Blocked as error:
            self._send(
                Failed(
                    job_id=job_id,
                    reason="guardrail",
                    problem=error.problem,
                    check=error.check,
                    findings=inspected.verdicts(),
                )
            )
        except RequestError as error:
            self._send(_refusal(job_id, error))

    def _done(self, message: Run, attempt: _Attempt, output: Output) -> None:
        self._send(Done(job_id=message.job_id, output=output, report=self._report(message, attempt)))
        if self._device != "cuda" or self._is_warming:
            return  # what the process holds is no measure of what plans reckon with
        for stage in attempt.plan.stages:
            measured = attempt.context.stage_peak_bytes.get(stage.name)
            if measured is not None and measured > stage.peak_bytes and stage.working_bytes:
                self._loaded.learn(stage.name, (measured - stage.weights_bytes) / stage.working_bytes)

    def _after_failure(self, message: Run, attempt: _Attempt, is_cancelled: Callable[[], bool]) -> _Attempt | None:
        """What to try after the device had too little memory; None where the job has ended with that."""
        stage = attempt.context.stage_name
        self._loaded.residence.clear()
        self._loaded.learn(stage, _MARGIN_AFTER_FAILURE)
        problem = f"the device ran out of memory in {stage}; ask for fewer frames or a smaller size"
        if not attempt.is_second and not attempt.has_spoken:
            try:
                lower = plan_below(attempt.plan, message.task, message.model, self._loaded.house)
            except NothingFits as error:
                problem = f"{problem} ({error.problem})"
            else:
                log.warning("job %s is run again, with less on the device: %s", message.job_id, lower.summary())
                return self._attempt(message, lower, is_cancelled, is_second=True)
        self._send(Failed(job_id=message.job_id, reason="memory", problem=problem))
        return None

    def _guarded_prompt(self, message: Run, context: Context, inspected: Inspected) -> Run:
        """With the prompt to generate from, after the guardrails have seen it; an answer in words has none to see."""
        task = message.task
        if not isinstance(task, Generation):
            return message
        if task.prompt:  # an autoregressive model needs none
            inspected.prompt(task.prompt, "the prompt")
        if task.upsampling is None:
            return message
        plan = task.upsampling
        prompt = upsampled_prompt(plan, self._loaded.families[plan.model], self._loaded.parts[plan.model], context)
        remember([prompt])  # as the request's own words: no library's log repeats it
        inspected.prompt(prompt, "the upsampled prompt")
        return message.model_copy(update={"task": task.model_copy(update={"prompt": prompt})})

    def _device_name(self) -> str:
        return str(torch.cuda.get_device_name()) if self._device == "cuda" else "cpu"

    def _report(self, message: Run, attempt: _Attempt) -> Report:
        checkpoint, task, context = self._loaded.checkpoints[message.model], message.task, attempt.context
        guarded = isinstance(task, Generation)
        plan = attempt.plan
        placements = plan.of(checkpoint.name)
        if isinstance(task, Generation):
            placements |= plan.of(self._loaded.house.guardrails.name)
        peaks = context.stage_peak_bytes.values()
        return Report(
            model=checkpoint.name,
            revision=checkpoint.revision,
            seed=task.seed,
            device=self._device_name(),
            plan=dict(placements),
            stage_seconds=dict(context.stage_seconds),
            peak_device_bytes=max(peaks, default=None),
            guardrails=attempt.inspected.verdicts() if guarded else (),
            guidance_usual=usual_guidance(checkpoint.family, task.guidance) if isinstance(task, Generation) else None,
            upsampled_prompt=task.prompt if isinstance(task, Generation) and task.upsampling else None,
            decode=plan.decode,
            offload=plan.offload,
            stages=_stages(plan, context),
            retried=attempt.is_second,
            predicted_peak_bytes=plan.peak_bytes,
            predicted_seconds=plan.seconds,
        )


def _stages(plan: Plan, context: Context) -> tuple[StageReport, ...]:
    """Every stage that was gone through, beside what was planned for it."""
    reports = []
    for name, seconds in context.stage_seconds.items():
        planned = plan.stage(name)
        reports.append(
            StageReport(
                stage=name,
                predicted_peak_bytes=planned.peak_bytes if planned else None,
                measured_peak_bytes=context.stage_peak_bytes.get(name),
                predicted_seconds=planned.seconds if planned else None,
                copy_seconds=planned.copy_seconds if planned else None,
                seconds=seconds,
            )
        )
    return tuple(reports)


def _refusal(job_id: str, error: RequestError) -> Failed:
    return Failed(
        job_id=job_id,
        reason="request",
        problem=getattr(error, "problem", None) or str(error),
        field=getattr(error, "field", None),
        allowed=getattr(error, "allowed", None),
    )
