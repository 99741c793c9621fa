"""The table of models: whole, and the same wherever it is shown."""

import json

import pytest

from cosmos_handler.artifacts.defaults import GENERATION
from cosmos_handler.artifacts.published import PUBLISHED, Published
from cosmos_handler.artifacts.reasoning_defaults import REASONING
from scripts import models
from tests.conftest import ROOT


def test_every_row_of_the_defaults_belongs_to_a_published_model() -> None:
    shown = {(model.family, task) for model in PUBLISHED for task in model.tasks}
    assert shown == set(GENERATION) | {(family, "reasoner") for family in REASONING}
    assert {task for _, task in shown} == set(models.INPUTS)


def test_a_reader_finds_one_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert models.main(["predict2.5-2b"]) == 0
    shown = capsys.readouterr().out
    assert "nvidia/Cosmos-Predict2.5-2B" in shown
    assert "14B" not in shown
    assert "num_frames           77" in shown
    assert "16,9 704x1280" in shown


def test_json_holds_the_negative_prompts_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert models.main(["--json", "Transfer2.5"]) == 0
    (model,) = json.loads(capsys.readouterr().out)
    assert model["tasks"] == ["transfer"]
    row = model["defaults"]["transfer"]
    assert row["negative_prompt"] == GENERATION["transfer2.5", "transfer"].negative_prompt
    assert (row["seed"], row["guidance"], row["num_steps"]) == (2025, 3, 35)


def test_a_name_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert models.main(["Cosmos-Nonsense"]) == 1
    assert "Cosmos-Nonsense" in capsys.readouterr().err


def test_the_readme_shows_the_table() -> None:
    assert models.markdown(PUBLISHED) in (ROOT / "README.md").read_text()


def test_how_tokens_are_drawn_is_told_of_each_size() -> None:
    sizes = {"4B": 0.8, "5B-Video2World": 0.7, "12B": 0.9, "13B-Video2World": 0.8}
    for size, top_p in sizes.items():
        name = f"nvidia/Cosmos-1.0-Autoregressive-{size}"
        model = Published(name, "autoregressive", ("image2world", "video2world"), 80, "")
        defaults = models._record(model)["defaults"]["video2world"]
        assert (defaults["temperature"], defaults["top_p"]) == (1.0, top_p)
        assert f"top_p                {top_p}" in models._text(model)
