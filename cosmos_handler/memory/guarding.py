"""The stages of the guardrails."""

import math
from collections.abc import Sequence

from cosmos_handler.artifacts.checkpoint import Part
from cosmos_handler.artifacts.guardrail import Guardrails
from cosmos_handler.artifacts.guardrail_text import TEXT_CLASSIFIER_PART
from cosmos_handler.artifacts.guardrail_video import CLASSIFIER_PART, CONTENT_FILTER_PART, FACE_BLUR_PART
from cosmos_handler.memory.shapes.guard import RetinaFace, Siglip
from cosmos_handler.memory.shapes.language import Language
from cosmos_handler.memory.sheet import StageSheet, Work

# What a classifier of words is asked about at once, and how much of it the next window repeats, so that no sentence is
# cut in two unseen. The smallest of them holds 4,096 tokens, of which the longest policy takes a thousand and a half.
WINDOW_TOKENS, OVERLAP_TOKENS = 1024, 128
_POLICY_TOKENS, _ANSWER_TOKENS = 1536, 32


def guard_prompt_stage(guardrails: Guardrails, prompts: Sequence[int]) -> tuple[StageSheet, ...]:
    """The check of words by a model, if there are both. prompts: tokens of each text that it is asked about."""
    part = _part(guardrails, TEXT_CLASSIFIER_PART)
    if part is None or not prompts:
        return ()
    reader = Language.from_config(part.config, part.dtype)
    windows = [_windows(tokens) for tokens in prompts]
    longest = min(max(prompts), WINDOW_TOKENS) + _POLICY_TOKENS
    one = reader.read_work(longest) + reader.speak_work(longest, _ANSWER_TOKENS)
    return (
        StageSheet(
            "guard_prompt",
            (f"{guardrails.name}/{part.name}",),
            max(reader.read_bytes(longest), reader.speak_bytes(longest + _ANSWER_TOKENS)),
            one.times(sum(windows)),
            num_entries=len(prompts),
            num_forwards=sum(windows) * (1 + _ANSWER_TOKENS),
        ),
    )


def guard_frames_stages(guardrails: Guardrails, frames: int, height: int, width: int) -> tuple[StageSheet, ...]:
    """The checks of frames, one after the other under one name."""
    stages = []
    encoder, classifier = _part(guardrails, CONTENT_FILTER_PART), _part(guardrails, CLASSIFIER_PART)
    if encoder is not None and classifier is not None:
        eyes = Siglip.from_config(encoder.config, encoder.dtype)
        keys = tuple(f"{guardrails.name}/{part.name}" for part in (encoder, classifier))
        stages.append(_looking(keys, eyes.look_bytes(frames, height, width), eyes.look_work(frames)))
    detector = _part(guardrails, FACE_BLUR_PART)
    if detector is not None:
        faces = RetinaFace.from_config(detector.config, detector.dtype)
        work = faces.look_work(frames, height, width)
        stages.append(_looking((f"{guardrails.name}/{detector.name}",), faces.look_bytes(frames, height, width), work))
    return tuple(stages)


def _looking(keys: tuple[str, ...], working_bytes: int, work: Work) -> StageSheet:
    return StageSheet("guard_frames", keys, working_bytes, work)


def _windows(tokens: int) -> int:
    return 1 + max(0, math.ceil((tokens - WINDOW_TOKENS) / (WINDOW_TOKENS - OVERLAP_TOKENS)))


def _part(guardrails: Guardrails, name: str) -> Part | None:
    return next((part for part in guardrails.parts if part.name == name), None)
