"""A short prompt made long by a loaded reasoner: which one, and what it is asked."""

from collections.abc import Sequence
from typing import Any

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.engine.inbox import Inbox
from cosmos_handler.engine.reasoning import reasoning_task
from cosmos_handler.errors import InvalidField
from cosmos_handler.messages.tasks import Answer, Generate, Omni, Upsampling
from cosmos_handler.schemas.generation import GenerationRequest
from cosmos_handler.schemas.invocation import Invocation
from cosmos_handler.schemas.omni import OmniRequest
from cosmos_handler.schemas.reasoning import ReasoningRequest

# What NVIDIA's template for Reason 1 asks for (prompts/prompt_upsampler.yaml), in words of our own.
_WISH = """\
You turn short descriptions of a video into long ones for a model that makes videos from text.
- Keep what is asked for: its meaning, and every word that stands in quotes. Add only what follows from it.
- Describe how the main subjects look, how many there are, what they do and where they stand to each other.
- Say how everything moves, in plain verbs, and how the camera moves: its angle, its distance, its path.
- Name the style, the light and the surroundings. Where an image or a video is shown, take all of them from it,
  and let the description begin with what it shows.
- Write 80 to 100 words of English in one paragraph, whatever the language of the description.
Answer with the new description and nothing else."""
# Reason 1 is trained with the task in the system's turn, its successors with it in the user's.
_TASK_IN_SYSTEM = ("reason1",)
# The new prompt ends in a text encoder that reads 512 tokens; NVIDIA's refiner of Predict 2 has the same limit.
_MAX_TOKENS = 512
# Eight seconds at the rate that reasoners are trained at: enough to say what goes on.
_MAX_FRAMES = 32
# Where a generation may have its medium → where a question has it.
_MEDIA = {"image": "image", "video": "video", "input_path": "input_path", "vision_path": "input_path"}


def reasoner_for(invocation: Invocation, checkpoint: Checkpoint, models: Sequence[Checkpoint]) -> Checkpoint:
    """The loaded reasoner for a generator's prompts. Raises InvalidField."""
    field = invocation.written("prompt_upsampling")
    reasoners = {model.name: model for model in models if "reasoner" in model.tasks}
    if checkpoint.prompt_upsampler is not None:
        return reasoners[checkpoint.prompt_upsampler]
    if checkpoint.name in reasoners:  # a Cosmos 3 asks itself
        return checkpoint
    if not reasoners:
        problem = "needs a reasoner to write the prompt, and none is loaded here"
        raise InvalidField(field, problem, allowed="false, or a server with a Cosmos reasoner beside this model")
    if len(reasoners) > 1:
        problem = f"could go to {', '.join(reasoners)}, and prompt_upsampler in cosmos.json does not say which"
        raise InvalidField(field, problem, allowed="false, until one of them is named there")
    return next(iter(reasoners.values()))


async def with_upsampling(
    task: Generate, reasoner: Checkpoint, invocation: Invocation, request: GenerationRequest, inbox: Inbox
) -> Generate:
    """The task, with its prompt to be made longer first. Raises RequestError."""
    question = await reasoning_task(invocation, _asked(task, reasoner, request), reasoner, inbox)
    return task.model_copy(update={"upsampling": upsampling(reasoner, invocation, question)})


def upsampling(reasoner: Checkpoint, invocation: Invocation, question: Answer) -> Upsampling:
    """What the task is told about its prompt."""
    return Upsampling(model=reasoner.name, field=invocation.written("prompt_upsampling"), question=question)


def shown(task: Generate | Omni, request: GenerationRequest | OmniRequest) -> dict[str, Any]:
    """What the reasoner sees, as its fields: what the video goes on from, the whole clip and not its end alone."""
    if task.media is None:
        return {}
    found = ((ours, getattr(request, name, None)) for name, ours in _MEDIA.items())
    fields = {ours: reference for ours, reference in found if reference is not None}
    return fields | ({"max_frames": _MAX_FRAMES} if task.media.kind == "video" else {})


def _asked(task: Generate, reasoner: Checkpoint, request: GenerationRequest) -> ReasoningRequest:
    """The question to the reasoner."""
    if reasoner.family in _TASK_IN_SYSTEM:
        words = {"system_prompt": _WISH, "prompt": request.prompt}
    else:
        words = {"prompt": f"{_WISH}\n\nThe short description:\n{request.prompt}"}
    return ReasoningRequest(**words, **shown(task, request), seed=task.seed, max_tokens=_MAX_TOKENS)
