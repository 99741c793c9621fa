"""The one entry: a conversation goes on, token by token, until it ends or nobody wants it any more."""

from typing import Any

import torch

from cosmos_handler.errors import InvalidField
from cosmos_handler.families.base import Context, Words
from cosmos_handler.families.conversing.prompt import Prompt, prepare
from cosmos_handler.families.conversing.sampling import end_tokens, generate_options
from cosmos_handler.families.conversing.thinking import ThinkSplitter, split
from cosmos_handler.families.conversing.words import WordStreamer
from cosmos_handler.messages.tasks import Answer

# NVIDIA's limit for Reason 1 (configs/sampling_params.yaml) and Reason 2 (configs/inference_config.yaml).
_DEFAULT_MAX_TOKENS = 4096


@torch.no_grad()
def converse(
    model: Any,
    processor: Any,
    task: Answer,
    context: Context,
    *,
    context_tokens: int | None,
    parts: tuple[str, ...] = ("model",),
) -> Words:
    """The answer to a conversation.

    model: any image-text-to-text model of transformers; processor: the one that belongs to it.
    context_tokens: the most that the model can hold; None where that is not known.
    parts: what must lie on the device while the model speaks.
    Raises RequestError before anything is generated, Stopped at the next token.
    """
    with context.stage("prepare"):
        prompt = prepare(processor, task)
        max_tokens = _max_tokens(task, prompt.num_tokens, context_tokens)
    with context.stage("generate", parts, num_steps=max_tokens):
        return _generate(model, processor.tokenizer, task, context, prompt, max_tokens)


def _max_tokens(task: Answer, prompt_tokens: int, context_tokens: int | None) -> int:
    if context_tokens is None:
        return task.max_tokens or _DEFAULT_MAX_TOKENS
    room = context_tokens - prompt_tokens
    if room < 1:
        raise InvalidField(
            "prompt", f"has {prompt_tokens} tokens with its media", allowed=f"up to {context_tokens - 1}"
        )
    if task.max_tokens is None:
        return min(_DEFAULT_MAX_TOKENS, room)
    if task.max_tokens > room:
        problem = f"is {task.max_tokens} after a prompt of {prompt_tokens}"
        raise InvalidField("max_tokens", problem, allowed=f"1 to {room}")
    return task.max_tokens


def _generate(model: Any, tokenizer: Any, task: Answer, context: Context, prompt: Prompt, max_tokens: int) -> Words:
    splitter = ThinkSplitter(open_already=prompt.opens_thinking)

    def say(words: str) -> None:
        for piece, reasoning in splitter.feed(words):
            context.on_words(piece, reasoning)

    streamer = WordStreamer(tokenizer, on_text=say, on_token=lambda count: context.step(count, max_tokens))
    inputs = prompt.inputs.to(context.parts.device)
    torch.manual_seed(task.seed)
    sequence = model.generate(**inputs, **generate_options(task), max_new_tokens=max_tokens, streamer=streamer)[0]
    for piece, reasoning in splitter.finish():
        context.on_words(piece, reasoning)
    made = sequence[prompt.num_tokens :].tolist()
    whole = tokenizer.decode(made, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    reasoning_text, answer = split(whole, open_already=prompt.opens_thinking)
    stopped = bool(made) and made[-1] in end_tokens(model)
    return Words(answer, reasoning_text, "stop" if stopped else "length", prompt.num_tokens, len(made))
