"""The loaded models, and one run, always in this order: guard prompt → family → guard frames → encode → report.

A prompt that a reasoner writes is guarded as well as the one that it was written from.
"""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

import torch
from pydantic import BaseModel

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.defaults import usual_guidance
from cosmos_handler.errors import Blocked, RequestError
from cosmos_handler.families.base import Context, Family, Frames, Stopped, Words
from cosmos_handler.families.registry import family_class
from cosmos_handler.media.npz import write_npz
from cosmos_handler.media.picture import write_png
from cosmos_handler.media.video import write_mp4
from cosmos_handler.memory.components import load_part
from cosmos_handler.memory.place import PlacedParts
from cosmos_handler.memory.plan import make_plan
from cosmos_handler.memory.probe import Peak, device_budget_bytes
from cosmos_handler.messages.results import ImageOutput, Output, Report, TextOutput, VideoOutput
from cosmos_handler.messages.tasks import Generation
from cosmos_handler.messages.wire import Cancelled, Done, Failed, Loading, Progress, Ready, Run, Setup, Token
from cosmos_handler.redaction import remember
from cosmos_handler.worker.guarding import Guards, Inspected
from cosmos_handler.worker.upsampling import upsampled_prompt

log = logging.getLogger(__name__)

Send = Callable[[BaseModel], None]

# Encoding → the name of the file and its type.
_FILES = {
    "mp4": ("video.mp4", "video/mp4"),
    "png": ("image.png", "image/png"),
    "npz": ("frames.npz", "application/x-npz"),
}


