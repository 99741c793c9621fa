"""The table is whole, and says what the libraries' own texts say where those are NVIDIA's."""

import pytest

from cosmos_handler.artifacts import negative_prompts
from cosmos_handler.artifacts.defaults import GENERATION, generation_defaults, given, usual_guidance


@pytest.mark.parametrize("key", GENERATION, ids=str)
def test_every_row_has_a_size_of_its_own(key: tuple[str, str]) -> None:
    row = GENERATION[key]  # type: ignore[index]
    assert row.size in row.sizes[row.resolution].values()
    for tier in row.sizes.values():
        for size in tier.values():
            assert size.height % 16 == 0
            assert size.width % 16 == 0


def test_predict_2_5_as_nvidias_command_line_has_it() -> None:
    row = generation_defaults("predict2.5", "image2world")
    assert (row.num_frames, row.num_steps, row.guidance, row.seed, row.fps) == (77, 35, 7.0, 0, 16.0)
    assert (row.size.height, row.size.width) == (704, 1280)


@pytest.mark.model
def test_the_negative_prompt_is_the_pipelines_own() -> None:
    from diffusers.pipelines.cosmos.pipeline_cosmos2_5_predict import DEFAULT_NEGATIVE_PROMPT

    assert DEFAULT_NEGATIVE_PROMPT == negative_prompts.PREDICT


@pytest.mark.parametrize(("guidance", "usual"), [(7.0, 8.0), (1.5, 2.5), (1.0, 1.0), (0.0, 1.0)])
def test_predict_2_5_adds_its_guidance_to_the_conditional(guidance: float, usual: float) -> None:
    assert usual_guidance("predict2.5", guidance) == usual


def test_zero_is_a_thing_to_say() -> None:
    assert given(0, 7) == 0
    assert given(None, 7) == 7


def test_transfer_2_5_as_nvidias_command_line_has_it() -> None:
    row = generation_defaults("transfer2.5", "transfer")
    assert (row.seed, row.guidance, row.num_steps, row.chunk_size, row.chunk_overlap) == (2025, 3.0, 35, 93, 1)
    assert (row.sizes["720"]["4,3"].height, row.sizes["720"]["4,3"].width) == (704, 960)
    assert (row.sizes["480"]["9,16"].height, row.sizes["480"]["9,16"].width) == (768, 432)


@pytest.mark.model
def test_transfer_s_negative_prompt_is_nvidias_and_not_the_pipeline_s() -> None:
    from diffusers.pipelines.cosmos.pipeline_cosmos2_5_transfer import DEFAULT_NEGATIVE_PROMPT

    assert DEFAULT_NEGATIVE_PROMPT == negative_prompts.PREDICT
    assert generation_defaults("transfer2.5", "transfer").negative_prompt.startswith("The video captures a game")


@pytest.mark.parametrize(("guidance", "usual"), [(1.8, 2.8), (0.5, 1.5), (0.0, 1.0)])
def test_the_decoder_of_tokens_adds_every_guidance(guidance: float, usual: float) -> None:
    assert usual_guidance("autoregressive", guidance) == pytest.approx(usual)
