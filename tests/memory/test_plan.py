"""The plan is arithmetic: what fits is placed, what does not is refused with the table."""

from dataclasses import replace

import pytest

from cosmos_handler.artifacts.checkpoint import Checkpoint, Part
from cosmos_handler.errors import DoesNotFit
from cosmos_handler.memory.plan import make_plan
from tests.fakes import PREDICT, REASON

GIB = 2**30


def sized(checkpoint: Checkpoint, **gib: float) -> Checkpoint:
    parts = tuple(Part(name, name, (), int(size * GIB), "bfloat16") for name, size in gib.items())
    return replace(checkpoint, parts=parts)


PREDICT_2B = sized(PREDICT, text_encoder=15.5, transformer=3.8, tokenizer=0.24)
REASON_2B = sized(REASON, model=4.0)


@pytest.mark.parametrize(("card_gib", "fits"), [(24, True), (21.8, True), (21.6, False), (16, False)])
def test_predict_2b_needs_its_weights_and_a_tenth_more(card_gib: float, fits: bool) -> None:
    budget_bytes = int(card_gib * GIB)
    if fits:
        plan = make_plan([PREDICT_2B], budget_bytes=budget_bytes)
        assert plan.of("predict") == {"text_encoder": "resident", "transformer": "resident", "tokenizer": "resident"}
    else:
        with pytest.raises(DoesNotFit, match=r"text_encoder\s+15.50"):
            make_plan([PREDICT_2B], budget_bytes=budget_bytes)


def test_models_share_the_device() -> None:
    with pytest.raises(DoesNotFit, match="reason"):
        make_plan([PREDICT_2B, REASON_2B], budget_bytes=24 * GIB)
    plan = make_plan([PREDICT_2B, REASON_2B], budget_bytes=32 * GIB)
    assert plan.of("reason") == {"model": "resident"}
    assert "23.54 GiB of weights" in plan.table()
