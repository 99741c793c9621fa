"""The public models: their published sizes, and stages for each of them."""

import pytest

from cosmos_handler.artifacts.published import PUBLISHED
from cosmos_handler.memory.catalogue import CatalogueModel, catalogue_models, guardrails_of_catalogue
from cosmos_handler.memory.sheet import GROUPS, Work


def test_every_published_model_that_is_served_is_in_it() -> None:
    known = {model.hub_id: model.family for model in catalogue_models().values() if model.served}
    for published in PUBLISHED:
        assert known[published.hub_id] == published.family


@pytest.mark.parametrize(
    ("name", "part", "billions"),
    [
        ("Cosmos-Predict1-7B-Text2World", "transformer", 7.236),
        ("Cosmos-Predict1-14B-Text2World", "transformer", 14.27),
        ("Cosmos-Predict2-2B-Video2World", "transformer", 1.956),
        ("Cosmos-Predict2.5-2B", "transformer", 2.059),
        ("Cosmos-Predict2-14B-Video2World", "transformer", 14.265),
        ("Cosmos-Reason1-7B", "model", 8.292),
        ("Cosmos3-Nano", "transformer", 15.16),
        ("Cosmos3-Super", "transformer", 64.0),
        ("Cosmos-Predict2-2B-Video2World", "text_encoder", 4.865),
        ("Cosmos-Predict1-4B", "ar_model", 4.014),
        ("Cosmos-Predict1-5B-Video2World", "ar_model", 4.587),
        ("Cosmos-Predict1-12B", "ar_model", 11.56),
        ("Cosmos-Predict1-13B-Video2World", "ar_model", 13.325),
        ("Cosmos-Predict1-4B", "diffusion_decoder", 7.236),
    ],
)
def test_sizes_are_the_published_ones(name: str, part: str, billions: float) -> None:
    found = next(each for each in catalogue_models()[name].parts if each.name == part)
    assert found.size_bytes / 2 / 1e9 == pytest.approx(billions, rel=0.001)


def test_all_of_a_part_is_in_its_blocks_or_beside_them() -> None:
    for model in catalogue_models().values():
        for part in (*model.parts, *guardrails_of_catalogue().parts):
            assert part.rest_bytes + part.num_blocks * part.block_bytes >= part.size_bytes, part.name
            assert part.rest_bytes <= part.size_bytes


@pytest.mark.parametrize("model", catalogue_models().values(), ids=str)
def test_every_model_has_stages_over_its_own_parts(model: CatalogueModel) -> None:
    sheets = {sheet.key: sheet for sheet in model.part_sheets()}
    assert {sheet.group for sheet in sheets.values()} <= set(GROUPS)
    stages = model.stages()
    used = {key for stage in stages for key in stage.parts}
    assert used <= sheets.keys()
    assert {key for key, sheet in sheets.items() if sheet.group in ("transformer", "tokenizer")} - used <= {
        f"{model.name}/{name}" for name in ("vision_encoder", "control_vis", "control_depth", "control_seg")
    }
    for stage in stages:
        assert stage.working_bytes > 0
        assert stage.work != Work()


@pytest.mark.model
def test_the_file_is_what_the_script_makes() -> None:
    from scripts.catalogue import main

    assert main(["--check"]) == 0
