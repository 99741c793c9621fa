"""The one entry: a conversation goes on, token by token, until it ends or nobody wants it any more."""

from typing import Any

import torch
from transformers import LogitsProcessorList

from cosmos_handler.families.base import Context, Words
from cosmos_handler.families.conversing.grounding import find, shown_size
from cosmos_handler.families.conversing.prompt import Prompt, prepare
from cosmos_handler.families.conversing.room import longest_answer, measure
from cosmos_handler.families.conversing.sampling import PresencePenalty, end_tokens, generate_options
from cosmos_handler.families.conversing.thinking import ThinkSplitter, split
from cosmos_handler.families.conversing.words import WordStreamer
from cosmos_handler.messages.tasks import Answer


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
        if task.grounding is not None:
            shown_size(task)
        room = measure(model, model_tokens=context_tokens, free_bytes=context.spare_bytes)
        prompt = prepare(processor, task, room)
        max_tokens = longest_answer(task, prompt.num_tokens, room)
    with context.stage("generate", parts, num_steps=max_tokens):
        return _generate(model, processor.tokenizer, task, context, prompt, max_tokens)


def _generate(model: Any, tokenizer: Any, task: Answer, context: Context, prompt: Prompt, max_tokens: int) -> Words:
    splitter = ThinkSplitter(open_already=prompt.opens_thinking)

    def say(words: str) -> None:
        for piece, reasoning in splitter.feed(words):
            context.on_words(piece, reasoning)

    streamer = WordStreamer(tokenizer, on_text=say, on_token=lambda count: context.step(count, max_tokens))
    inputs = prompt.inputs.to(context.parts.device)
    options = generate_options(task) | {"max_new_tokens": max_tokens, "streamer": streamer}
    torch.manual_seed(task.seed)
    sequence = model.generate(**inputs, **options, logits_processor=_rules(model, tokenizer, task, prompt))[0]
    for piece, reasoning in splitter.finish():
        context.on_words(piece, reasoning)
    made = sequence[prompt.num_tokens :].tolist()
    whole = tokenizer.decode(made, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    reasoning_text, answer = split(whole, open_already=prompt.opens_thinking)
    stopped = bool(made) and made[-1] in end_tokens(model)
    return Words(
        text=answer,
        reasoning=reasoning_text,
        finish_reason="stop" if stopped else "length",
        prompt_tokens=prompt.num_tokens,
        completion_tokens=len(made),
        found=find(answer, task) if task.grounding is not None else None,
    )


def _rules(model: Any, tokenizer: Any, task: Answer, prompt: Prompt) -> LogitsProcessorList:
    """What changes the scores besides generate()'s own arguments."""
    rules = LogitsProcessorList()
    if task.presence_penalty:
        rules.append(PresencePenalty(task.presence_penalty, prompt_tokens=prompt.num_tokens))
    if task.json_schema is not None:
        # The one use of the grammar library, which no other answer has to wait for.
        from cosmos_handler.families.conversing.grammar import JsonAnswer

        ends = frozenset(end_tokens(model))
        thinking = {"thinks": task.reasoning, "open_already": prompt.opens_thinking}
        rules.append(JsonAnswer(task.json_schema, tokenizer, ends=ends, **thinking))
    return rules
