"""From a task to its stages: which parts lie on the device together in each, and what it takes beside them."""

from collections.abc import Sequence

from cosmos_handler.artifacts.checkpoint import CONTROL_PART, Checkpoint, Part
from cosmos_handler.artifacts.guardrail import Guardrails
from cosmos_handler.memory.answering import answering_stage, text_tokens
from cosmos_handler.memory.autoregressive import continuing_stages, in_batch
from cosmos_handler.memory.chunks import count_chunks, overlap_frames
from cosmos_handler.memory.guarding import guard_frames_stages, guard_prompt_stage
from cosmos_handler.memory.making import Networks, Wanted, making_stages
from cosmos_handler.memory.shapes.omni import Omni
from cosmos_handler.memory.sheet import ALIGNMENT_BYTES, PartSheet, StageSheet
from cosmos_handler.messages.tasks import Answer, Continue, Generate, Generation, Task, Transfer
from cosmos_handler.messages.tasks import Omni as OmniTask

# Cosmos 3 puts its prompts into a chat, with a system prompt before them.
_TOKENS_AROUND_PROMPT = 128
_USUAL_VOCABULARY = 150_000
_GROUPS = {
    "text_encoder": "text_encoder",
    "transformer": "transformer",
    "vision_encoder": "transformer",
    "tokenizer": "tokenizer",
    "decoder_tokenizer": "tokenizer",
    "diffusion_decoder": "diffusion_decoder",
    "model": "transformer",
    "ar_model": "transformer",
}


def stages_of(
    task: Task,
    checkpoint: Checkpoint,
    guardrails: Guardrails,
    reasoner: Checkpoint | None = None,
    *,
    prompt_tokens: int | None = None,
    batch_size: int = 1,
) -> tuple[StageSheet, ...]:
    """The stages of a task in order; those that need the host alone are none.

    reasoner: the checkpoint of the task's upsampling. prompt_tokens: of a conversation with its media, where known.
    batch_size: how many like tasks are done together. Raises TypeError for more than one that cannot be.
    """
    if batch_size > 1 and not isinstance(task, Continue):
        raise TypeError(f"a batch of {task.kind} was asked for, which share no stage: this is a bug")
    if isinstance(task, Answer):
        return (answering_stage("generate", task, checkpoint, prompt_tokens=prompt_tokens),)
    stages = [*guard_prompt_stage(guardrails, _prompts(task))]
    if task.upsampling is not None:
        if reasoner is None:
            raise TypeError(f"the stages of {task.upsampling.model} were asked for without it: this is a bug")
        stages.append(answering_stage("upsample_prompt", task.upsampling.question, reasoner))
    if isinstance(task, Continue):
        stages += continuing_stages(task, checkpoint, batch_size=batch_size)
    else:
        networks = networks_of(checkpoint, task)
        vocabulary = networks.transformer.config.get("vocab_size", _USUAL_VOCABULARY)
        stages += making_stages(_wanted(task, vocabulary), networks)
    stages += guard_frames_stages(guardrails, task.num_output_frames, *_output_size(task))
    if isinstance(task, Continue) and batch_size > 1:
        stages = in_batch(stages, task, checkpoint, batch_size)
    return tuple(stages)


def part_sheets(checkpoints: Sequence[Checkpoint], guardrails: Guardrails, *, for_model: str) -> tuple[PartSheet, ...]:
    """Every part of a process. for_model: whose run it is, beside which a reasoner is a prompt upsampler."""
    sheets = []
    for checkpoint in checkpoints:
        loras = sum(lora.size_bytes for lora in checkpoint.loras)
        for part in checkpoint.parts:
            more = _loaded_beside(part) + (loras if part.name == "transformer" else 0)
            group = _group(part, is_upsampler="model" in _names(checkpoint) and checkpoint.name != for_model)
            sheets.append(_sheet(checkpoint.name, part, group, more_bytes=more))
    sheets += [_sheet(guardrails.name, part, "guardrails") for part in guardrails.parts]
    return tuple(sheets)


