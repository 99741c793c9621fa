"""The README's table: the models that are served, on cards of every size."""

from cosmos_handler.memory.plan import Plan
from cosmos_handler.messages.machine import Machine, MemoryWish
from scripts.planned.models import Model, Request, Verdict, judge, public_models
from scripts.planned.place import place_of

CARD_GIGABYTES = (16, 24, 40, 48, 80, 96, 141)
_GIGA = 10**9
# Specialised checkpoints of the same size are planned alike.
_ALIKE = ("Cosmos3-Super-Text2Image", "Cosmos3-Super-Image2Video")


def markdown(host_gigabytes: float) -> str:
    """One row a model, one column a size of card."""
    places = [
        place_of(card=None, instance=None, device_gigabytes=size, host_gigabytes=host_gigabytes)
        for size in CARD_GIGABYTES
    ]
    cards = [place.card.name.split()[0] for place in places]
    heads = [f"{size} GB, as {card}" for size, card in zip(CARD_GIGABYTES, cards, strict=True)]
    lines = [f"| model | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for model in public_models():
        if model.checkpoint is None or model.name in _ALIKE:
            continue
        cells = [_cell(_verdict(model, place.machine)) for place in places]
        lines.append(f"| {model.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _verdict(model: Model, machine: Machine) -> Verdict:
    return judge(model, model.task(Request()), machine, MemoryWish())


def _cell(verdict: Verdict) -> str:
    if verdict.fits:
        return f"{_duration(verdict.plan.seconds)}{_marks(verdict.plan)}"
    if verdict.host_bytes is not None:
        return f"host of {verdict.host_bytes / _GIGA:.0f} GB"
    return "no"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _marks(plan: Plan) -> str:
    """What is not on the device all the time, and how it comes."""
    marks = "".join(
        mark
        for mark, placement in (("w", "swapped"), ("s", "streamed"), ("d", "disk"))
        if placement in plan.placements.values()
    )
    tiles = "t" if plan.decode == "tiled" else ""
    return f" {marks}{tiles}" if marks or tiles else ""
