"""The diffusion decoder answers as NVIDIA's does, to float32 rounding, from tokens to pixels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytestmark = pytest.mark.model

TOLERANCE = 1e-4  # predictions and latents are up to 5 in size, pixels up to 2

Reference = Mapping[str, NDArray[Any]]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return dict(np.load(Path(__file__).with_name("diffusion_decoder.npz")))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tiny network in float32, loaded as NVIDIA's names say what goes where."""
    import torch

    from cosmos_handler.artifacts.inspection import Inspection
    from cosmos_handler.artifacts.native.diffusion_decoder import examine_diffusion_decoder
    from cosmos_handler.families.autoregressive.diffusion_decoder import DiffusionDecoder
    from cosmos_handler.memory.components import PartClass, load_part
    from scripts.tiny import diffusion_decoder

    folder = tmp_path_factory.mktemp("decoder")
    torch.save(diffusion_decoder.tensors("tiny", seed=0), folder / "model.pt")
    look = Inspection(folder)
    part = examine_diffusion_decoder(look, "model.pt")
    assert part is not None, look.faults
    checkpoint: Any = _Located(str(folder))
    return load_part(checkpoint, part, PartClass(DiffusionDecoder.__module__, DiffusionDecoder.__name__))


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from diffusers import AutoencoderKLCosmos

    from cosmos_handler.artifacts.native.statistics import Statistics
    from scripts.tiny.decoder_tokenizer import DECODER_LIST, ENCODER_LIST, architecture, statistics, tensors

    sheet = architecture("tiny")
    drawn = {**tensors(ENCODER_LIST, "tiny", seed=0), **tensors(DECODER_LIST, "tiny", seed=0)}
    means, deviations = (tuple(each.flatten().tolist()) for each in statistics(seed=0))
    model = AutoencoderKLCosmos(**sheet.config(Statistics(means, deviations))).eval().requires_grad_(False)
    model.load_state_dict({line.ours: drawn[line.theirs] for line in (*sheet.encoder(), *sheet.decoder())})
    return model


class _Located:
    def __init__(self, path: str) -> None:
        self.path = path


def seeded(seed: int) -> Any:
    import torch

    return torch.Generator().manual_seed(seed)


def tokens(frames: int) -> Any:
    import torch

    return torch.randint(0, 64_000, (1, frames, 2, 3), generator=seeded(frames))


def text() -> Any:
    import torch

    from scripts.tiny.diffusion_decoder import text_shape

    return torch.randn(text_shape(), generator=seeded(2))


@pytest.fixture(scope="module")
def latents(network: Any) -> Mapping[int, Any]:
    """Of 5 and of 11 frames of tokens."""
    return {frames: latents_of(network, frames) for frames in (5, 11)}


def latents_of(network: Any, frames: int, **options: Any) -> Any:
    from cosmos_handler.families.autoregressive.diffusion_decoding import denoise_tokens

    settings = {"num_steps": 3, "seed": 7, "on_step": lambda *_: None, **options}
    return denoise_tokens(network, tokens(frames), text(), **settings)


def kept(pixels: Any, every: int) -> NDArray[Any]:
    shown: NDArray[Any] = pixels[:, :, ::every, 1::6, ::6].numpy()
    return shown


def test_one_prediction(network: Any, reference: Reference) -> None:
    import torch

    noisy = torch.randn((1, 16, 8, 4, 6), generator=seeded(1))
    made = network(noisy, torch.tensor([0.7]), text(), tokens(8)).numpy()
    assert made.shape == noisy.shape
    assert np.abs(made[:, :, :, ::3] - reference["prediction"]).max() < TOLERANCE


def test_latents_of_one_window(latents: Mapping[int, Any], reference: Reference) -> None:
    made = latents[5]
    assert made.shape == (1, 16, 5, 4, 6)
    assert np.abs(made[:, ::4].numpy() - reference["latents.5"][:, :, :5]).max() < TOLERANCE


def test_latents_of_several_windows(latents: Mapping[int, Any], reference: Reference) -> None:
    made = latents[11]
    assert made.shape == (1, 16, 8 + 5, 4, 6)
    assert np.abs(made[:, ::4].numpy() - reference["latents.11"][:, :, :13]).max() < TOLERANCE


def test_pixels_of_one_window(latents: Mapping[int, Any], tokenizer: Any, reference: Reference) -> None:
    from cosmos_handler.families.autoregressive.diffusion_decoding import decoded

    pixels = decoded(tokenizer, latents[5])
    assert pixels.shape == (1, 3, 33, 32, 48)
    shown = (pixels * 0.5 + 0.5).clamp(0, 1)
    assert np.abs(kept(shown, 4) - reference["pixels.5"]).max() < TOLERANCE


