"""The runner gives what its parts give when they are called one by one, whatever it is asked."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.families.autoregressive import served

pytestmark = pytest.mark.model


class Model:
    """The runner and the same parts by themselves."""

    def __init__(self, folder: Path, *, reads_text: bool, has_decoder: bool = False) -> None:
        self.folder = folder
        self.parts = served.modules(reads_text=reads_text, has_decoder=has_decoder)
        self.family, self.placed = served.family(folder, self.parts)

    def run(self, task: Any, told: served.Told | None = None, **more: Any) -> Any:
        frames = self.family.run(task, (told or served.Told()).context(self.placed, **more))
        assert frames.fps == 25
        return frames.frames

    def codes(self, given: Any, task: Any, *, seed: int, text: Any = None) -> Any:
        """Without the runner."""
        import torch

        from cosmos_handler.families.autoregressive.frames import context_pixels
        from cosmos_handler.families.autoregressive.generation import Request, generate
        from cosmos_handler.families.autoregressive.sampling import Sampling

        pixels = context_pixels(np.array(given), len(given), height=served.HEIGHT, width=served.WIDTH)
        with torch.no_grad():
            (begin,) = self.parts["tokenizer"].encode(pixels)
            request = Request(begin, Sampling(task.temperature, task.top_p, seed), text)
            made = generate(
                self.parts["ar_model"], [request], on_step=lambda *_: None, latent_frames=(task.num_frames + 7) // 8
            )
        assert made[0, : len(begin)].equal(begin)
        return made

    def frames(self, codes: Any) -> Any:
        import torch

        from cosmos_handler.families.autoregressive.frames import shown_frames

        with torch.no_grad():
            return shown_frames(self.parts["tokenizer"].decode(codes))

    def diffused(self, codes: Any, text: Any, *, seed: int) -> Any:
        """Without the runner."""
        from cosmos_handler.families.autoregressive.diffusion_decoding import decoded, denoise_tokens
        from cosmos_handler.families.autoregressive.frames import shown_frames

        latents = denoise_tokens(
            self.parts["diffusion_decoder"], codes, text, num_steps=2, guidance=1.8, seed=seed, on_step=lambda *_: None
        )
        return shown_frames(decoded(self.parts["decoder_tokenizer"], latents))


@pytest.fixture(scope="module")
def diffusing(tmp_path_factory: pytest.TempPathFactory) -> Model:
    import torch

    folder = tmp_path_factory.mktemp("diffusing")
    torch.save({"context": torch.ones(1, 6, served.CONTEXT_WIDTH)}, folder / "aux_vars.pt")
    return Model(folder, reads_text=False, has_decoder=True)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tmp_path_factory.mktemp("plain"), reads_text=False)


@pytest.fixture(scope="module")
def texted(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tmp_path_factory.mktemp("text"), reads_text=True)


@pytest.mark.parametrize(("given", "frames"), [(1, 17), (12, 17), (1, 9)])
def test_an_image_and_the_end_of_a_video_are_gone_on_from(plain: Model, given: int, frames: int) -> None:
    task = served.task(served.medium(plain.folder, given), num_frames=frames, num_output_frames=frames)
    assert task.media is not None
    told = served.Told()
    made = plain.run(task, told)
    assert made.shape == (frames, served.HEIGHT, served.WIDTH, 3)
    codes = plain.codes(task.media.frames()[-task.num_input_frames :], task, seed=7)
    np.testing.assert_array_equal(made, plain.frames(codes))
    assert told.stages == ["encode_media", "generate", "decode"]
    count = (codes.shape[1] - (task.num_input_frames + 7) // 8) * 4
    assert [step for step in told.progress if step[0] == "generate"] == [
        ("generate", number, count) for number in range(count + 1)
    ]


def test_the_frames_that_were_given_come_first_as_their_codes_show_them(plain: Model) -> None:
    import torch

    task = served.task(served.medium(plain.folder, 9))
    assert task.media is not None
    codes = plain.codes(task.media.frames(), task, seed=7)
    with torch.no_grad():
        alone = plain.frames(codes[:, :2])
    assert alone.shape[0] == 9
    near = np.abs(plain.run(task)[:9].astype(int) - alone.astype(int))
    assert near.max() <= 1  # the decoder is causal; sums of other sizes are rounded otherwise


def test_the_seed_decides(plain: Model) -> None:
    media = served.medium(plain.folder, 1)
    first, again, other = (plain.run(served.task(media, seed=seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_long_videos_go_on_from_their_own_last_frames(plain: Model) -> None:
    task = served.task(served.medium(plain.folder, 1), num_chunks=3, num_output_frames=33)
    assert task.media is not None
    told = served.Told()
    made = plain.run(task, told)
    assert made.shape[0] == 17 + 2 * 8
    given, chunks = task.media.frames(), []
    for number in range(3):
        chunks.append(plain.frames(plain.codes(given, task, seed=7 + number)))
        given = chunks[-1][-9:]
    np.testing.assert_array_equal(made, np.concatenate([chunks[0], chunks[1][9:], chunks[2][9:]]))
    assert told.stages == ["encode_media", "generate", "decode"] * 3
    steps = [step for name, step, count in told.progress if name == "generate" and step]
    assert sorted(set(steps)) == list(range(1, 8 + 4 + 4 + 1))
    assert {count for name, _, count in told.progress if name == "generate"} == {16}


def test_a_prompt_is_read_once_and_decides(texted: Model) -> None:
    import torch

    from cosmos_handler.families.embeddings import TextCache

    media, cache, told = served.medium(texted.folder, 9), TextCache(2**20), served.Told()
    words = "a red cube"
    made = texted.run(served.task(media, prompt=words), told, text_cache=cache)
    assert told.stages == ["encode_text", "encode_media", "generate", "decode"]
    again = served.Told()
    np.testing.assert_array_equal(made, texted.run(served.task(media, prompt=words), again, text_cache=cache))
    assert again.stages == ["encode_media", "generate", "decode"]
    # T5 over the words alone, and zeros behind them.
    ids = texted.family._words(words, return_tensors="pt").input_ids
    text = torch.zeros(512, served.CONTEXT_WIDTH)
    with torch.no_grad():
        text[: ids.shape[1]] = texted.parts["text_encoder"](input_ids=ids).last_hidden_state[0]
    from cosmos_handler.families.autoregressive.text import prompt_embedding

    with torch.no_grad():
        own = prompt_embedding(texted.parts["text_encoder"], texted.family._words, words, torch.device("cpu"))
    assert torch.allclose(own, text, atol=1e-5)
    assert not own[ids.shape[1] :].any()
    codes = texted.codes(media.frames(), served.task(media), seed=7, text=own)
    np.testing.assert_array_equal(made, texted.frames(codes))
    assert (made != texted.run(served.task(media, prompt="a blue ball"))).any()


def test_codes_are_decoded_by_diffusion(diffusing: Model) -> None:
    """By the prompt that suits every video, each chunk with a seed of its own."""
    import torch

    media, told = served.medium(diffusing.folder, 9), served.Told()
    task = served.task(media, decoder="diffusion", num_steps=2, num_chunks=2, num_output_frames=25)
    made = diffusing.run(task, told)
    assert told.stages == ["encode_media", "generate", "diffusion_decode", "decode"] * 2
    steps = [step for step in told.progress if step[0] == "diffusion_decode"]
    assert steps == [("diffusion_decode", number, 4) for number in (0, 1, 2, 2, 3, 4)]
    given, chunks, text = media.frames(), [], torch.ones(1, 6, served.CONTEXT_WIDTH)
    for seed in (7, 8):
        chunks.append(diffusing.diffused(diffusing.codes(given, task, seed=seed), text, seed=seed))
        given = chunks[-1][-9:]
    np.testing.assert_array_equal(made, np.concatenate([chunks[0], chunks[1][9:]]))
    plain = diffusing.run(served.task(media))
    assert (plain != made[: len(plain)]).any()


def test_the_prompt_is_what_the_diffusion_decoder_reads(tmp_path: Path) -> None:
    import torch

    from cosmos_handler.families.autoregressive.text import prompt_embedding

    model = Model(tmp_path, reads_text=True, has_decoder=True)
    media = served.medium(tmp_path, 9)
    task = served.task(media, decoder="diffusion", num_steps=2, prompt="a red cube")
    with torch.no_grad():
        text = prompt_embedding(model.parts["text_encoder"], model.family._words, "a red cube", torch.device("cpu"))
    codes = model.codes(media.frames(), task, seed=7, text=text)
    np.testing.assert_array_equal(model.run(task), model.diffused(codes, text[None], seed=7))


def test_words_beyond_512_tokens_are_not_read(texted: Model) -> None:
    import torch

    from cosmos_handler.families.autoregressive.text import prompt_embedding

    long, longer = ("cube " * count for count in (600, 700))
    with torch.no_grad():
        first, second = (
            prompt_embedding(texted.parts["text_encoder"], texted.family._words, text, torch.device("cpu"))
            for text in (long, longer)
        )
    assert first.shape == (512, served.CONTEXT_WIDTH)
    assert first.equal(second)


@pytest.mark.parametrize("at", [("generate", 1, 16), ("generate", 10, 16), ("decode", 0, 0)])
def test_a_run_that_is_cancelled_ends_at_its_next_step(plain: Model, at: tuple[str, int, int]) -> None:
    from cosmos_handler.families.base import Stopped

    told = served.Told(cancel_at=at)
    with pytest.raises(Stopped):
        plain.run(served.task(served.medium(plain.folder, 1), num_chunks=3), told)
    later = told.progress[told.progress.index(at) + 1 :]
    assert len(later) <= 1
    assert all(name == at[0] for name, _, _ in later)


def test_steps_can_be_recorded_unless_weights_are_streamed(tmp_path: Path) -> None:
    from cosmos_handler.families.autoregressive.replay import has_hooks

    model = Model(tmp_path, reads_text=False)
    for placement, expected in (("resident", False), ("swapped", False), ("streamed", True)):
        part = model.placed.residence._parts["model/ar_model"]
        part.place(placement)
        with model.placed.use(("ar_model",)) as parts:
            assert has_hooks(parts["ar_model"]) is expected
