"""From any request to its task."""

from collections.abc import Sequence

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.engine.autoregressive import continue_task
from cosmos_handler.engine.generation import generation_task
from cosmos_handler.engine.inbox import Inbox
from cosmos_handler.engine.omni import omni_task
from cosmos_handler.engine.omni_upsampling import refuse_unused, with_caption
from cosmos_handler.engine.reasoning import reasoning_task
from cosmos_handler.engine.transfer import transfer_task
from cosmos_handler.engine.upsampling import reasoner_for, with_upsampling
from cosmos_handler.messages.tasks import Encoding, Task
from cosmos_handler.schemas.autoregressive import ContinueRequest
from cosmos_handler.schemas.generation import GenerationRequest
from cosmos_handler.schemas.invocation import Invocation
from cosmos_handler.schemas.omni import OmniRequest
from cosmos_handler.schemas.transfer import TransferRequest


async def build_task(
    invocation: Invocation, checkpoint: Checkpoint, models: Sequence[Checkpoint], inbox: Inbox, encoding: Encoding
) -> Task:
    """The task that a request means on this checkpoint.

    models: all that are loaded, the checkpoint among them.
    Raises RequestError.
    """
    task = await _task(invocation, checkpoint, models, inbox, encoding)
    inbox.refuse_leftovers()
    return task


async def _task(
    invocation: Invocation, checkpoint: Checkpoint, models: Sequence[Checkpoint], inbox: Inbox, encoding: Encoding
) -> Task:
    request = invocation.request
    if isinstance(request, GenerationRequest):
        reasoner = reasoner_for(invocation, checkpoint, models) if request.prompt_upsampling else None
        task = await generation_task(invocation, request, checkpoint, inbox, encoding)
        return await with_upsampling(task, reasoner, invocation, request, inbox) if reasoner else task
    if isinstance(request, TransferRequest):
        return await transfer_task(invocation, request, checkpoint, inbox, encoding)
    if isinstance(request, ContinueRequest):
        return await continue_task(invocation, request, checkpoint, inbox, encoding)
    if isinstance(request, OmniRequest):
        reasoner = reasoner_for(invocation, checkpoint, models) if request.prompt_upsampling else None
        if reasoner is None:
            refuse_unused(invocation, request)
        made = await omni_task(invocation, request, checkpoint, inbox, encoding)
        return await with_caption(made, reasoner, invocation, request, inbox) if reasoner else made
    return await reasoning_task(invocation, request, checkpoint, inbox)
