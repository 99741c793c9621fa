"""Who asks on `/invocations`: whether he listens to a stream, and whether he may come again with the same request."""

import asyncio
import hashlib
import json
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request

from cosmos_handler.api.body import Body, read_body
from cosmos_handler.api.surroundings import Surroundings
from cosmos_handler.engine.engine import Engine
from cosmos_handler.engine.job import Job
from cosmos_handler.engine.repeats import RepeatKey, Repeats
from cosmos_handler.errors import InvalidField
from cosmos_handler.messages.tasks import Encoding
from cosmos_handler.schemas.invocation import Invocation

INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
_FORWARDED_API = "X-Amzn-SageMaker-Forwarded-Api"
_MAX_ID_CHARACTERS = 64
# Later features, of which a caller who asks for them must hear, instead of getting something else.
_NOT_YET = {
    "X-Amzn-SageMaker-Session-Id": "sessions are not served by this container",
    "X-Amzn-SageMaker-Adapter-Identifier": "adapters are not served by this container; the field lora chooses one",
}


@dataclass(frozen=True)
class Caller:
    """key: what his repeat is known by; None for one who cannot come again, and whose work ends when he hangs up.

    listens: whether he called for a stream. spool_dir: where long answers are collected.
    """

    engine: Engine
    repeats: Repeats
    key: RepeatKey | None
    listens: bool
    spool_dir: Path

    def submit(self, invocation: Invocation, encoding: Encoding, *, index: int = 0) -> AbstractAsyncContextManager[Job]:
        """The job of one thing he asks. Raises as Engine.submit and Repeats.submit do."""
        if self.key is None:
            return self.engine.submit(invocation, encoding)
        return self.repeats.submit(self.key.of(index), invocation, encoding)


async def heard(request: Request, engine: Engine, repeats: Repeats, around: Surroundings) -> tuple[Body, Caller]:
    """What a request says, and who says it.

    Raises InvalidField for a header that asks for what is not served, before the body has come, and what read_body
    raises.
    """
    for header, problem in _NOT_YET.items():
        if header in request.headers:
            raise InvalidField(header, problem, allowed="leave it out")
    inference_id = request.headers.get(INFERENCE_ID)
    if inference_id is not None and not 0 < len(inference_id) <= _MAX_ID_CHARACTERS:
        raise InvalidField(INFERENCE_ID, f"has {len(inference_id)} characters", allowed="1 to 64")
    may_repeat = around.is_batch or inference_id is not None
    body = await read_body(request, digested=may_repeat)
    key = None
    if may_repeat:
        digest = body.digest
        if digest is None:
            digest = await asyncio.to_thread(_digest, body)  # a gigabyte takes a second
        key = RepeatKey(inference_id or digest, digest)
    listens = request.headers.get(_FORWARDED_API) == "InvokeEndpointWithResponseStream"
    return body, Caller(engine, repeats, key, listens, around.spool_dir)


def _digest(body: Body) -> str:
    """Of all that is asked, where it is not one piece of JSON."""
    found = hashlib.sha256(json.dumps(body.content, sort_keys=True).encode())
    for name, upload in sorted(body.uploads.items()):
        found.update(f"\0{name}\0".encode(errors="backslashreplace"))
        found.update(upload.digest())
    return found.hexdigest()
