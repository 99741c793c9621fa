"""The Wan VAE in pieces and with its weights away: bit for bit what the library makes, in less memory."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.model

KINDS = ["wan2.1", "wan2.2"]


def tiny(kind: str, dtype: str = "float32") -> Any:
    import torch

    from scripts.tiny import cosmos3, predict2_5

    vae = predict2_5.vae(seed=3) if kind == "wan2.1" else cosmos3._vae(seed=3)
    return vae.to(getattr(torch, dtype)).eval().requires_grad_(False)


def latents_for(vae: Any, count: int, height: int = 4, width: int = 6) -> Any:
    import torch

    generator = torch.Generator().manual_seed(count)
    return torch.randn((1, vae.config.z_dim, count, height, width), generator=generator).to(vae.dtype)


class Parts:
    """In place of the placed parts: says which of them are in use."""

    def __init__(self) -> None:
        import torch

        self.device = torch.device("cpu")
        self.in_use: list[tuple[str, ...]] = []
        self.used: list[tuple[str, ...]] = []

    @contextmanager
    def use(self, names: tuple[str, ...], *, lazily: bool = False) -> Iterator[Mapping[str, Any]]:
        self.in_use.append(names)
        self.used.append(names)
        yield dict.fromkeys(names)
        self.in_use.pop()

    def stage(self, name: str) -> Any:
        return nullcontext()

    def synchronize(self) -> None:
        pass


def context_with(parts: Any, told: list[tuple[str, int, int]], *, cancel_at: tuple[str, int, int] | None = None) -> Any:
    from cosmos_handler.families.base import Context

    return Context(
        parts=parts,
        is_cancelled=lambda: cancel_at in told,
        on_progress=lambda *progress: told.append(progress),
        on_words=lambda text, reasoning: None,
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("count", [1, 2, 3, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_the_pieces_are_what_the_library_decodes(kind: str, count: int, dtype: str) -> None:
    import torch

    from cosmos_handler.families.vae import decoded_frames, num_frames_of

    vae = tiny(kind, dtype)
    latents = latents_for(vae, count)
    whole = vae.decode(latents).sample
    pieces = list(decoded_frames(vae, latents))
    assert [piece.shape[2] for piece in pieces] == [1] + [4] * (count - 1)
    assert torch.equal(torch.cat(pieces, dim=2), whole)
    assert whole.shape[2] == num_frames_of(vae, latents)
    assert whole.std() > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_frames_go_to_the_host_one_piece_after_the_other(kind: str) -> None:
    from cosmos_handler.families.pipeline import uint8_frames
    from cosmos_handler.families.vae import decode_in_pieces, put_into

    vae = tiny(kind, "bfloat16")
    latents = latents_for(vae, 3)
    expected = uint8_frames(vae.decode(latents).sample).numpy()
    parts, told = Parts(), list[tuple[str, int, int]]()
    frames = np.zeros_like(expected)

    def take(first: int, piece: Any) -> None:
        assert parts.in_use == [("tokenizer",)]
        assert not frames[first:].any()
        put_into(frames, first, uint8_frames(piece))

    assert decode_in_pieces(vae, latents, context_with(parts, told), take) == 9
    np.testing.assert_array_equal(frames, expected)
    assert told == [("decode", 0, 9), ("decode", 1, 9), ("decode", 5, 9), ("decode", 9, 9)]


def peak_bytes(decode: Callable[[Any], Any], latents: Any) -> int:
    from tests.memory.storages import StorageCounter

    with StorageCounter() as counter:
        decode(latents)
    peak: int = counter.peak_bytes
    return peak


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_video_takes_no_more_memory_than_a_short_one(kind: str) -> None:
    from cosmos_handler.families.vae import decoded_frames

    vae = tiny(kind)
    short, long = latents_for(vae, 6), latents_for(vae, 14)
    frame_bytes = vae.decode(short).sample[:, :, 0].nbytes

    def in_pieces(latents: Any) -> None:
        for piece in decoded_frames(vae, latents):
            del piece

    grown = peak_bytes(in_pieces, long) - peak_bytes(in_pieces, short)
    assert grown <= long.nbytes - short.nbytes  # the latents through their own convolution
    # The library holds the video so far and the same with another piece: that grows twice with every frame.
    grown_whole = peak_bytes(vae.decode, long) - peak_bytes(vae.decode, short)
    assert grown_whole > 1.5 * 32 * frame_bytes
    assert peak_bytes(in_pieces, long) < peak_bytes(vae.decode, long) - 32 * frame_bytes


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_of_a_decode_that_is_abandoned(kind: str) -> None:
    import torch

    from cosmos_handler.families.vae import decoded_frames

    vae = tiny(kind)
    expected = vae.decode(latents_for(vae, 3)).sample
    pieces = decoded_frames(vae, latents_for(vae, 3))
    next(pieces), next(pieces)
    assert any(entry is not None for entry in vae._feat_map)
    pieces.close()
    assert all(entry is None for entry in vae._feat_map)
    assert torch.equal(torch.cat(list(decoded_frames(vae, latents_for(vae, 3))), dim=2), expected)
    assert all(entry is None for entry in vae._feat_map)


def test_a_cancel_comes_between_two_latent_frames() -> None:
    from cosmos_handler.families.base import Stopped
    from cosmos_handler.families.vae import decode_in_pieces

    vae, told, taken = tiny("wan2.1"), list[tuple[str, int, int]](), list[int]()
    context = context_with(Parts(), told, cancel_at=("decode", 5, 21))
    with pytest.raises(Stopped):
        decode_in_pieces(vae, latents_for(vae, 6), context, lambda first, piece: taken.append(first))
    assert taken == [0, 1]
    assert (context.stage_name, context.step_number) == ("decode", 5)
    assert all(entry is None for entry in vae._feat_map)


def test_a_cancel_comes_between_two_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    from cosmos_handler.families.base import Stopped
    from cosmos_handler.families.vae import decode_in_pieces

    vae, told, calls = tiny("wan2.1"), list[tuple[str, int, int]](), list[int]()
    context = context_with(Parts(), told)
    context.decode_mode = "tiled"
    context.is_cancelled = lambda: len(calls) == 2
    forward = vae.decoder.forward

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(len(calls))
        return forward(*arguments, **options)

    monkeypatch.setattr(vae.decoder, "forward", counted)
    with pytest.raises(Stopped):
        decode_in_pieces(vae, latents_for(vae, 3, 40, 40), context, lambda first, piece: None)
    assert len(calls) == 2
    assert all(entry is None for entry in vae._feat_map)
    assert not vae.decoder._forward_pre_hooks


@pytest.mark.parametrize("kind", KINDS)
def test_tiles_are_the_librarys_and_only_for_large_pictures(kind: str) -> None:
    import torch

    from cosmos_handler.families.vae import decode_in_pieces

    vae = tiny(kind)
    side = 256 // vae.spatial_compression_ratio
    parts = Parts()

    def decoded(latents: Any, mode: str) -> Any:
        context, pieces = context_with(parts, []), list[Any]()
        context.decode_mode = mode
        decode_in_pieces(vae, latents, context, lambda first, piece: pieces.append(piece.clone()))
        assert not vae.use_tiling
        return torch.cat(pieces, dim=2)

    one_tile = latents_for(vae, 2, side, side)
    assert torch.equal(decoded(one_tile, "tiled"), decoded(one_tile, "exact"))
    larger = latents_for(vae, 2, side // 2, side + side // 2)
    vae.enable_tiling()
    expected = vae.decode(larger).sample
    vae.disable_tiling()
    assert torch.equal(decoded(larger, "tiled"), expected)
    exact = decoded(larger, "exact")
    assert exact.shape == expected.shape
    assert not torch.equal(exact, expected)


def staged(vae: Any, told: list[tuple[str, int, int]]) -> Callable[[], Any]:
    """Stand-ins of one family, each in a job of its own."""
    from cosmos_handler.families.vae import BlankEncodings, StagedVae

    blanks = BlankEncodings()
    return lambda: StagedVae(vae, context_with(Parts(), told), blanks)


@pytest.mark.parametrize("value", [0.0, -1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_a_video_without_a_picture_is_encoded_once(kind: str, value: float) -> None:
    import torch

    vae, told = tiny(kind, "bfloat16"), list[tuple[str, int, int]]()
    stand_in = staged(vae, told)
    blank = torch.full((1, 3, 5, 32, 48), value, dtype=vae.dtype)
    expected = vae.encode(blank).latent_dist
    drawn = expected.sample(torch.Generator().manual_seed(1))
    for _ in range(3):
        made = stand_in().encode(blank).latent_dist
        assert torch.equal(made.mode(), expected.mode())
        assert torch.equal(made.sample(torch.Generator().manual_seed(1)), drawn)
        made.parameters.zero_()  # what a pipeline does to its own is nothing to the next
    assert told == [("encode_media", 0, 0)]
    for other in (blank[:, :, :1], blank[..., :32], torch.full_like(blank, 0.5)):
        assert torch.equal(stand_in().encode(other, return_dict=False)[0].mode(), vae.encode(other).latent_dist.mode())
    assert len(told) == 4


def test_a_video_with_a_picture_is_encoded_every_time() -> None:
    import torch

    vae, told = tiny("wan2.1"), list[tuple[str, int, int]]()
    stand_in = staged(vae, told)
    pixels = torch.zeros(1, 3, 5, 32, 48)
    pixels[0, 1, 4, 31, 47] = 0.5
    for _ in range(2):
        assert torch.equal(stand_in().encode(pixels).latent_dist.mode(), vae.encode(pixels).latent_dist.mode())
    pixels[:] = float("nan")
    stand_in().encode(pixels)
    assert told == [("encode_media", 0, 0)] * 3


def test_only_so_many_encodings_are_kept() -> None:
    import torch

    from cosmos_handler.families.vae import BlankEncodings

    blanks, encoded = BlankEncodings(max_count=2), list[float]()

    def encode(pixels: Any) -> Any:
        encoded.append(pixels[0].item())
        return pixels.clone()

    for value in (1.0, 2.0, 1.0, 3.0, 1.0, 2.0):  # 2 was used longest ago when 3 came
        assert blanks.encode(torch.tensor([value]), encode).item() == value
    assert encoded == [1.0, 2.0, 3.0, 2.0]


def test_a_stand_in_is_the_vae_in_all_else_and_only_while_it_is_needed() -> None:
    import torch

    from cosmos_handler.families.vae import StagedVae, standing_in

    class Pipeline:
        vae = tiny("wan2.2", "bfloat16")

    told: list[tuple[str, int, int]] = []
    pipeline, own = Pipeline(), Pipeline.vae
    stand_in: StagedVae = staged(own, told)()
    latents = latents_for(own, 2)
    with standing_in(pipeline, stand_in):
        assert pipeline.vae is stand_in
        assert (pipeline.vae.dtype, pipeline.vae.config) == (torch.bfloat16, own.config)
        assert torch.equal(pipeline.vae.decode(latents, return_dict=False)[0], own.decode(latents).sample)
    assert pipeline.vae is own
    with pytest.raises(ZeroDivisionError), standing_in(pipeline, stand_in):
        1 / 0  # noqa: B018 - an error in the middle
    assert pipeline.vae is own
    assert told == [("decode", 0, 0)]
