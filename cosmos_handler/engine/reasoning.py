"""From a question or a conversation to its task, with the media decoded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.defaults import given
from cosmos_handler.artifacts.reasoning_defaults import ReasoningDefaults, reasoning_defaults
from cosmos_handler.engine.answer_format import json_schema
from cosmos_handler.engine.inbox import Inbox
from cosmos_handler.engine.instructions import asked_to_think
from cosmos_handler.engine.looking import Look, look
from cosmos_handler.errors import InvalidField, TooLarge
from cosmos_handler.messages.tasks import Answer, Piece, Turn
from cosmos_handler.schemas.invocation import Invocation
from cosmos_handler.schemas.reasoning import Asking, ChatMessage, ChatRequest, ImagePiece, ReasoningRequest, TextPiece

_MAX_CHAT_PIECES = 10_000  # a million of them stop the server for seconds on their way to the model process
_MAX_CHAT_CHARACTERS = 1_000_000  # about four for each token of the longest context
# The reasoner's own words for itself when the caller has none; its task prompts go to the user's turn.
_DEFAULT_SYSTEM_PROMPT = "You are a helpful assistant."


@dataclass
class _Gallery:
    """What one conversation shows: decoded as the request wants it, and bounded together."""

    inbox: Inbox
    looking: Look
    held_bytes: int = 0

    async def bring(self, reference: str, name: str, *, field: str) -> Piece:
        """One medium, of the kind that the name says. Raises RequestError."""
        medium = await self.inbox.bring(reference, self.looking.wanted(name), field=field)
        self.held_bytes += medium.num_frames * medium.height * medium.width * 3
        most = self.inbox.limits.max_decoded_bytes
        if self.held_bytes > most:
            problem = f"makes {self.held_bytes} bytes of frames with the media before it, more than the {most} allowed"
            raise TooLarge(problem, field=field)
        return Piece(media=medium, field=field)


async def reasoning_task(
    invocation: Invocation, request: ReasoningRequest | ChatRequest, checkpoint: Checkpoint, inbox: Inbox
) -> Answer:
    """The task of a request. Raises RequestError before any medium is decoded, where that can be known."""
    defaults = reasoning_defaults(checkpoint.family, reasoning=bool(request.reasoning))
    looking = look(invocation, request, checkpoint.family, defaults)
    if request.parse is not None and checkpoint.family == "reason1":
        raise InvalidField(
            invocation.written("parse"),
            "is not for Reason1, which names no places from 0 to 1000",
            allowed="leave it out",
        )
    drawing = _drawing(request, defaults)
    schema = await json_schema(invocation, request)
    turns = await _turns(invocation, request, _Gallery(inbox, looking))
    _refuse_idle(invocation, request, turns)
    return Answer(
        turns=tuple(asked_to_think(turns, checkpoint.family) if request.reasoning else turns),
        max_tokens=request.max_tokens,
        default_max_tokens=defaults.max_tokens,
        **drawing,
        seed=given(request.seed, defaults.seed),
        vision=looking.vision,
        reasoning=bool(request.reasoning),
        json_schema=schema,
        grounding=request.parse,
    )


async def _turns(invocation: Invocation, request: ReasoningRequest | ChatRequest, gallery: _Gallery) -> list[Turn]:
    if isinstance(request, ReasoningRequest):
        return [_system(request.system_prompt), await _question(invocation, request, gallery)]
    if request.messages[-1].role != "user":
        raise InvalidField(f"messages.{len(request.messages) - 1}.role", "is not the user's", allowed="user at the end")
    _refuse_long(request.messages)
    turns = [] if request.messages[0].role == "system" else [_system(None)]
    for number, message in enumerate(request.messages):
        turns.append(await _turn(message, f"messages.{number}.content", gallery))
    return turns


def _refuse_long(messages: Sequence[ChatMessage]) -> None:
    """Cutting a long text into tokens cannot be interrupted, and takes seconds a megabyte in the model process."""
    num_pieces = sum(len(message.content) for message in messages if not isinstance(message.content, str))
    if num_pieces > _MAX_CHAT_PIECES:
        raise InvalidField("messages", f"hold {num_pieces} pieces", allowed=f"up to {_MAX_CHAT_PIECES} together")
    length = sum(_num_characters(message) for message in messages)
    if length > _MAX_CHAT_CHARACTERS:
        raise InvalidField(
            "messages", f"hold {length} characters of text", allowed=f"up to {_MAX_CHAT_CHARACTERS} together"
        )


def _num_characters(message: ChatMessage) -> int:
    if isinstance(message.content, str):
        return len(message.content)
    return sum(len(piece.text) for piece in message.content if isinstance(piece, TextPiece))


async def _question(invocation: Invocation, request: ReasoningRequest, gallery: _Gallery) -> Turn:
    pieces = []
    name = next((name for name in ("image", "video", "input_path") if getattr(request, name) is not None), None)
    if name is not None:
        pieces.append(await gallery.bring(getattr(request, name), name, field=invocation.written(name)))
    return Turn(role="user", pieces=(*pieces, Piece(text=request.prompt)))


async def _turn(message: ChatMessage, field: str, gallery: _Gallery) -> Turn:
    if isinstance(message.content, str):
        return Turn(role=message.role, pieces=(Piece(text=message.content, field=field),))
    pieces = []
    for number, piece in enumerate(message.content):
        name = f"{field}.{number}.{piece.type}"
        if isinstance(piece, TextPiece):
            pieces.append(Piece(text=piece.text, field=name))
        elif message.role == "system":
            raise InvalidField(name, "stands in the system message", allowed="media in the user's messages")
        else:
            kind, url = (
                ("image", piece.image_url.url) if isinstance(piece, ImagePiece) else ("video", piece.video_url.url)
            )
            pieces.append(await gallery.bring(url, kind, field=name))
    # Cosmos reasoners are trained with the media before the words.
    pieces.sort(key=lambda piece: piece.media is None)
    return Turn(role=message.role, pieces=tuple(pieces))


def _system(text: str | None) -> Turn:
    return Turn(role="system", pieces=(Piece(text=_DEFAULT_SYSTEM_PROMPT if text is None else text),))


def _refuse_idle(invocation: Invocation, request: Asking, turns: list[Turn]) -> None:
    """Refuse what asks for something of a medium that is not there."""
    kinds = {piece.media.kind for turn in turns for piece in turn.pieces if piece.media is not None}
    if request.timestamps and "video" not in kinds:
        raise InvalidField(invocation.written("timestamps"), "is true, and there is no video", allowed="leave it out")
    if request.parse is not None and not kinds:
        name = invocation.written("parse")
        raise InvalidField(name, f"asks for {request.parse}, and there is no image or video", allowed="leave it out")


def _drawing(request: ReasoningRequest | ChatRequest, defaults: ReasoningDefaults) -> dict[str, Any]:
    """How tokens are drawn: as the request says, else as the family does."""
    do_sample = request.do_sample if isinstance(request, ReasoningRequest) else None
    greedy = request.temperature == 0
    if greedy and do_sample:
        raise InvalidField("do_sample", "asks for sampling and temperature 0 forbids it", allowed="one of the two")
    if do_sample is None:
        ways = (request.temperature, request.top_p, request.top_k, defaults.temperature)
        # Naming a way to draw asks for drawing; where nobody names one the checkpoint decides.
        do_sample = False if greedy else True if any(way is not None for way in ways) else None
    # NVIDIA's penalty goes with its way to draw: the likeliest words are wanted as they are.
    presence_penalty = 0.0 if do_sample is False else defaults.presence_penalty
    penalties = {
        "repetition_penalty": given(request.repetition_penalty, defaults.repetition_penalty),
        "presence_penalty": given(request.presence_penalty, presence_penalty),
    }
    if do_sample is False:
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None, **penalties}
    return {
        "do_sample": do_sample,
        "temperature": given(request.temperature, defaults.temperature),
        "top_p": given(request.top_p, defaults.top_p),
        "top_k": given(request.top_k, defaults.top_k),
        **penalties,
    }
