"""A short prompt made a caption in JSON by a loaded reasoner, which is what Cosmos 3 was trained to read."""

from collections.abc import Mapping

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.defaults import given
from cosmos_handler.engine.inbox import Inbox
from cosmos_handler.engine.reasoning import reasoning_task
from cosmos_handler.engine.upsampling import shown, upsampling
from cosmos_handler.errors import InvalidField
from cosmos_handler.messages.tasks import Omni
from cosmos_handler.schemas.invocation import Invocation
from cosmos_handler.schemas.omni import OmniRequest
from cosmos_handler.schemas.reasoning import ReasoningRequest

# NVIDIA's way to draw for this (Cosmos 3's README, and the framework's defaults).
_MAX_TOKENS = 20_000
_TEMPERATURE, _TOP_P, _TOP_K = 0.7, 0.8, 20
_REPETITION_PENALTY, _PRESENCE_PENALTY = 1.0, 1.5
_SEED = 3407

# The keys are those of NVIDIA's captions; the words about them are our own.
_WISH = """\
You turn a short description of {thing} into a dense caption, as one JSON object with these keys:
- "subjects": a list of objects with "description", "appearance_details", "relationship", "location", "relative_size",
  "orientation", "pose", "action", "state_changes", "clothing", "expression", "gender", "age",
  "skin_tone_and_texture", "facial_features", "number_of_subjects", "number_of_arms", "number_of_legs"
- "background_setting": a text
- "lighting": "conditions", "direction", "shadows", "illumination_effect"
- "aesthetics": "composition", "color_scheme", "mood_atmosphere", "patterns"
- "cinematography": "camera_motion", "framing", "camera_angle", "depth_of_field", "focus", "lens_focal_length"
- "style_medium", "artistic_style", "context": texts
{time}- "text_and_signage_elements": a list
Keep what is asked for and every word that stands in quotes; add only what follows from it, and leave what does not
apply an empty text. Where an image or a video is shown, take how everything looks from it.
Answer with the JSON object and nothing else."""
_TIME = """\
- "actions": a list of objects with "time", such as "0:00-0:02", and "description"; they end by {end}
- "segments": a list of objects with "segment_index", "time_range", "description", "key_changes", "camera"
- "transitions": a list
- "temporal_caption": all that happens, from the first second to the last
"""


_UNUSED: Mapping[str, float] = {
    "prompt_upsampler_max_tokens": _MAX_TOKENS,
    "prompt_upsampler_temperature": _TEMPERATURE,
    "prompt_upsampler_top_p": _TOP_P,
    "prompt_upsampler_top_k": _TOP_K,
    "prompt_upsampler_repetition_penalty": _REPETITION_PENALTY,
    "prompt_upsampler_presence_penalty": _PRESENCE_PENALTY,
    "prompt_upsampler_seed": _SEED,
}


def refuse_unused(invocation: Invocation, request: OmniRequest) -> None:
    """Raise InvalidField for a wish about a caption that nobody is asked to write, unless it is NVIDIA's default."""
    for name, default in _UNUSED.items():
        value = getattr(request, name)
        if value is not None and value != default:
            problem = f"is {value}, but no prompt is made longer without prompt_upsampling"
            raise InvalidField(invocation.written(name), problem, allowed=f"leave it out, or say {default}")


async def with_caption(
    task: Omni, reasoner: Checkpoint, invocation: Invocation, request: OmniRequest, inbox: Inbox
) -> Omni:
    """The task, with its prompt to be made a caption first. Raises RequestError."""
    question = await reasoning_task(invocation, _asked(task, request), reasoner, inbox)
    question = question.model_copy(update={"default_max_tokens": _MAX_TOKENS})
    return task.model_copy(update={"upsampling": upsampling(reasoner, invocation, question)})


def _asked(task: Omni, request: OmniRequest) -> ReasoningRequest:
    """The question to the reasoner."""
    return ReasoningRequest(
        prompt=f"{_wish(task)}\n\nThe short description:\n{request.prompt}",
        **shown(task, request),
        seed=given(request.prompt_upsampler_seed, _SEED),
        max_tokens=request.prompt_upsampler_max_tokens,
        temperature=given(request.prompt_upsampler_temperature, _TEMPERATURE),
        top_p=given(request.prompt_upsampler_top_p, _TOP_P),
        top_k=given(request.prompt_upsampler_top_k, _TOP_K),
        repetition_penalty=given(request.prompt_upsampler_repetition_penalty, _REPETITION_PENALTY),
        presence_penalty=given(request.prompt_upsampler_presence_penalty, _PRESENCE_PENALTY),
    )


def _wish(task: Omni) -> str:
    if task.makes_picture:
        return _WISH.format(thing="a picture", time="")
    minutes, seconds = divmod(round(task.num_frames / task.fps), 60)
    return _WISH.format(thing="a video", time=_TIME.format(end=f"{minutes}:{seconds:02d}"))
