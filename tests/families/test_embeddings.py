"""Text embeddings are kept: the same as before to the bit, up to so many bytes, and the encoder rests."""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import make_tiny
from tests.families.test_transfer import transfer
from tests.families.test_vae import Parts, context_with

pytestmark = pytest.mark.model


class Modules(Parts):
    """The parts themselves besides."""

    def __init__(self, modules: dict[str, Any]) -> None:
        super().__init__()
        self._modules = modules

    def __getitem__(self, name: str) -> Any:
        return self._modules[name]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Modules]:
    """diffusers' pipeline around loaded parts, and the parts."""
    from diffusers import Cosmos2_5_PredictBasePipeline

    from cosmos_handler.artifacts.detect import detect
    from cosmos_handler.families.pipeline import PARTS, pipeline_over
    from cosmos_handler.memory.components import load_part

    folder: Path = make_tiny("predict2.5", tmp_path_factory.mktemp("models") / "predict2.5")
    checkpoint = detect(folder, name="predict")
    parts: Any = Modules({part.name: load_part(checkpoint, part, PARTS[part.name]) for part in checkpoint.parts})
    return pipeline_over(Cosmos2_5_PredictBasePipeline, checkpoint, parts), parts


def embed(loaded: tuple[Any, Modules], cache: Any, *, model: str = "predict", **changes: Any) -> tuple[Any, list[str]]:
    """A task's embeddings, and the stages they took."""
    import torch

    from cosmos_handler.families.pipeline import prompt_embeddings

    pipeline, parts = loaded
    told: list[tuple[str, int, int]] = []
    context = context_with(parts, told)
    context.text_cache = cache
    with torch.no_grad():
        made = prompt_embeddings(pipeline, transfer(**changes), context, model=model)
    return made, [stage for stage, _, _ in told]


def same(made: dict[str, Any], expected: dict[str, Any]) -> bool:
    import torch

    return made.keys() == expected.keys() and all(
        torch.equal(made[name], expected[name]) if expected[name] is not None else made[name] is None
        for name in expected
    )


@pytest.mark.parametrize(
    "changes",
    [{}, {"guidance": 1.0}, {"negative_prompt": None}, {"negative_prompt": "a robot"}, {"negative_prompt": ""}],
)
def test_the_same_with_and_without_a_cache_as_by_the_pipeline(
    loaded: tuple[Any, Modules], monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    import torch

    from cosmos_handler.families.embeddings import TextCache

    pipeline, _ = loaded
    task = transfer(**changes)
    with torch.no_grad():
        prompt, negative = pipeline.encode_prompt(task.prompt, task.negative_prompt, task.guidance > 1.0)
    expected = {"prompt_embeds": prompt, "negative_prompt_embeds": negative}
    made, stages = embed(loaded, None, **changes)
    assert same(made, expected)
    assert stages == ["encode_text"]
    cache = TextCache(10**8)
    made, stages = embed(loaded, cache, **changes)
    assert same(made, expected)
    assert stages == ["encode_text"]
    monkeypatch.setattr(pipeline.text_encoder, "forward", lambda *a, **k: pytest.fail("the encoder was asked again"))
    made, stages = embed(loaded, cache, **changes)
    assert same(made, expected)
    assert stages == []


def test_only_what_is_missing_is_encoded(loaded: tuple[Any, Modules], monkeypatch: pytest.MonkeyPatch) -> None:
    from cosmos_handler.families.embeddings import TextCache

    pipeline, _ = loaded
    calls: list[int] = []
    forward = pipeline.text_encoder.forward

    def counted(tokens: Any, **options: Any) -> Any:
        calls.append(len(tokens))
        return forward(tokens, **options)

    monkeypatch.setattr(pipeline.text_encoder, "forward", counted)
    cache = TextCache(10**8)
    counts = []
    for changes in (
        {"prompt": "a robot"},  # both
        {"prompt": "a robot"},  # none
        {"prompt": "a cat"},  # the prompt
        {"prompt": "a cat", "negative_prompt": "bright"},  # the other
        {"prompt": "a cat", "negative_prompt": "bright", "model": "other"},  # another model's encoder: both
        {"prompt": "bright", "negative_prompt": "a cat"},  # told from each other: both
    ):
        calls.clear()
        first, stages = embed(loaded, cache, **changes)
        counts.append(sum(calls))
        assert bool(stages) == bool(calls)
        assert same(first, embed(loaded, None, **changes)[0])
    assert counts == [2, 0, 1, 1, 2, 2]


def tensor(value: int, count: int = 10) -> Any:
    import torch

    return torch.full((1, count), value, dtype=torch.bfloat16)


def test_never_more_bytes_than_allowed_and_the_latest_stay() -> None:
    import torch

    from cosmos_handler.families.embeddings import TextCache, TextKey

    cpu = torch.device("cpu")
    keys = [TextKey("model", "prompt", str(number)) for number in range(6)]
    cache = TextCache(65)  # three of twenty bytes
    for number, key in enumerate(keys[:3]):
        cache.put(key, tensor(number))
    assert cache.size_bytes == 60
    assert cache.get(keys[0], cpu) is not None  # so that the second was used longest ago
    cache.put(keys[3], tensor(3))
    assert [cache.get(key, cpu) is not None for key in keys[:4]] == [True, False, True, True]
    cache.put(keys[4], tensor(4, 33))  # 66 bytes
    assert cache.get(keys[4], cpu) is None
    assert cache.size_bytes == 60
    cache.put(keys[5], tensor(5, 25))  # 50 bytes: in place of all
    assert [cache.get(key, cpu) is not None for key in keys] == [False] * 5 + [True]
    cache.put(keys[5], tensor(6, 5))
    assert cache.size_bytes == 10
    nothing = TextCache(0)
    nothing.put(keys[0], tensor(1))
    assert nothing.get(keys[0], cpu) is None


def test_what_is_kept_is_nobody_elses() -> None:
    import torch

    from cosmos_handler.families.embeddings import TextCache, TextKey

    cache, key = TextCache(1000), TextKey("model", "prompt", "a robot")
    large = torch.arange(1000.0)
    cache.put(key, large[:10])
    large.zero_()
    kept = cache.get(key, torch.device("cpu"))
    assert kept is not None
    assert torch.equal(kept, torch.arange(10.0))
    assert kept.untyped_storage().nbytes() == 40  # and not of all that it was cut from
    kept.zero_()
    assert (cache.get(key, torch.device("cpu")) == torch.arange(10.0)).all()  # type: ignore[union-attr]


def test_adapters_change_no_text_encoder() -> None:
    from diffusers import Cosmos2_5_PredictBasePipeline

    assert Cosmos2_5_PredictBasePipeline._lora_loadable_modules == ["transformer"]