class Session:
    """All models of this process. Raises SetupError where they cannot be loaded."""

    def __init__(self, setup: Setup, *, send: Send) -> None:
        self._send = send
        self._device = setup.device
        if setup.cpu_threads is not None:
            torch.set_num_threads(setup.cpu_threads)
        self._peak = Peak(setup.device)
        self._checkpoints = {checkpoint.name: checkpoint for checkpoint in setup.checkpoints}
        self._plan = make_plan(setup.checkpoints, setup.guardrails, budget_bytes=device_budget_bytes(setup.device))
        self._parts: dict[str, PlacedParts] = {}
        self._families: dict[str, Family] = {}
        for checkpoint in setup.checkpoints:
            self._load(checkpoint)
        self._guards = Guards(
            setup.guardrails, self._plan.of(setup.guardrails.name), device=setup.device, on_loaded=send
        )
        send(Ready(device=self._device_name(), plan=self._plan.table()))

    def run(self, message: Run, *, is_cancelled: Callable[[], bool]) -> None:
        """Do one job and say how it ended. Faults that are nobody's but ours go up to the loop."""
        parts = self._parts[message.model]
        job_id = message.job_id
        context = Context(
            parts=parts,
            is_cancelled=is_cancelled,
            on_progress=lambda stage, step, steps: self._send(
                Progress(job_id=job_id, stage=stage, step=step, num_steps=steps)
            ),
            on_words=lambda text, reasoning: self._send(Token(job_id=job_id, text=text, reasoning=reasoning)),
        )
        self._peak.reset()
        inspected = self._guards.begin(context)
        try:
            message = self._guarded_prompt(message, context, inspected)
            made = self._families[message.model].run(message.task, context)
            context.raise_if_cancelled()
            output = self._words(made) if isinstance(made, Words) else self._file(message, made, context, inspected)
            self._send(Done(job_id=job_id, output=output, report=self._report(message, context, inspected)))
        except Stopped:
            parts.release_cache()
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
        except torch.OutOfMemoryError:
            parts.release_cache()
            log.exception("out of device memory in %s", context.stage_name)
            problem = f"the device ran out of memory in {context.stage_name}; ask for fewer frames or a smaller size"
            self._send(Failed(job_id=job_id, reason="memory", problem=problem))

    def _load(self, checkpoint: Checkpoint) -> None:
        family = family_class(checkpoint.family)
        modules = {}
        for part in checkpoint.parts:
            began = time.perf_counter()
            modules[part.name] = load_part(checkpoint, part, family.PART_CLASSES[part.name])
            seconds = time.perf_counter() - began
            self._send(Loading(model=checkpoint.name, part=part.name, size_bytes=part.size_bytes, seconds=seconds))
        placed = PlacedParts(modules, self._plan.of(checkpoint.name), device=self._device)
        self._parts[checkpoint.name] = placed
        self._families[checkpoint.name] = family(checkpoint, placed)

    def _guarded_prompt(self, message: Run, context: Context, inspected: Inspected) -> Run:
        """With the prompt to generate from, after the guardrails have seen it; an answer in words has none to see."""
        task = message.task
        if not isinstance(task, Generation):
            return message
        inspected.prompt(task.prompt, "the prompt")
        if task.upsampling is None:
            return message
        plan = task.upsampling
        prompt = upsampled_prompt(plan, self._families[plan.model], self._parts[plan.model], context)
        remember([prompt])  # as the request's own words: no library's log repeats it
        inspected.prompt(prompt, "the upsampled prompt")
        return message.model_copy(update={"task": task.model_copy(update={"prompt": prompt})})

    def _device_name(self) -> str:
        return str(torch.cuda.get_device_name()) if self._device == "cuda" else "cpu"

    def _words(self, words: Words) -> Output:
        return TextOutput(
            text=words.text,
            reasoning=words.reasoning,
            finish_reason=words.finish_reason,
            prompt_tokens=words.prompt_tokens,
            completion_tokens=words.completion_tokens,
            found=words.found,
        )

    def _file(self, message: Run, made: Frames, context: Context, inspected: Inspected) -> Output:
        if not isinstance(message.task, Generation):
            raise TypeError("frames came of a task that makes none: this is a bug")
        frames = inspected.frames(made.frames[: made.num_output_frames])
        report = self._report(message, context, inspected)
        comment = json.dumps({"job_id": message.job_id, **report.model_dump(mode="json")})
        name, media_type = _FILES[message.task.encoding]
        path = Path(message.folder) / name
        if message.task.encoding == "npz":
            with context.stage("write_frames"):
                write_npz(path, {"frames": frames})
        elif message.task.encoding == "png":
            with context.stage("encode_image"):
                write_png(path, frames[0], metadata={"comment": comment})
        else:
            with context.stage("encode_video"):
                write_mp4(path, frames, fps=made.fps, metadata={"comment": comment})
        if message.task.makes_picture:
            return ImageOutput(path=str(path), media_type=media_type, height=frames.shape[1], width=frames.shape[2])
        return VideoOutput(
            path=str(path),
            media_type=media_type,
            num_frames=len(frames),
            num_frames_generated=len(made.frames),
            height=frames.shape[1],
            width=frames.shape[2],
            fps=made.fps,
        )

    def _report(self, message: Run, context: Context, inspected: Inspected) -> Report:
        checkpoint, task = self._checkpoints[message.model], message.task
        guarded = isinstance(task, Generation)
        return Report(
            model=checkpoint.name,
            revision=checkpoint.revision,
            seed=message.task.seed,
            device=self._device_name(),
            plan=self._parts[message.model].placements | (self._guards.placements if guarded else {}),
            stage_seconds=dict(context.stage_seconds),
            peak_device_bytes=self._peak.read_bytes(),
            guardrails=inspected.verdicts() if guarded else (),
            guidance_usual=_usual_guidance(checkpoint, message),
            upsampled_prompt=task.prompt if isinstance(task, Generation) and task.upsampling else None,
        )


def _usual_guidance(checkpoint: Checkpoint, message: Run) -> float | None:
    return usual_guidance(checkpoint.family, message.task.guidance) if isinstance(message.task, Generation) else None


def _refusal(job_id: str, error: RequestError) -> Failed:
    return Failed(
        job_id=job_id,
        reason="request",
        problem=getattr(error, "problem", None) or str(error),
        field=getattr(error, "field", None),
        allowed=getattr(error, "allowed", None),
    )
