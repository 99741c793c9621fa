"""The network answers as NVIDIA's does, to float32 rounding, read at once and step by step with the cache."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.families.autoregressive import tiny

pytestmark = pytest.mark.model

CASES = sorted(tiny.CASES)
TOLERANCE = 1e-5  # scores are about 1 in size; NVIDIA's own two ways to the same scores differ by 2e-6

Network = Callable[[str], Any]
Reference = Mapping[str, NDArray[Any]]


def empty_cache(model: Any, batch: int = 1, dtype: str = "float32") -> Any:
    import torch

    from cosmos_handler.families.autoregressive.cache import Cache

    text_tokens = tiny.TEXT_SHAPE[0] if model.config.reads_text else 0
    return Cache.of(
        model.config, batch, device=torch.device("cpu"), dtype=getattr(torch, dtype), text_tokens=text_tokens
    )


def inputs(model: Any) -> tuple[Any, Any]:
    import torch

    reads_text = model.config.reads_text
    return torch.from_numpy(tiny.tokens(reads_text=reads_text)), torch.from_numpy(tiny.text()) if reads_text else None


@pytest.mark.parametrize("case", CASES)
def test_a_whole_video_read_at_once(network: Network, reference: Reference, case: str) -> None:
    model = network(case)
    tokens, text = inputs(model)
    scores = model(tokens, empty_cache(model), text=text)
    assert np.abs(scores[0].numpy() - reference[case]).max() < TOLERANCE


@pytest.mark.parametrize("case", CASES)
def test_a_begin_read_at_once_and_the_rest_step_by_step(network: Network, reference: Reference, case: str) -> None:
    import torch

    model = network(case)
    tokens, text = inputs(model)
    cache, read = empty_cache(model), tiny.READ_TOKENS
    scores = [model(tokens[:, :read], cache, text=text)[0]]
    for position in range(read, tokens.shape[1]):
        scores.append(model(tokens[:, [position]], cache, torch.tensor([position]))[0])
    assert np.abs(torch.cat(scores).numpy() - reference[case]).max() < TOLERANCE


def test_the_four_cases_differ_by_far_more_than_the_tolerance(reference: Reference) -> None:
    assert np.abs(reference["plain"] - reference["yarn"]).max() > 100 * TOLERANCE
    assert np.abs(reference["text"] - reference["text_yarn"]).max() > 100 * TOLERANCE
    assert np.abs(reference["plain"] - reference["text"][1:]).max() > 100 * TOLERANCE


@pytest.mark.parametrize("case", ["plain", "text_yarn"])
def test_rows_at_different_positions_go_on_side_by_side(network: Network, reference: Reference, case: str) -> None:
    import torch

    model = network(case)
    tokens, text = inputs(model)
    cache, given = empty_cache(model, batch=2), (7, 15)
    for row, count in enumerate(given):
        model(tokens[:, :count], cache.row(row), text=text)
    for step in range(5):
        positions = torch.tensor(given) + step
        # Only as much of the cache as the longer one needs.
        scores = model(tokens[0, positions][:, None], cache.first(given[1] + step + 1), positions)
        assert np.abs(scores[:, 0].numpy() - reference[case][positions.numpy()]).max() < TOLERANCE


@pytest.mark.parametrize("case", CASES)
def test_the_last_scores_alone(network: Network, case: str) -> None:
    model = network(case)
    tokens, text = inputs(model)
    whole = model(tokens, empty_cache(model), text=text)
    last = model(tokens, empty_cache(model), text=text, logits_to_keep=1)
    assert last.shape == (1, 1, 64)
    assert np.abs((whole[:, -1:] - last).numpy()).max() < TOLERANCE


def test_in_bfloat16_it_says_nearly_the_same(network: Network, reference: Reference) -> None:
    import torch

    model = network("text_yarn").to(torch.bfloat16)
    tokens, text = inputs(model)
    scores = model(tokens, empty_cache(model, dtype="bfloat16"), text=text)
    assert scores.dtype == torch.bfloat16
    assert np.corrcoef(scores[0].float().numpy().ravel(), reference["text_yarn"].ravel())[0, 1] > 0.999


@pytest.mark.parametrize("stretched", [False, True])
def test_the_frequencies_of_the_published_models(reference: Reference, stretched: bool) -> None:
    from cosmos_handler.artifacts.native.autoregressive import PUBLISHED
    from cosmos_handler.families.autoregressive.config import CosmosAutoregressiveConfig
    from cosmos_handler.families.autoregressive.places import frequencies

    temporal, spatial = frequencies(CosmosAutoregressiveConfig(**PUBLISHED["12B" if stretched else "4B"]))
    name = "frequencies_yarn" if stretched else "frequencies"
    assert np.allclose(temporal.numpy(), reference[f"{name}_time"], rtol=1e-6, atol=0)
    assert np.allclose(spatial.numpy(), reference[f"{name}_space"], rtol=1e-6, atol=0)


def test_text_at_a_wrong_time_is_refused(network: Network) -> None:
    import torch

    plain, reader = network("plain"), network("text")
    tokens, text = inputs(reader)
    for model, given in ((plain, text), (reader, None)):
        with pytest.raises(ValueError, match="text comes with the first tokens"):
            model(tokens[:, 1:], empty_cache(model), text=given)
    cache = empty_cache(reader)
    reader(tokens[:, :4], cache, text=text)
    with pytest.raises(ValueError, match="text comes with the first tokens"):
        reader(tokens[:, [4]], cache, torch.tensor([4]), text=text)


@pytest.mark.parametrize("case", CASES)
def test_it_is_saved_and_loaded_as_any_model_of_transformers(network: Network, tmp_path: Any, case: str) -> None:
    import torch

    model = network(case).to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    again, report = type(model).from_pretrained(
        tmp_path, dtype=torch.bfloat16, use_safetensors=True, local_files_only=True, output_loading_info=True
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert (tmp_path / "model.safetensors").is_file()
    tokens, text = inputs(model)
    first, second = (each(tokens, empty_cache(each, dtype="bfloat16"), text=text) for each in (model, again))
    assert torch.equal(first, second)
    assert (again.config.yarn, again.config.latent_shape) == (model.config.yarn, model.config.latent_shape)


def test_the_published_sizes() -> None:
    from accelerate import init_empty_weights

    from cosmos_handler.artifacts.native.autoregressive import PUBLISHED
    from cosmos_handler.families.autoregressive.network import CosmosAutoregressive

    counts = {}
    for name, published in PUBLISHED.items():
        with init_empty_weights():
            model = CosmosAutoregressive.from_config(published)
        rounded = round(sum(weight.numel() for weight in model.parameters()) / 1e9, 2)
        counts[name] = (rounded, model.config.num_tokens, model.config.num_slots, model.config.begin_tokens)
    assert counts == {
        "4B": (4.01, 12800, 12800, ()),
        "5B-Video2World": (4.58, 12801, 12864, (64000,)),
        "12B": (11.56, 12800, 12800, ()),
        "13B-Video2World": (13.32, 12801, 12864, (64000,)),
    }


def test_a_step_is_one_graph_that_serves_every_position(network: Network) -> None:
    import torch

    model = network("text_yarn")
    graphs = []

    def keep(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(model, backend=keep, fullgraph=True, dynamic=False)
    tokens, positions, cache = torch.tensor([[3], [4]]), torch.tensor([5, 9]), empty_cache(model, batch=2)
    for step in range(3):
        assert compiled(tokens, cache, positions + step).equal(model(tokens, cache, positions + step))
    assert len(graphs) == 1


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("queries_each", [1, 3])
def test_both_ways_to_look_see_the_same(*, masked: bool, queries_each: int) -> None:
    import torch

    from cosmos_handler.families.autoregressive import network as module

    drawing = torch.Generator().manual_seed(0)
    queries = torch.randn(2, 6, queries_each, 8, generator=drawing)
    room = torch.randn(2, 2, 2, 20, 8, generator=drawing)
    keys, values = room[..., :12, :]  # the first slots of a cache, which are not beside one another in memory
    mask = module.mask_of(torch.tensor([4, 11]), 12, torch.float32) if masked else None
    by_groups = module.look_by_groups(queries, keys, values, mask)
    by_heads = module.look_by_heads(queries, keys, values, mask)
    assert by_heads.shape == queries.shape
    assert (by_groups - by_heads).abs().max() < 1e-6
    seen = 5 if masked else 12
    scores = queries[0, 4] @ keys[0, 1, :seen].T / 8**0.5  # the fifth head of queries looks at the second of keys
    assert (by_heads[0, 4] - scores.softmax(-1) @ values[0, 1, :seen]).abs().max() < 1e-6
