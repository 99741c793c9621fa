"""One run, always in this order: plan → guard prompt → family → guard frames → encode → report.

A prompt that a reasoner writes is guarded as well as the one that it was written from. A run for which the device has
too little memory after all is done once more, by a plan that takes less.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from pydantic import BaseModel

from cosmos_handler.artifacts.defaults import usual_guidance
from cosmos_handler.errors import Blocked, RequestError
from cosmos_handler.families.base import Context, Frames, Stopped, Words
from cosmos_handler.families.embeddings import TextCache
from cosmos_handler.families.together import SharingFamily
from cosmos_handler.memory.plan import NothingFits, Plan
from cosmos_handler.memory.planning import plan_below, plan_for, plan_together
from cosmos_handler.memory.probe import Peak
from cosmos_handler.messages.results import Output, Report
from cosmos_handler.messages.tasks import Generation
from cosmos_handler.messages.wire import Cancelled, Done, Failed, Progress, Ready, Run, Setup, Token
from cosmos_handler.redaction import remember
from cosmos_handler.worker.attempt import Attempt
from cosmos_handler.worker.company import Company
from cosmos_handler.worker.delivery import file_output, words_output
from cosmos_handler.worker.guarding import Inspected
from cosmos_handler.worker.loaded import Loaded
from cosmos_handler.worker.upsampling import upsampled_prompt
from cosmos_handler.worker.warming import warm_up

log = logging.getLogger(__name__)

Send = Callable[[BaseModel], None]

# What a stage that ran out of memory is reckoned to take from then on, times what was reckoned before.
_MARGIN_AFTER_FAILURE = 1.2


class Session:
    """All models of this process. Raises SetupError where they cannot be loaded.

    present: the job that alone is worked on, or was when a fault of ours came up; None while several share a stage.
    """

    def __init__(self, setup: Setup, *, send: Send) -> None:
        self._send = send
        self._device = setup.device
        self._is_warming = False
        self.present: str | None = None
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

    def run_together(self, messages: Sequence[Run], *, is_cancelled: Callable[[str], bool]) -> None:
        """Do several jobs, alike and of one model, and say how each ended. is_cancelled: by the job's id.

        Those that have not ended when it shows that they cannot be made in one batch are made one by one.
        """
        self.present = None
        attempts = self._in_batch(messages, is_cancelled) if len(messages) > 1 else ()
        ended = {attempt.run.job_id for attempt in attempts if attempt.has_ended}
        for message in messages:
            if message.job_id not in ended:
                self.run(message, is_cancelled=partial(is_cancelled, message.job_id), retried=bool(attempts))

    def run(self, message: Run, *, is_cancelled: Callable[[], bool], retried: bool = False) -> None:
        """Do one job and say how it ended. Faults that are nobody's but ours go up to the loop.

        retried: whether this is after the device had too little memory for it and others together.
        """
        try:
            plan = plan_for(message.task, message.model, self._loaded.house)
        except NothingFits as error:
            self._send(Failed(job_id=message.job_id, reason="memory", problem=f"it does not fit: {error.problem}"))
            return
        attempt: Attempt | None = self._attempt(message, plan, is_cancelled, retried=retried)
        while attempt is not None:
            try:
                self._run(attempt)
            except torch.OutOfMemoryError:
                stage, summary = attempt.context.stage_name, attempt.plan.summary()
                log.exception("out of device memory in %s, with the plan: %s", stage, summary)
            else:
                return
            # Not in the handler: the error's traceback holds on to all that the failed run has on the device.
            attempt = self._after_failure(message, attempt, is_cancelled)

    def _in_batch(self, messages: Sequence[Run], is_cancelled: Callable[[str], bool]) -> Sequence[Attempt]:
        """Try to make all in one batch; none of the tries that it gives back was made where there is no plan for it."""
        model = messages[0].model
        try:
            plan = plan_together([message.task for message in messages], model, self._loaded.house)
        except NothingFits as error:
            log.warning("%d jobs are made one by one: together, %s", len(messages), error.problem)
            return ()
        attempts = [
            self._attempt(message, plan, partial(is_cancelled, message.job_id), batch_size=len(messages))
            for message in messages
        ]
        failed_stage = self._try_batch(model, attempts)
        if failed_stage is not None:
            self._clear_after(failed_stage, batch_size=len(messages))
            log.warning("those of the %d jobs that have not ended are made one by one", len(messages))
        return attempts

    def _try_batch(self, model: str, attempts: Sequence[Attempt]) -> str | None:
        """The stage in which the device had too little memory, if it had."""
        family = self._loaded.families[model]
        if not isinstance(family, SharingFamily):
            raise TypeError(f"{model} cannot make several together: this is a bug")
        company = Company(family, attempts, begin=self._begin, finish=self._finish, ending=self._ending)
        try:
            company.run()
        except torch.OutOfMemoryError:
            stage, summary = company.stage_name, attempts[0].plan.summary()
            log.exception("out of device memory in %s for %d jobs, with the plan: %s", stage, len(attempts), summary)
            return stage
        return None

    def _attempt(
        self, message: Run, plan: Plan, is_cancelled: Callable[[], bool], *, batch_size: int = 1, retried: bool = False
    ) -> Attempt:
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
        attempt = Attempt(message, plan, context, self._loaded.guards.begin(context), batch_size, retried)
        return attempt

    def _run(self, attempt: Attempt) -> None:
        with self._ending(attempt):
            self._begin(attempt)
            self._finish(attempt, self._loaded.families[attempt.run.model].run(attempt.run.task, attempt.context))

    def _begin(self, attempt: Attempt) -> None:
        """What comes before the run."""
        attempt.context.raise_if_cancelled()
        self._loaded.residence.apply(attempt.plan)
        attempt.run = self._guarded_prompt(attempt.run, attempt.context, attempt.inspected)

    def _finish(self, attempt: Attempt, made: Frames | Words) -> None:
        """What comes after it."""
        message, context = attempt.run, attempt.context
        context.raise_if_cancelled()
        if isinstance(made, Words):
            output = words_output(made)
        elif isinstance(message.task, Generation):
            frames = attempt.inspected.frames(made.frames[: made.num_output_frames])
            output = file_output(message, message.task, made, frames, context, self._report(attempt))
        else:
            raise TypeError("frames came of a task that makes none: this is a bug")
        self._done(attempt, output)

    @contextmanager
    def _ending(self, attempt: Attempt) -> Iterator[None]:
        """Around what is done for one job: says how it ended where that goes no further."""
        job_id, context = attempt.run.job_id, attempt.context
        before, self.present = self.present, job_id
        try:
            yield
        except Stopped:
            self._loaded.residence.release_cache()
            self._end(attempt, Cancelled(job_id=job_id, stage=context.stage_name, step=context.step_number))
        except Blocked as error:
            self._end(attempt, attempt.blocked(error))
        except RequestError as error:
            self._end(attempt, attempt.refused(error))
        self.present = before

    def _end(self, attempt: Attempt, message: Done | Failed | Cancelled) -> None:
        attempt.has_ended = True
        self._send(message)

    def _done(self, attempt: Attempt, output: Output) -> None:
        self._end(attempt, Done(job_id=attempt.run.job_id, output=output, report=self._report(attempt)))
        if self._device != "cuda" or self._is_warming:
            return  # what the process holds is no measure of what plans reckon with
        for stage in attempt.plan.stages:
            measured = attempt.context.stage_peak_bytes.get(stage.name)
            if measured is not None and measured > stage.peak_bytes and stage.working_bytes:
                times = (measured - stage.weights_bytes) / stage.working_bytes
                self._loaded.learn(stage.name, times, batch_size=attempt.batch_size)

    def _clear_after(self, stage: str, *, batch_size: int = 1) -> None:
        """The device had too little memory in a stage: it is empty then, and the stage reckoned to take more."""
        self._loaded.residence.clear()
        self._loaded.learn(stage, _MARGIN_AFTER_FAILURE, batch_size=batch_size)

    def _after_failure(self, message: Run, attempt: Attempt, is_cancelled: Callable[[], bool]) -> Attempt | None:
        """What to try after the device had too little memory; None where the job has ended with that."""
        stage = attempt.context.stage_name
        self._clear_after(stage)
        problem = f"the device ran out of memory in {stage}; ask for fewer frames or a smaller size"
        if not attempt.is_last and not attempt.has_spoken:
            try:
                lower = plan_below(attempt.plan, message.task, message.model, self._loaded.house)
            except NothingFits as error:
                problem = f"{problem} ({error.problem})"
            else:
                log.warning("job %s is run again, with less on the device: %s", message.job_id, lower.summary())
                again = self._attempt(message, lower, is_cancelled, retried=True)
                again.is_last = True
                return again
        self._end(attempt, Failed(job_id=message.job_id, reason="memory", problem=problem))
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

    def _report(self, attempt: Attempt) -> Report:
        checkpoint, task, context = self._loaded.checkpoints[attempt.run.model], attempt.run.task, attempt.context
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
            stages=attempt.stages(),
            retried=attempt.retried,
            predicted_peak_bytes=plan.peak_bytes,
            predicted_seconds=plan.seconds,
            batch_size=attempt.batch_size,
        )
