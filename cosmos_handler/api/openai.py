"""OpenAI's chat completion, whole and in pieces, as a rendering of an ordinary job."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

from cosmos_handler.api.errors import body_of
from cosmos_handler.api.render import facts, found, usage
from cosmos_handler.api.stream import HEARTBEAT, HEARTBEAT_SECONDS
from cosmos_handler.engine.job import Job, Listener
from cosmos_handler.errors import CosmosError
from cosmos_handler.messages.results import TextOutput
from cosmos_handler.messages.wire import Done, Token


def chat_completion(job: Job, done: Done) -> dict[str, Any]:
    """The whole answer. What stood between think tags is in `reasoning_content`, as vLLM has it."""
    text = _text(done)
    message = {"role": "assistant", "content": text.text, "reasoning_content": text.reasoning}
    return {
        "id": job.id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": job.model,
        "choices": [{"index": 0, "message": message, "finish_reason": text.finish_reason}],
        "usage": usage(text),
        "cosmos": {**facts(job, done), **found(text)},
    }


async def chat_chunks(job: Job, listener: Listener) -> AsyncIterator[bytes]:
    """The answer as it is made, ending in `[DONE]`."""
    created = int(time.time())

    def chunk(delta: dict[str, Any], finish_reason: str | None = None, **rest: object) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        head = {"id": job.id, "object": "chat.completion.chunk", "created": created, "model": job.model}
        return _data({**head, "choices": [choice], **rest})

    yield chunk({"role": "assistant", "content": ""})
    async for happening in listener.events(heartbeat_seconds=HEARTBEAT_SECONDS):
        if happening is None:
            yield HEARTBEAT
        elif isinstance(happening, Token):
            name = "reasoning_content" if happening.reasoning else "content"
            yield chunk({name: happening.text})
    try:
        done = await job.result()
    except CosmosError as error:
        yield _data(body_of(error, job_id=job.id))
    else:
        text = _text(done)
        yield chunk({}, text.finish_reason, usage=usage(text), cosmos={**facts(job, done), **found(text)})
    yield b"data: [DONE]\n\n"


def _data(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value, separators=(',', ':'))}\n\n".encode()


def _text(done: Done) -> TextOutput:
    if not isinstance(done.output, TextOutput):
        raise TypeError("a chat ended with a video: this is a bug")
    return done.output
