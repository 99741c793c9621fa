"""Transfer in this process: maps by NVIDIA's presets, chunks, steps and cancelling, parts that controls share."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cosmos_handler.media.clip import MediaFile
from cosmos_handler.messages.tasks import Transfer
from tests.conftest import make_tiny

pytestmark = pytest.mark.model

Frames = NDArray[np.uint8]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny("transfer2.5", tmp_path_factory.mktemp("models") / "transfer2.5")


def media(folder: Path, frames: Frames) -> MediaFile:
    path = folder / f"{len(list(folder.iterdir()))}.npy"
    np.save(path, frames)
    count, height, width, _ = frames.shape
    return MediaFile("video", str(path), count, height, width, 10.0, count, tuple(range(count)))


def noise(count: int, height: int = 32, width: int = 48) -> Frames:
    coarse = np.random.default_rng(count).integers(0, 256, (count, height // 8, width // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def transfer(**changes: Any) -> Transfer:
    values: dict[str, Any] = {
        "prompt": "a robot", "negative_prompt": "dark", "seed": 7, "guidance": 3.0, "num_steps": 2, "num_frames": 13,
        "num_output_frames": 13, "height": 32, "width": 48, "fps": 10.0, "encoding": "npz", "control": "edge",
        "control_media": None, "video": None, "preset": "medium", "control_weight": 1.0, "num_frames_per_chunk": 5,
        "num_conditional_frames": 1, "output_height": 32, "output_width": 48, "show_control": False,
        "show_input": False,
    }  # fmt: skip
    return Transfer.model_validate(values | changes)


@pytest.mark.parametrize(
    ("preset", "thresholds"),
    [
        ("very_low", (20, 50)),
        ("low", (50, 100)),
        ("medium", (100, 200)),
        ("high", (200, 300)),
        ("very_high", (300, 400)),
    ],
)
def test_edges_by_nvidias_presets(preset: str, thresholds: tuple[int, int]) -> None:
    from cosmos_handler.families.transfer.maps import edges

    (picture,) = noise(1)
    made = edges(picture, preset)
    assert made.any()
    for channel in range(3):
        np.testing.assert_array_equal(made[:, :, channel], cv2.Canny(picture, *thresholds))


@pytest.mark.parametrize(
    ("preset", "before", "after"),
    [("very_low", 1, 4), ("low", 4, 4), ("medium", 2, 10), ("high", 1, 16), ("very_high", 4, 16)],
)
def test_blur_by_nvidias_presets(preset: str, before: int, after: int) -> None:
    import torch
    from torchvision.transforms.functional import InterpolationMode, resize

    from cosmos_handler.families.transfer.maps import blurred

    (picture,) = noise(1, 64, 96)
    smooth = cv2.resize(picture, (96 // before, 64 // before), interpolation=cv2.INTER_AREA)
    smooth = cv2.bilateralFilter(smooth, 30, 150, 100)
    smooth = cv2.resize(smooth, (96, 64), interpolation=cv2.INTER_LINEAR)
    pixels = torch.from_numpy(smooth).permute(2, 0, 1)
    for size in ((64 // after, 96 // after), (64, 96)):
        pixels = resize(pixels, size, interpolation=InterpolationMode.BICUBIC, antialias=True)
    made = blurred(picture, preset)
    assert made.std() < picture.std()
    np.testing.assert_array_equal(made, pixels.permute(1, 2, 0).numpy())


def test_a_segmentation_map_is_resized_without_mixing_its_labels(tmp_path: Path) -> None:
    from cosmos_handler.families.transfer.maps import control_maps

    labels = noise(3, 40, 56)
    done: list[int] = []
    made = control_maps(transfer(control="seg", control_media=media(tmp_path, labels), num_frames=3), done.append)
    assert made.shape == (3, 32, 48, 3)
    assert done == [1, 2, 3]
    assert {tuple(color) for color in made.reshape(-1, 3)} <= {tuple(color) for color in labels.reshape(-1, 3)}


def load(folder: Path) -> tuple[Any, Any]:
    """The family around its loaded parts, and the parts."""
    from cosmos_handler.artifacts.detect import detect
    from cosmos_handler.families.transfer.runner import Transfer25
    from cosmos_handler.memory.components import load_part
    from cosmos_handler.memory.place import Residence

    checkpoint = detect(folder, name="transfer")
    modules = {part.name: load_part(checkpoint, part, Transfer25.PART_CLASSES[part.name]) for part in checkpoint.parts}
    placed = Residence("cpu").add(checkpoint.name, modules)
    return Transfer25(checkpoint, placed), placed


class Watch:
    """A run's context that notes every step, and how often the VAE decoded by then; cancels after one of them."""

    def __init__(self, parts: Any, *, cancel_at: tuple[str, int] | None = None) -> None:
        from cosmos_handler.families.base import Context

        self.steps: list[tuple[str, int, int]] = []
        self.num_decoded = 0
        self._cancel_at = cancel_at
        self._cancelled = False
        self.context = Context(
            parts=parts,
            is_cancelled=lambda: self._cancelled,
            on_progress=self._note,
            on_words=lambda text, reasoning: None,
        )

    def _note(self, stage: str, step: int, num_steps: int) -> None:
        self.steps.append((stage, step, num_steps))
        self._cancelled = self._cancelled or (stage, step) == self._cancel_at

    def count_decodes(self, vae: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        forward = vae.decoder.forward

        def counted(*arguments: Any, **options: Any) -> Any:
            self.num_decoded += options.get("first_chunk", False)
            return forward(*arguments, **options)

        monkeypatch.setattr(vae.decoder, "forward", counted)


def test_steps_are_counted_over_all_chunks(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family, parts = load(folder)
    watch = Watch(parts)
    watch.count_decodes(parts["tokenizer"], monkeypatch)
    made = family.run(transfer(video=media(tmp_path, noise(13))), watch.context)
    assert made.frames.shape == (13, 32, 48, 3)
    # Chunks of five that share a frame: 5, 4 more and 4 more.
    steps = [step for step in watch.steps if step[0] == "denoise"]
    assert list(dict.fromkeys(steps)) == [("denoise", step, 6) for step in range(7)]
    assert [step for step in watch.steps if step[0] == "control"] == [("control", step, 13) for step in range(14)]
    assert watch.num_decoded == 3
    assert list(watch.context.stage_seconds) == ["encode_text", "control", "encode_media", "decode", "denoise"]


def test_every_chunk_is_encoded_before_it_is_denoised_and_decoded_after(folder: Path, tmp_path: Path) -> None:
    family, parts = load(folder)
    task = transfer(video=media(tmp_path, noise(9)), num_frames=9, num_output_frames=9)
    # The first chunk goes on from nothing, which is encoded once for all jobs.
    for goes_on_from in (["encode_media", "encode_media"], ["encode_media"]):
        watch = Watch(parts)
        family.run(task, watch.context)
        stages = [name for name, step, _ in watch.steps if name not in ("encode_text", "control")]
        visits = [name for name, before in zip(stages, ["", *stages], strict=False) if name != before]
        # Back in "denoise" between two of the others, which are nothing to each other.
        assert [name for name in visits if name != "denoise"] == [
            *goes_on_from, "decode", "encode_media", "encode_media", "decode",
        ]  # fmt: skip
        assert visits[0] == visits[-1] == "denoise"
        assert [(step, of) for name, step, of in watch.steps if name == "decode"] == [(0, 5), (1, 5), (5, 5)] * 2


def test_a_cancelled_run_stops_at_its_step_and_decodes_nothing_more(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cosmos_handler.families.base import Stopped

    family, parts = load(folder)
    video = media(tmp_path, noise(13))
    for step, num_decoded in ((2, 0), (3, 1), (4, 1)):
        watch = Watch(parts, cancel_at=("denoise", step))
        with monkeypatch.context() as patch:
            watch.count_decodes(parts["tokenizer"], patch)
            with pytest.raises(Stopped):
                family.run(transfer(video=video), watch.context)
        assert watch.steps[-1] == ("denoise", step, 6)
        assert watch.num_decoded == num_decoded
    whole = family.run(transfer(video=video), Watch(parts).context)  # the pipeline is none the worse for it
    assert whole.frames.std() > 5
    watch = Watch(parts, cancel_at=("control", 4))
    with pytest.raises(Stopped):
        family.run(transfer(video=video), watch.context)
    assert watch.steps[-1] == ("control", 4, 13)


def test_the_libraries_own_interrupt_decodes_every_chunk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    from tests.container.library import load_transfer

    pipeline = load_transfer(folder, "edge")
    watch = Watch(None)
    watch.count_decodes(pipeline.vae, monkeypatch)

    def interrupt(pipe: Any, *_: object) -> dict[str, Any]:
        pipe._interrupt = True
        return {}

    pipeline(
        [Image.fromarray(frame) for frame in noise(13)], prompt="a robot", height=32, width=48,
        num_frames_per_chunk=5, num_inference_steps=2, callback_on_step_end=interrupt,
    )  # fmt: skip
    assert watch.num_decoded == 3


@pytest.mark.parametrize("count", [1, 2, 5, 6])
@pytest.mark.parametrize("overlap", [0, 1, 2])
def test_any_number_of_frames_comes_out_as_it_went_in(folder: Path, tmp_path: Path, count: int, overlap: int) -> None:
    family, parts = load(folder)
    task = transfer(
        video=media(tmp_path, noise(count)), num_frames=count, num_output_frames=count, num_steps=1,
        num_conditional_frames=overlap,
    )  # fmt: skip
    made = family.run(task, Watch(parts).context)
    assert made.frames.shape == (count, 32, 48, 3)
    assert all(frame.std() > 1 for frame in made.frames)


def test_the_bare_pipeline_makes_nothing_of_one_frame(folder: Path) -> None:
    from PIL import Image

    from tests.container.library import load_transfer

    pipeline = load_transfer(folder, "edge")
    with pytest.raises((RuntimeError, ValueError)):
        pipeline(
            [Image.fromarray(frame) for frame in noise(1)], prompt="a robot", height=32, width=48,
            num_frames_per_chunk=5, num_inference_steps=1,
        )  # fmt: skip


def test_the_bare_pipeline_loses_frames_of_a_chunk_that_its_vae_cannot_make(folder: Path) -> None:
    from tests.container.library import call_transfer, load_transfer

    options = {"height": 32, "width": 48, "num_inference_steps": 1, "num_frames_per_chunk": 10}
    assert len(call_transfer(load_transfer(folder, "edge"), noise(19), **options)) < 19  # so such a chunk is refused


def test_the_bare_pipeline_makes_blocked_frames_black(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.container.library import call_transfer, load_transfer

    pipeline = load_transfer(folder, "edge")
    monkeypatch.setattr(pipeline.safety_checker, "check_video_safety", lambda frames: None)
    options = {"height": 32, "width": 48, "num_inference_steps": 1, "num_frames_per_chunk": 5}
    assert not call_transfer(pipeline, noise(5), **options).any()


def test_a_stand_in_checker_can_pass_nothing(folder: Path) -> None:
    family, _ = load(folder)
    checker = family._pipeline.safety_checker
    assert not hasattr(checker, "check_video_safety")  # one that returned None would make every frame black
    assert not hasattr(checker, "check_text_safety")


def test_controls_share_every_part_but_their_branch(folder: Path, tmp_path: Path) -> None:
    family, parts = load(folder)
    video = media(tmp_path, noise(5))
    pointers = []
    for control in ("edge", "vis"):
        family.run(transfer(control=control, video=video, num_frames=5, num_output_frames=5), Watch(parts).context)
        pipeline = family._pipeline
        assert pipeline.controlnet is parts[f"control_{control}"]
        pointers.append([next(module.parameters()).data_ptr() for module in (pipeline.transformer, pipeline.vae)])
    assert pointers[0] == pointers[1]


def test_frames_beside_what_made_them(folder: Path, tmp_path: Path) -> None:
    family, parts = load(folder)
    source = noise(5)
    task = transfer(
        video=media(tmp_path, source), num_frames=5, num_output_frames=5, output_height=64, output_width=96,
        show_control=True, show_input=True,
    )  # fmt: skip
    made = family.run(task, Watch(parts).context).frames
    assert made.shape == (5, 64, 96 * 3, 3)
    np.testing.assert_array_equal(made[4, :, 96:192], cv2.resize(source[4], (96, 64), interpolation=cv2.INTER_LANCZOS4))
    alone = family.run(task.model_copy(update={"show_control": False, "show_input": False}), Watch(parts).context)
    np.testing.assert_array_equal(made[:, :, 192:], alone.frames)
    outlines = np.repeat(cv2.Canny(source[4], 100, 200)[:, :, None], 3, axis=2)
    expected = cv2.resize(outlines, (96, 64), interpolation=cv2.INTER_LANCZOS4)
    np.testing.assert_array_equal(made[4, :, :96], expected)