def test_windows_meet_where_they_show_the_same_time(
    latents: Mapping[int, Any], tokenizer: Any, reference: Reference
) -> None:
    from cosmos_handler.families.autoregressive.diffusion_decoding import decoded

    pixels = decoded(tokenizer, latents[11])
    assert pixels.shape == (1, 3, 81, 32, 48)
    first, second = reference["windows.11"][:1], reference["windows.11"][1:]
    shown = kept(pixels, 8)  # frames 0, 8, …; the second window begins at frame 48, and they share nine frames
    expected = np.concatenate([first[:, :, :7], second[:, :, 1:5]], axis=2)
    assert np.abs(shown - expected).max() < TOLERANCE
    middle = pixels[:, :, 52, 1::6, ::6].numpy()
    assert np.abs(middle - expected[:, :, 6]).max() > 0.01
    assert np.abs(middle - expected[:, :, 7]).max() > 0.01


@pytest.mark.parametrize(
    ("frames", "order"),
    [(1, [0] * 8), (2, [0, 1, 0, 1, 0, 1, 0, 1]), (4, [0, 1, 2, 3, 2, 1, 0, 1]), (5, [0, 1, 2, 3, 4, 3, 2, 1])],
)
def test_few_frames_are_filled_up_to_and_fro(network: Any, frames: int, order: list[int]) -> None:
    import torch

    from cosmos_handler.families.autoregressive.diffusion_decoding import denoise_tokens

    filled = tokens(frames)[:, order]
    whole = denoise_tokens(network, filled, text(), num_steps=2, seed=7, on_step=lambda *_: None)
    assert torch.equal(latents_of(network, frames, num_steps=2), whole[:, :, :frames])


@pytest.mark.parametrize(("frames", "begins"), [(1, [0]), (8, [0]), (9, [0, 6]), (14, [0, 6]), (15, [0, 6, 12])])
def test_where_windows_begin(frames: int, begins: list[int]) -> None:
    from cosmos_handler.families.autoregressive.diffusion_decoding import window_begins

    assert window_begins(frames) == begins


def test_seeds_and_guidance(network: Any, latents: Mapping[int, Any]) -> None:
    import torch

    passes: list[int] = []
    hook = network.register_forward_hook(lambda *_: passes.append(1))
    try:
        unguided = latents_of(network, 5, guidance=0.0)
        assert len(passes) == 3
        assert torch.equal(latents_of(network, 5), latents[5])
        assert len(passes) == 3 + 6
    finally:
        hook.remove()
    assert not torch.allclose(unguided, latents[5], atol=0.01)
    assert not torch.allclose(latents_of(network, 5, seed=8), latents[5], atol=0.01)


def test_steps_are_counted_over_all_windows_and_may_end_it(network: Any) -> None:
    steps: list[tuple[int, int]] = []

    def heard(step: int, num_steps: int) -> None:
        steps.append((step, num_steps))
        if step == 4:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        latents_of(network, 11, on_step=heard)
    assert steps == [(1, 6), (2, 6), (3, 6), (4, 6)]


def test_in_the_type_of_the_network(network: Any, latents: Mapping[int, Any], tokenizer: Any) -> None:
    import copy

    import torch

    from cosmos_handler.families.autoregressive.diffusion_decoding import decoded

    rounded = latents_of(copy.deepcopy(network).to(torch.bfloat16), 5)
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - latents[5]).abs().mean() < 0.1
    assert decoded(tokenizer, rounded[:, :, :1]).dtype == torch.float32  # that of the tokenizer


def test_the_prompt_of_videos_without_one(tmp_path: Path) -> None:
    import torch

    from cosmos_handler.families.autoregressive.diffusion_decoding import generic_text
    from scripts.tiny import diffusion_decoder

    diffusion_decoder.write(tmp_path, seed=0, report=lambda _: None)
    found = generic_text(tmp_path / "aux_vars.pt")
    assert (found.shape, found.dtype) == (diffusion_decoder.text_shape(), torch.bfloat16)


def test_saved_and_loaded_again(network: Any, tmp_path: Path) -> None:
    import torch

    from cosmos_handler.families.autoregressive.diffusion_decoder import DiffusionDecoder

    network.save_pretrained(tmp_path)
    loaded, report = DiffusionDecoder.from_pretrained(tmp_path, use_safetensors=True, output_loading_info=True)
    assert (report["missing_keys"], report["unexpected_keys"]) == ([], [])
    assert all(torch.equal(tensor, loaded.state_dict()[key]) for key, tensor in network.state_dict().items())
    assert loaded.config["rope_scale"] == [1.0, 1.5, 1.5]
