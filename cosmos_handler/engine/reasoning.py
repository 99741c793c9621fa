"""From a question or a conversation to its task, with the media decoded."""

from collections.abc import Mapping

from cosmos_handler.engine.inbox import Inbox
from cosmos_handler.errors import InvalidField
from cosmos_handler.media.wanted import SampledFrames, Wanted, WantedImage
from cosmos_handler.messages.tasks import Answer, Piece, Turn
from cosmos_handler.schemas.invocation import Invocation
from cosmos_handler.schemas.reasoning import ChatMessage, ChatRequest, ImagePiece, ReasoningRequest, Sampling, TextPiece

# The reasoner's own words for itself when the caller has none; its task prompts go to the user's turn.
_DEFAULT_SYSTEM_PROMPT = "You are a helpful assistant."


async def reasoning_task(invocation: Invocation, request: ReasoningRequest, inbox: Inbox) -> Answer:
    pieces = []
    name = next((name for name in ("image", "video", "input_path") if getattr(request, name) is not None), None)
    if name is not None:
        written = invocation.written(name)
        media = await inbox.bring(getattr(request, name), _seen(name, request.fps), field=written)
        pieces.append(Piece(media=media, field=written))
    pieces.append(Piece(text=request.prompt))
    turns = [_system(request.system_prompt), Turn(role="user", pieces=tuple(pieces))]
    return _answer(request, turns, do_sample=request.do_sample)


async def chat_task(request: ChatRequest, inbox: Inbox) -> Answer:
    turns = [] if request.messages[0].role == "system" else [_system(None)]
    if request.messages[-1].role != "user":
        raise InvalidField(f"messages.{len(request.messages) - 1}.role", "is not the user's", allowed="user at the end")
    for number, message in enumerate(request.messages):
        turns.append(await _turn(message, f"messages.{number}.content", request.fps, inbox))
    return _answer(request, turns, do_sample=None)


async def _turn(message: ChatMessage, field: str, fps: float, inbox: Inbox) -> Turn:
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
            pieces.append(Piece(media=await inbox.bring(url, _seen(kind, fps), field=name), field=name))
    # Cosmos reasoners are trained with the media before the words.
    pieces.sort(key=lambda piece: piece.media is None)
    return Turn(role=message.role, pieces=tuple(pieces))


def _seen(name: str, fps: float) -> Mapping[str, Wanted]:
    """What to take of a medium, by what it turns out to be."""
    image: Mapping[str, Wanted] = {"image": WantedImage()}
    video: Mapping[str, Wanted] = {"video": SampledFrames(fps=fps)}
    return {"image": image, "video": video}.get(name, {**image, **video})


def _system(text: str | None) -> Turn:
    return Turn(role="system", pieces=(Piece(text=_DEFAULT_SYSTEM_PROMPT if text is None else text),))


def _answer(request: Sampling, turns: list[Turn], *, do_sample: bool | None) -> Answer:
    greedy = request.temperature == 0
    if greedy and do_sample:
        raise InvalidField("do_sample", "asks for sampling and temperature 0 forbids it", allowed="one of the two")
    if do_sample is None and (greedy or request.temperature or request.top_p or request.top_k):
        do_sample = not greedy  # naming a way to draw asks for drawing
    return Answer(
        turns=tuple(turns),
        max_tokens=request.max_tokens,
        do_sample=do_sample,
        temperature=None if greedy else request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        repetition_penalty=request.repetition_penalty,
        seed=request.seed,
    )
