"""Whole videos: what was given is kept, and what a request gets does not hang on what is made beside it."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.families.autoregressive import tiny

pytestmark = pytest.mark.model

Network = Callable[[str], Any]


def request(frames: int, *, seed: int = 0, temperature: float = 1.0, top_p: float = 0.9, text: bool = False) -> Any:
    import torch

    from cosmos_handler.families.autoregressive.generation import Request
    from cosmos_handler.families.autoregressive.sampling import Sampling

    codes = torch.from_numpy(tiny.tokens(reads_text=False)).view(2, 3, 4)
    embeddings = torch.from_numpy(tiny.text())[0] if text else None
    if frames > 2:
        codes = codes.repeat(2, 1, 1)
    return Request(codes[:frames], Sampling(temperature, top_p, seed), embeddings)


def long_network(network: Network, case: str) -> Any:
    """The same weights for videos of four frames instead of two."""
    from cosmos_handler.families.autoregressive.network import CosmosAutoregressive

    model = network(case)
    longer = CosmosAutoregressive.from_config({**tiny.config(case), "latent_shape": [4, 3, 4]}).eval()
    longer.load_state_dict(model.state_dict())
    return longer


def generate(model: Any, *requests: Any, told: list[tuple[int, int]] | None = None, **options: Any) -> Any:
    from cosmos_handler.families.autoregressive.generation import generate as run

    steps: list[tuple[int, int]] = [] if told is None else told
    return run(model, requests, on_step=lambda step, count: steps.append((step, count)), **options)


@pytest.mark.parametrize("case", ["plain", "text_yarn"])
def test_what_was_given_is_kept_and_the_likeliest_follows(network: Network, case: str) -> None:
    import torch

    from tests.families.autoregressive.test_network import empty_cache, inputs

    model, told = network(case), []
    asked = request(1, temperature=0.0, text=model.config.reads_text)
    codes = generate(model, asked, told=told)
    assert (codes.shape, codes.dtype) == ((1, 2, 3, 4), torch.int64)
    assert codes[0, :1].equal(asked.codes)
    assert told == [(step, 12) for step in range(1, 13)]
    # All of it read at once says the same of every step.
    begin = torch.tensor([model.config.begin_tokens], dtype=torch.int64).view(1, -1)
    tokens = torch.cat([begin, codes.flatten(1)], dim=1)
    likeliest = model(tokens, empty_cache(model), text=inputs(model)[1])[0].argmax(-1)
    assert codes.flatten()[12:].equal(likeliest[len(begin[0]) + 11 : -1])


@pytest.mark.parametrize("case", ["yarn", "text"])
def test_in_a_batch_each_is_as_it_is_alone(network: Network, case: str) -> None:
    model = long_network(network, case)
    text = model.config.reads_text
    asked = [
        request(2, seed=3, text=text),
        request(1, seed=4, temperature=1.4, top_p=1.0, text=text),
        request(3, seed=3, temperature=0.7, text=text),
        request(1, temperature=0.0, text=text),
    ]
    told: list[tuple[int, int]] = []
    together = generate(model, *asked, told=told)
    assert told[-1] == (36, 36)  # of the one that has the most to make
    for number, one in enumerate(asked):
        assert together[number].equal(generate(model, one)[0])


@pytest.mark.parametrize("case", ["yarn", "text"])
@pytest.mark.parametrize("sight", [1024, 5])
def test_fewer_frames_are_the_begin_of_the_whole(
    network: Network, case: str, sight: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cosmos_handler.families.autoregressive import generation
    from cosmos_handler.families.autoregressive.cache import Cache

    rooms: list[int] = []
    whole_cache = Cache.of

    def seen(*given: Any, **named: Any) -> Any:
        cache = whole_cache(*given, **named)
        rooms.append(cache.keys.shape[3])
        return cache

    monkeypatch.setattr(generation, "_SIGHT_SLOTS", sight)
    monkeypatch.setattr(Cache, "of", seen)
    model, told = long_network(network, case), []
    text = model.config.reads_text
    asked = [request(1, seed=3, text=text), request(2, seed=4, temperature=1.4, text=text)]
    whole = generate(model, *asked)
    begin = generate(model, *asked, latent_frames=3, told=told)
    assert begin.shape == (2, 3, 3, 4)
    assert begin.equal(whole[:, :3])
    assert told == [(step, 24) for step in range(1, 25)]  # two frames, for the one to which one was given
    # 36 tokens, or 37 with the one for the begin, in sights of 5; and never more than a whole video takes.
    assert rooms == ([64, 64] if sight == 1024 else [50, 40])


@pytest.mark.parametrize(("given", "frames"), [(2, 2), (1, 1), (1, 0), (1, 3)])
def test_no_more_frames_than_given_or_more_than_a_whole_video_are_refused(
    network: Network, given: int, frames: int
) -> None:
    with pytest.raises(ValueError, match=r"latent_frames is|codes are"):
        generate(network("plain"), request(given), latent_frames=frames)


def test_the_seed_decides(network: Network) -> None:
    model = network("plain")
    first, again, other = (generate(model, request(1, seed=seed, top_p=1.0)) for seed in (5, 5, 6))
    assert first.equal(again)
    assert not first.equal(other)


def test_the_rest_of_torch_draws_as_if_nothing_had_been(network: Network) -> None:
    import torch

    model = network("plain")
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    generate(model, request(1))
    assert torch.rand(3).equal(expected)


def test_what_a_step_raises_ends_it(network: Network) -> None:
    from cosmos_handler.families.autoregressive.generation import generate as run

    class Cancelled(Exception):
        pass

    told = []

    def on_step(step: int, _: int) -> None:
        told.append(step)
        if step == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        run(network("plain"), [request(1)], on_step=on_step)
    assert told == [1, 2, 3]


def test_no_step_brings_a_number_to_the_host(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from cosmos_handler.families.autoregressive import sampling

    def refuse(*_: Any) -> None:
        raise AssertionError("a step waits for the device")

    monkeypatch.setattr(sampling, "descending_on_host", sampling.descending)

    asked = [request(1, seed=1), request(1, temperature=0.0)]
    for way in ("item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__"):
        monkeypatch.setattr(torch.Tensor, way, refuse)
    generate(network("plain"), *asked)


@pytest.mark.parametrize(
    ("case", "frames", "text", "problem"),
    [
        ("plain", 2, False, "codes are \\[2, 3, 4\\], not 1 to 1 frames of \\[3, 4\\]"),
        ("plain", 0, False, "codes are \\[0, 3, 4\\]"),
        ("plain", 1, True, "this model reads none"),
        ("text", 1, False, "this model reads one for each request"),
    ],
)
def test_what_is_no_begin_is_refused(network: Network, case: str, frames: int, text: bool, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        generate(network(case), request(frames, text=text))


def test_texts_of_several_lengths_are_refused(network: Network) -> None:
    from dataclasses import replace

    one = request(1, text=True)
    other = replace(one, text=one.text[:3])
    with pytest.raises(ValueError, match="all of one length"):
        generate(network("text"), one, other)
