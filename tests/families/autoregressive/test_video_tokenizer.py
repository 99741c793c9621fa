"""The discrete tokenizer answers as NVIDIA's does, to float32 rounding; its first tokens depend on no later frame."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytestmark = pytest.mark.model

FRAMES = (1, 9, 17)
TOLERANCE = 2e-5  # latents are about 3 in size, pixels about 1

Reference = Mapping[str, NDArray[Any]]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return dict(np.load(Path(__file__).with_name("video_tokenizer.npz")))


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return with_weights(mirrored=True)


def with_weights(*, mirrored: bool) -> Any:
    """The tiny tokenizer; unmirrored, with its convolution in time moved to the smallest resolution."""
    from cosmos_handler.families.autoregressive.tokenizer import VideoTokenizer
    from scripts.tiny.video_tokenizer import DECODER_LIST, ENCODER_LIST, architecture, tensors

    sheet = architecture("tiny")
    drawn = {**tensors(ENCODER_LIST, "tiny", seed=0), **tensors(DECODER_LIST, "tiny", seed=0)}
    state = {line.ours: drawn[line.theirs] for line in (*sheet.encoder(), *sheet.decoder())}
    if not mirrored:
        state = {key.replace("up_blocks.1.upsamplers.0.conv1", "up_blocks.0.upsamplers.0.conv1"): value
                 for key, value in state.items()}  # fmt: skip
    model = VideoTokenizer(**{**sheet.config(), "mirrored": mirrored}).eval().requires_grad_(requires_grad=False)
    model.load_state_dict(state)
    return model


def drawn_pixels(frames: int) -> Any:
    import torch

    return torch.rand((1, 3, frames, 32, 48), generator=torch.Generator().manual_seed(frames)) * 2 - 1


def kept(pixels: Any) -> NDArray[Any]:
    shown: NDArray[Any] = pixels[:, :, ::4, 1::3, ::3].numpy()
    return shown


@pytest.mark.parametrize("frames", FRAMES)
def test_latents_and_tokens(tokenizer: Any, reference: Reference, frames: int) -> None:
    latents = tokenizer.latents(drawn_pixels(frames)).numpy()
    assert np.abs(latents - reference[f"latents.{frames}"]).max() < TOLERANCE
    tokens = tokenizer.encode(drawn_pixels(frames))
    assert tokens.shape == (1, 1 + frames // 8, 2, 3)
    assert np.array_equal(tokens.numpy(), reference[f"tokens.{frames}"])


@pytest.mark.parametrize("frames", FRAMES)
def test_pixels(tokenizer: Any, reference: Reference, frames: int) -> None:
    import torch

    pixels = tokenizer.decode(torch.from_numpy(reference[f"tokens.{frames}"]))
    assert pixels.shape == (1, 3, frames, 32, 48)
    assert np.abs(kept(pixels) - reference[f"pixels.{frames}"]).max() < TOLERANCE


def test_pixels_of_the_older_decoder(tokenizer: Any, reference: Reference) -> None:
    import torch

    tokens, expected = torch.from_numpy(reference["tokens.9"]), reference["pixels.9.unmirrored"]
    assert np.abs(kept(with_weights(mirrored=False).decode(tokens)) - expected).max() < TOLERANCE
    assert np.abs(kept(tokenizer.decode(tokens)) - expected).max() > 0.1


def test_quantizer(reference: Reference) -> None:
    import torch

    from cosmos_handler.families.autoregressive.fsq import FiniteScalarQuantizer

    quantizer = FiniteScalarQuantizer((8, 8, 8, 5, 5, 5))
    latents = torch.randn((1, 6, 64), generator=torch.Generator().manual_seed(5)) * 2
    assert np.array_equal(quantizer(latents).numpy(), reference["fsq.tokens"])
    assert np.array_equal(quantizer.codes(torch.arange(0, 64_000, 997)).numpy(), reference["fsq.codes"])


def test_every_code_has_its_own_token_and_comes_back_from_what_lies_near_it() -> None:
    import torch

    from cosmos_handler.families.autoregressive.fsq import FiniteScalarQuantizer

    quantizer = FiniteScalarQuantizer((8, 8, 8, 5, 5, 5))
    assert quantizer.num_codes == 64_000
    every = torch.arange(64_000)
    codes = quantizer.codes(every)
    half, outermost = torch.tensor([4, 4, 4, 2, 2, 2]), torch.tensor([3.5, 3.5, 3.5, 2, 2, 2]) * 1.001
    offset = torch.tensor([0.5, 0.5, 0.5, 0, 0, 0])
    latents = ((codes * half + offset) / outermost).atanh() - (offset / outermost).atanh()
    assert torch.equal(quantizer(latents), every)
    assert quantizer.to(torch.bfloat16).levels.dtype == torch.int32


@pytest.mark.parametrize("given", [1, 9])
def test_first_tokens_do_not_depend_on_what_follows(tokenizer: Any, given: int) -> None:
    import torch

    some = drawn_pixels(given)
    repeated = torch.cat([some, some[:, :, -1:].expand(-1, -1, 33 - given, -1, -1)], dim=2)
    tokens = tokenizer.encode(some)
    assert tokenizer.encode(repeated).shape == (1, 5, 2, 3)
    assert torch.equal(tokenizer.encode(repeated)[:, : tokens.shape[1]], tokens)


@pytest.mark.parametrize("shape", [(8, 32, 48), (9, 24, 48), (9, 32, 40)])
def test_refuses_what_makes_no_whole_tokens(tokenizer: Any, shape: tuple[int, int, int]) -> None:
    import torch

    with pytest.raises(ValueError, match="no whole number of tokens"):
        tokenizer.encode(torch.zeros(1, 3, *shape))


def test_saved_and_loaded_again(tokenizer: Any, tmp_path: Path) -> None:
    import torch

    from cosmos_handler.families.autoregressive.tokenizer import VideoTokenizer

    tokenizer.save_pretrained(tmp_path)
    loaded, report = VideoTokenizer.from_pretrained(tmp_path, use_safetensors=True, output_loading_info=True)
    assert (report["missing_keys"], report["unexpected_keys"]) == ([], [])
    assert torch.equal(loaded.encode(drawn_pixels(9)), tokenizer.encode(drawn_pixels(9)))
    assert dict(loaded.config)["width"] == 4
