"""The named ways of offloading: the rows of NVIDIA's tables, and what a deployer says of single parts."""

from collections.abc import Iterable

from cosmos_handler.memory.search import Rules
from cosmos_handler.memory.sheet import PartSheet
from cosmos_handler.messages.machine import MemoryWish, Placement

# Each row offloads one thing more than the one before it, and "all" the last.
_ROWS = ("prompt_upsampler", "guardrails", "text_encoder", "tokenizer", "transformer")
# Parts that do much for each time that they are gone through. With all offloaded these are streamed; a language model
# that speaks, which is gone through for every token, would take seconds for each.
_GONE_THROUGH_ONCE = ("text_encoder", "transformer", "diffusion_decoder")
_AUTOREGRESSIVE_ROWS = (
    "prompt_upsampler", "guardrails", "text_encoder", "diffusion_decoder", "tokenizer", "transformer"
)  # fmt: skip


def rules_for(wish: MemoryWish, parts: Iterable[PartSheet]) -> Rules:
    """Which placements a deployer's wish leaves open for some parts."""
    parts = tuple(parts)
    by_hand = tuple(sorted(wish.placement.items()))
    if wish.offload == "auto":
        return Rules(by_hand, "by hand" if by_hand else "auto")
    rows = _AUTOREGRESSIVE_ROWS if any(part.name == "ar_model" for part in parts) else _ROWS
    away = _away(rows, wish.offload)
    named = {name for name, _ in by_hand}
    flowing = {part.group for part in parts if part.num_blocks and part.name in _GONE_THROUGH_ONCE}
    fixed = tuple(
        (group, _placement(is_away=group in away, flows=wish.offload == "all" and group in flowing))
        for group in rows
        if group not in named
    )
    return Rules((*by_hand, *fixed), f"{wish.offload}, by hand" if by_hand else wish.offload)


def _away(rows: tuple[str, ...], offload: str) -> tuple[str, ...]:
    if offload == "none":
        return ()
    if offload == "all":
        return rows
    if offload in rows:
        return rows[: rows.index(offload) + 1]
    # A row that this family's table does not have offloads what stands before it in the other.
    other = _AUTOREGRESSIVE_ROWS if offload in _AUTOREGRESSIVE_ROWS else _ROWS
    before = other[: other.index(offload)]
    return tuple(row for row in rows if row in before)


def _placement(*, is_away: bool, flows: bool) -> Placement:
    if not is_away:
        return "resident"
    return "streamed" if flows else "swapped"