def part_sheets_of(owner: str, parts: Sequence[Part]) -> tuple[PartSheet, ...]:
    """The parts of a model that is none of the served ones."""
    return tuple(_sheet(owner, part, _group(part, is_upsampler=False)) for part in parts)


def networks_of(checkpoint: Checkpoint, task: Generation) -> Networks:
    """The parts of a generator that a task uses."""
    parts = {part.name: part for part in checkpoint.parts}
    return Networks(
        owner=checkpoint.name,
        transformer=parts["transformer"],
        vae=parts["tokenizer"],
        text_encoder=parts.get("text_encoder"),
        control=parts[f"{CONTROL_PART}{task.control}"] if isinstance(task, Transfer) else None,
    )


def _loaded_beside(part: Part) -> int:
    """What a part takes on the device beyond what it takes on disk."""
    if part.config.get("_class_name") != "Cosmos3OmniTransformer":
        return 0
    return Omni.from_config(part.config, part.dtype).kept_single_bytes


def _names(checkpoint: Checkpoint) -> set[str]:
    return {part.name for part in checkpoint.parts}


def _group(part: Part, *, is_upsampler: bool) -> str:
    if is_upsampler:
        return "prompt_upsampler"
    return "transformer" if part.name.startswith(CONTROL_PART) else _GROUPS[part.name]


def _sheet(owner: str, part: Part, group: str, *, more_bytes: int = 0) -> PartSheet:
    # Between tensors that lie in one stretch; in real models next to nothing.
    padding = ALIGNMENT_BYTES * part.num_tensors
    return PartSheet(
        owner=owner,
        name=part.name,
        group=group,
        size_bytes=part.size_bytes + more_bytes + padding,
        num_blocks=part.num_blocks,
        block_bytes=part.block_bytes + (padding // part.num_blocks if part.num_blocks else 0),
        rest_bytes=part.rest_bytes + more_bytes + padding,
    )


def _prompts(task: Generation) -> list[int]:
    """Tokens of each text that the guardrails are asked about."""
    asked = [text_tokens(task.prompt, _USUAL_VOCABULARY)] if task.prompt else []
    if task.upsampling is not None:
        question = task.upsampling.question
        asked.append(question.max_tokens or question.default_max_tokens)
    return asked


def _wanted(task: Generation, vocabulary: int) -> Wanted:
    frames, chunks, encodes = task.num_frames, 1, 1
    # The pipelines' own conditions for asking the network a second time.
    guided = task.guidance != 1.0 if isinstance(task, OmniTask) else task.guidance > 1.0
    prompt_tokens = max(
        text_tokens(task.prompt, vocabulary), text_tokens(task.negative_prompt, vocabulary) if guided else 0
    )
    if task.upsampling is not None:
        question = task.upsampling.question
        prompt_tokens = max(prompt_tokens, question.max_tokens or question.default_max_tokens)
    held = None
    if isinstance(task, Generate):
        chunks = task.num_chunks
        if task.media is None and chunks == 1:
            encodes, held = 0, 1  # the pipeline makes an empty video of its own, and lets the VAE have none
    elif isinstance(task, Transfer):
        frames, encodes = task.num_frames_per_chunk, 2  # the control, and what the chunk goes on from
        overlap = overlap_frames(task.num_frames, chunk_frames=frames, conditional_frames=task.num_conditional_frames)
        chunks = count_chunks(task.num_frames, chunk_frames=frames, overlap=overlap)
    return Wanted(
        num_frames=frames,
        height=task.height,
        width=task.width,
        num_steps=task.num_steps,
        passes=2 if guided else 1,
        num_chunks=chunks,
        encodes=encodes,
        held=held,
        text_tokens=prompt_tokens + _TOKENS_AROUND_PROMPT,
        is_lean=not isinstance(task, OmniTask),
    )


def _output_size(task: Generation) -> tuple[int, int]:
    """Height and width of what the guardrails see."""
    if not isinstance(task, Transfer):
        return task.height, task.width
    panels = 1 + task.show_control + (task.show_input and task.video is not None)
    return task.output_height, task.output_width * panels
