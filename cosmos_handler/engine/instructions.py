"""The words that turn thinking on, at the place where each family was trained to find them."""

from cosmos_handler.artifacts.checkpoint import Family
from cosmos_handler.messages.tasks import Piece, Turn

_TAGGED = (
    "Think first, then answer, in this form:\n"
    "<think>\nwhat you reasoned\n</think>\n\n<answer>\nwhat you answer\n</answer>"
)
_PLAIN = "Think first, then answer, in this form:\n<think>\nwhat you reasoned\n</think>\n\nwhat you answer"


def asked_to_think(turns: list[Turn], family: Family) -> list[Turn]:
    """The conversation with the instruction: behind Reason 1's system message, else behind the user's last words."""
    role, words = ("system", _TAGGED) if family == "reason1" else ("user", _PLAIN)
    place = max(number for number, turn in enumerate(turns) if turn.role == role)
    turn = turns[place]
    spoken = max((number for number, piece in enumerate(turn.pieces) if piece.text is not None), default=None)
    pieces = list(turn.pieces)
    if spoken is None:
        pieces.append(Piece(text=words))
    else:
        last = pieces[spoken]
        pieces[spoken] = Piece(text=f"{last.text}\n\n{words}", field=last.field)
    return [*turns[:place], Turn(role=turn.role, pieces=tuple(pieces)), *turns[place + 1 :]]
