"""The image or the video that a generation goes on from."""

from collections.abc import Mapping

from cosmos_handler.engine.inbox import Inbox
from cosmos_handler.errors import InvalidField
from cosmos_handler.media.clip import MediaFile
from cosmos_handler.media.wanted import Wanted
from cosmos_handler.schemas.autoregressive import ContinueRequest
from cosmos_handler.schemas.generation import GenerationRequest
from cosmos_handler.schemas.invocation import Invocation
from cosmos_handler.schemas.omni import OmniRequest


async def conditioning(
    invocation: Invocation,
    request: GenerationRequest | OmniRequest | ContinueRequest,
    inbox: Inbox,
    *,
    task: str,
    either: str,
    wanted: Mapping[str, Wanted],
) -> MediaFile | None:
    """The medium of a task, decoded; None for a task that begins with words alone.

    either: the field that may hold an image or a video.
    wanted: what is taken of the one medium, by what it is ("image", "video"); empty for such a task.
    Raises RequestError, naming the field, for a medium that the task does not take or that it lacks.
    """
    medium = next(iter(wanted), None)
    for name in (either, "image", "video"):
        if getattr(request, name) is not None and name not in (medium, either if medium else None):
            raise InvalidField(invocation.written(name), f"does not go with {task}", allowed="leave it out")
    if medium is None:
        return None
    direct = request.image if request.image is not None else request.video
    reference = direct if direct is not None else getattr(request, either)
    if reference is None:
        raise InvalidField(either, f"is needed for {task}", allowed=f"the {medium} to continue from")
    written = invocation.written(either if direct is None else medium)
    return await inbox.bring(reference, wanted, field=written)
