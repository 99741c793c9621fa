"""The first step of a job that asks for it: a reasoner in the same process writes the prompt."""

from cosmos_handler.errors import InvalidField
from cosmos_handler.families.base import Context, Family, Words
from cosmos_handler.memory.place import PlacedParts
from cosmos_handler.messages.tasks import Upsampling


def upsampled_prompt(plan: Upsampling, reasoner: Family, parts: PlacedParts, context: Context) -> str:
    """The longer prompt, made in one stage of the job's own.

    parts: the reasoner's. context: the job's.
    Raises RequestError where the reasoner cannot take the question, Stopped when cancelled.
    """

    def on_progress(stage: str, step: int, num_steps: int) -> None:
        if num_steps and step:
            context.step(step, num_steps)

    inner = Context(
        parts=parts,
        is_cancelled=context.is_cancelled,
        on_progress=on_progress,
        on_words=lambda text, reasoning: None,
        spare_bytes=context.spare_bytes,
    )
    with context.stage("upsample_prompt"):
        words = reasoner.run(plan.question, inner)
    if not isinstance(words, Words):
        raise TypeError(f"{plan.model} answered a question with frames: this is a bug")
    prompt = words.text.strip()
    if not prompt:
        raise InvalidField(plan.field, "brought no words with this seed", allowed="another seed, or false")
    return prompt
