"""What Cosmos 3 reads: the client's prompts and NVIDIA's sentences about size and length, as its framework joins them.

diffusers joins them in another way: it writes the inverse sentences after every negative prompt and its sentences after
captions in JSON, which the model knows with those numbers inside.
"""

import json
import re
from typing import Any

from cosmos_handler.messages.tasks import Omni

_FENCE = re.compile(r"\A```\w*\n(.*)\n```\Z", re.DOTALL)


def read_prompt(task: Omni) -> str:
    """The prompt as the model is to read it."""
    caption = _caption(task.prompt)
    if caption is not None:
        return _filled(caption, task)
    return _joined(task.prompt, _duration(task.metadata.duration, task), _size(task.metadata.resolution, task))


def read_negative_prompt(task: Omni) -> str:
    """The negative prompt as the model is to read it."""
    text, metadata = task.negative_prompt or "", task.metadata
    if metadata.negative == "none":
        return text
    if metadata.negative == "same":
        sentences = (_duration(metadata.duration, task), _size(metadata.resolution, task))
    else:  # the framework says the inverse of the length of a picture, too
        seconds = task.num_frames / task.fps
        duration = metadata.inverse_duration.format(duration=seconds, fps=task.fps)
        sentences = (duration, _size(metadata.inverse_resolution, task))
    return _joined(text, *sentences).lstrip(".").strip()


def _caption(prompt: str) -> dict[str, Any] | None:
    """The object of a prompt that is one in JSON, fenced as reasoners like to write it or not."""
    try:
        value = json.loads(_FENCE.sub(r"\1", prompt.strip()))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _filled(caption: dict[str, Any], task: Omni) -> str:
    """A caption with what is made, whatever it said itself."""
    facts: dict[str, Any] = {}
    if task.num_frames > 1:
        facts |= {"duration": f"{int(task.num_frames / task.fps)}s", "fps": float(task.fps)}
    else:
        caption = {key: value for key, value in caption.items() if key not in ("duration", "fps")}
    facts["resolution"] = {"H": task.height, "W": task.width}
    if task.metadata.aspect_ratio is not None:
        facts["aspect_ratio"] = task.metadata.aspect_ratio
    return json.dumps(caption | facts)


def _duration(template: str | None, task: Omni) -> str | None:
    if template is None or task.num_frames == 1:
        return None
    return template.format(duration=task.num_frames / task.fps, fps=task.fps)


def _size(template: str | None, task: Omni) -> str | None:
    return None if template is None else template.format(height=task.height, width=task.width)


def _joined(text: str, *sentences: str | None) -> str:
    text = text.strip()
    for sentence in sentences:
        if sentence is not None:
            text = f"{text.rstrip('.')}. {sentence}"
    return text
