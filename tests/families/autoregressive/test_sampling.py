"""Sampling: NVIDIA's chances, a generator for each request, and nothing that waits for the device."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

pytestmark = pytest.mark.model

Reference = Mapping[str, NDArray[Any]]


def column(*values: float) -> Any:
    import torch

    return torch.tensor(values)[:, None]


def sampler(*samplings: tuple[float, float, int], vocabulary: int = 64) -> Any:
    import torch

    from cosmos_handler.families.autoregressive.sampling import Sampler, Sampling

    return Sampler([Sampling(*each) for each in samplings], vocabulary=vocabulary, device=torch.device("cpu"))


def test_the_chances_are_nvidia_s(reference: Reference) -> None:
    import torch

    from cosmos_handler.families.autoregressive.sampling import chances

    ordered, codes = chances(torch.from_numpy(reference["plain"]), column(0.7), column(0.8))
    by_code = torch.zeros_like(ordered).scatter_(-1, codes, ordered)
    assert np.abs(by_code.numpy() - reference["chances"]).max() < 1e-6
    assert ((by_code > 0).numpy() == (reference["chances"] > 0)).all()


def test_the_same_seed_draws_what_nvidia_s_does(reference: Reference) -> None:
    import torch

    scores = torch.from_numpy(reference["plain"])
    drawn = [sampler((0.7, 0.8, seed)).draw(scores[[seed]]).item() for seed in range(24)]
    assert drawn == reference["drawn"].tolist()


def test_each_request_has_its_own_temperature_top_p_and_generator(reference: Reference) -> None:
    import torch

    scores = torch.from_numpy(reference["plain"])[[3, 5, 7]]
    asked = [(0.0, 1.0, 1), (0.7, 0.8, 5), (2.0, 1.0, 7)]
    together = sampler(*asked)
    alone = [sampler(one) for one in asked]
    for _ in range(5):
        apart = torch.cat([each.draw(scores[[row]]) for row, each in enumerate(alone)])
        assert together.draw(scores).equal(apart)


def test_temperature_zero_takes_the_likeliest(reference: Reference) -> None:
    import torch

    scores = torch.from_numpy(reference["plain"])
    drawn = sampler(*[(0.0, 1.0, seed) for seed in range(24)]).draw(scores)
    assert drawn.equal(scores.argmax(-1))
    tied = torch.tensor([[1.0, 3.0, 3.0, 2.0]]).expand(24, 4)
    assert len(set(sampler(*[(0.0, 1.0, seed) for seed in range(24)], vocabulary=4).draw(tied).tolist())) == 1


@pytest.mark.parametrize(("top_p", "possible"), [(0.55, {0}), (0.65, {0, 1}), (0.9, {0, 1, 2}), (1.0, {0, 1, 2, 3})])
def test_as_often_as_the_chances_say(top_p: float, possible: set[int]) -> None:
    import torch

    chances = torch.tensor([0.6, 0.2, 0.15, 0.05])
    drawing = sampler((1.0, top_p, 11), vocabulary=4)
    counts = np.bincount([drawing.draw(chances.log()[None]).item() for _ in range(4000)], minlength=4)
    expected = np.array([chances[code].item() if code in possible else 0.0 for code in range(4)])
    assert set(np.flatnonzero(counts)) == possible
    assert np.abs(counts / 4000 - expected / expected.sum()).max() < 0.03


# Peaked and flat ones, those of bfloat16 of which many are equal, both zeros, and what has no end.
_SCORES = st.one_of(
    st.floats(-30, 30, width=32), st.sampled_from([0.0, -0.0, 1.0, -1.0, float("inf"), -float("inf"), 1e-42, -1e-42])
)


@settings(max_examples=60, deadline=None)
@given(scores=arrays(np.float32, (2, 33), elements=_SCORES))
def test_the_order_on_the_host_is_that_of_any_device(scores: NDArray[np.float32]) -> None:
    import torch

    from cosmos_handler.families.autoregressive.sampling import descending, descending_on_host

    expected = descending(torch.from_numpy(scores))
    found = descending_on_host(torch.from_numpy(scores))
    assert found.dtype == torch.int64
    assert found.equal(expected)


@pytest.mark.parametrize("spread", [0.0, 0.1, 1.0, 20.0])
@pytest.mark.parametrize("rounded", [False, True])
def test_a_whole_vocabulary_is_drawn_from_as_over_a_sorted_row(spread: float, rounded: bool) -> None:
    import torch

    scores = torch.randn(2, 64000, generator=torch.Generator().manual_seed(0)) * spread
    scores = scores.bfloat16() if rounded else scores
    asked = [(1.0, 0.8, 3), (0.7, 0.95, 4)]
    drawn = sampler(*asked, vocabulary=64000).draw(scores)
    for row, (temperature, top_p, seed) in enumerate(asked):
        ordered, codes = (scores[row].float() / temperature).sort(descending=True, stable=True)
        chances = ordered.softmax(-1)
        chances[chances.cumsum(-1) - chances > top_p] = 0
        place = torch.multinomial(chances / chances.sum(), 1, generator=torch.Generator().manual_seed(seed))
        assert drawn[row] == codes[place]
