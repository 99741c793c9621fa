"""What the Accept header asks for, held against what a request can yield."""

from collections.abc import Sequence

from cosmos_handler.errors import NotAcceptable


def choose(header: str | None, offered: Sequence[str]) -> str:
    """The offered media type that the header likes best; the first one where it does not care.

    Raises NotAcceptable naming what is offered.
    """
    wishes = _parse(header or "*/*")
    best, best_quality = "", 0.0
    for candidate in offered:
        quality = _quality(candidate, wishes)
        if quality > best_quality:
            best, best_quality = candidate, quality
    if not best:
        raise NotAcceptable(f"Accept: {(header or '')[:200]} cannot be met; this request yields {', '.join(offered)}")
    return best


def _parse(header: str) -> dict[str, float]:
    wishes: dict[str, float] = {}
    for item in header.split(","):
        name, *parameters = (piece.strip().lower() for piece in item.split(";"))
        quality = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    quality = min(max(float(value), 0.0), 1.0)
                except ValueError:
                    quality = 0.0  # a quality that is no number is no wish
        if name:
            wishes["*/*" if name == "*" else name] = quality  # the former is how Java's HttpURLConnection says it
    return wishes


def _quality(candidate: str, wishes: dict[str, float]) -> float:
    family = candidate.split("/")[0] + "/*"
    for pattern in (candidate, family, "*/*"):  # the most specific wish decides
        if pattern in wishes:
            return wishes[pattern]
    return 0.0
