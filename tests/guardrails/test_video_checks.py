"""The checks of frames, on tiny weights that really tell harmful from harmless and faces from everything else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.guardrail_video import find_content_filter, find_face_blur
from cosmos_handler.artifacts.inspection import Inspection
from tests.conftest import SAMPLES
from tests.guardrails.pictures import RED, draw_face, face_pixels, noise

pytestmark = pytest.mark.model


def ignore(done: int, of: int) -> None:
    """Nobody waits, nobody cancels."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from scripts.tiny.guardrails_video import write

    folder = tmp_path_factory.mktemp("guardrails")
    write(folder, seed=0, report=lambda part: None)
    return folder


@pytest.fixture
def parts(folder: Path) -> Any:
    """The modules of both checks, loaded as a server loads them."""
    from cosmos_handler.guardrails.content_filter import PART_CLASSES as OF_FILTER
    from cosmos_handler.guardrails.face_blur import PART_CLASSES as OF_BLUR
    from cosmos_handler.memory.components import load_part
    from tests.placed import at_rest

    guardrails = found_in(folder)
    classes = {**OF_FILTER, **OF_BLUR}
    modules = {part.name: load_part(guardrails, part, classes[part.name]) for part in guardrails.parts}
    return at_rest(modules)


def found_in(folder: Path) -> Checkpoint:
    """The weights of both checks."""
    look = Inspection(folder)
    parts = (*find_content_filter(look), *find_face_blur(look))
    assert look.faults == []
    return Checkpoint("guardrails", (), str(folder), "predict2.5", (), "files", parts, None, None)


@pytest.fixture
def content_filter(folder: Path, parts: Any) -> Any:
    from cosmos_handler.guardrails.content_filter import ContentFilter

    return ContentFilter(folder / "siglip-so400m-patch14-384", parts)


@pytest.fixture
def face_blur(parts: Any) -> Any:
    from cosmos_handler.guardrails.face_blur import FaceBlur

    return FaceBlur(parts)


def both(content_filter: Any, face_blur: Any) -> list[Any]:
    return [content_filter, face_blur]


def test_the_plan_is_told_what_is_loaded(folder: Path, parts: Any) -> None:
    for part in found_in(folder).parts:
        tensors = parts[part.name].state_dict()
        counters = [name for name in tensors if name.endswith("num_batches_tracked")]
        loaded_bytes = sum(tensor.nbytes for name, tensor in tensors.items() if name not in counters)
        assert part.size_bytes == loaded_bytes + 8 * len(counters)  # whole numbers of 64 bits in the file


class TestHarmless:
    @pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (0, 0, 255), (30, 160, 60)])
    def test_colours_pass_bit_for_bit(self, content_filter: Any, face_blur: Any, colour: tuple[int, ...]) -> None:
        frames = np.full((3, 64, 96, 3), colour, np.uint8)
        for check in both(content_filter, face_blur):
            before = frames.copy()
            given, finding = check.check(frames, ignore)
            assert finding.state == "passed"
            assert np.array_equal(given, before)

    def test_noise_passes_bit_for_bit(self, content_filter: Any, face_blur: Any) -> None:
        frames = noise(20)
        for check in both(content_filter, face_blur):
            given, finding = check.check(frames, ignore)
            assert finding.state == "passed"
            assert np.array_equal(given, noise(20))

    def test_a_face_is_no_harm(self, content_filter: Any) -> None:
        frames = noise(1)
        draw_face(frames[0], x=48, y=32)
        assert content_filter.check(frames, ignore)[1].state == "passed"

    def test_real_pictures_pass(self, content_filter: Any) -> None:
        from PIL import Image

        pictures = [each for suffix in ("jpg", "png") for each in sorted(SAMPLES.rglob(f"*.{suffix}"))][:12]
        if not pictures:
            pytest.skip("no sample pictures beside the checkout")
        for picture in pictures:
            frame = np.asarray(Image.open(picture).convert("RGB").resize((320, 192)))
            assert content_filter.check(frame[None], ignore)[1].state == "passed", picture.name


class TestContentFilter:
    @pytest.mark.parametrize("harmful", [0, 7, 8, 18])
    def test_one_harmful_frame_blocks_the_clip(self, content_filter: Any, harmful: int) -> None:
        frames = noise(19)
        frames[harmful] = RED
        given, finding = content_filter.check(frames, ignore)
        assert finding.state == "blocked"
        assert finding.detail == f"Violence: first in frame {harmful} of 19"
        assert given is frames

    def test_nothing_is_looked_at_after_a_harmful_batch(self, content_filter: Any) -> None:
        frames = noise(30)
        frames[9] = RED
        told: list[tuple[int, int]] = []
        content_filter.check(frames, lambda done, of: told.append((done, of)))
        assert told == [(8, 30)]

    def test_labels_are_those_of_the_classifier_in_its_order(self) -> None:
        from cosmos_handler.guardrails.safety_classifier import LABELS

        assert LABELS[0] == "Safe"
        assert len(LABELS) == 7

    def test_batches_are_bounded(self, content_filter: Any, parts: Any) -> None:
        sizes = watch(parts["guardrail_content_filter"])
        content_filter.check(noise(19), ignore)
        assert sizes == [8, 8, 3]

    @pytest.mark.parametrize("part", ["guardrail_content_filter", "guardrail_content_filter_classifier"])
    def test_outputs_that_are_no_numbers_are_an_error(self, content_filter: Any, parts: Any, part: str) -> None:
        spoil(parts[part])
        assert content_filter.check(noise(2), ignore)[1].state == "error"


class TestFaceBlur:
    def test_a_face_is_pixelated_and_the_rest_is_not(self, face_blur: Any) -> None:
        frames = noise(3)
        draw_face(frames[1], x=40, y=30)
        before = frames.copy()
        given, finding = face_blur.check(frames, ignore)
        assert (finding.state, finding.detail) == ("changed", "1 face pixelated, in 1 of 3 frames")
        assert np.array_equal(frames, before)  # what came in is not touched
        assert np.array_equal(given[[0, 2]], before[[0, 2]])
        face = face_pixels(given[1], x=40, y=30)
        assert len(np.unique(face.reshape(-1, 3), axis=0)) <= 25
        changed = np.nonzero((given[1] != before[1]).any(axis=-1))
        assert max(changed[0]) - min(changed[0]) < 60
        assert max(changed[1]) - min(changed[1]) < 60

    def test_every_face_is_counted(self, face_blur: Any) -> None:
        frames = np.full((2, 96, 160, 3), 90, np.uint8)
        for x in (32, 120):
            draw_face(frames[0], x=x, y=48)
        draw_face(frames[1], x=80, y=40)
        assert face_blur.check(frames, ignore)[1].detail == "3 faces pixelated, in 2 of 2 frames"

    def test_a_face_at_the_edge_is_pixelated_as_far_as_it_can_be_seen(self, face_blur: Any) -> None:
        frames = np.full((1, 64, 96, 3), 90, np.uint8)
        draw_face(frames[0], x=14, y=14)
        given, finding = face_blur.check(frames, ignore)
        assert finding.state == "changed"
        assert len(np.unique(given[0, :28, :28].reshape(-1, 3), axis=0)) <= 25

    def test_batches_are_bounded_by_frames_and_by_pixels(self, face_blur: Any, parts: Any, monkeypatch: Any) -> None:
        from cosmos_handler.guardrails import face_blur as room

        sizes = watch(parts["guardrail_face_blur"])
        face_blur.check(noise(35), ignore)
        assert sizes == [16, 16, 3]
        monkeypatch.setattr(room, "PIXELS_PER_BATCH", 3 * 64 * 96)
        sizes.clear()
        face_blur.check(noise(8), ignore)
        assert sizes == [3, 3, 2]

    def test_large_frames_go_one_by_one(self) -> None:
        from cosmos_handler.guardrails.face_blur import frames_per_batch

        assert frames_per_batch(704, 1280) == 4
        assert frames_per_batch(2160, 3840) == 1

    def test_outputs_that_are_no_numbers_are_an_error(self, face_blur: Any, parts: Any) -> None:
        frames = noise(2)
        spoil(parts["guardrail_face_blur"])
        given, finding = face_blur.check(frames, ignore)
        assert finding.state == "error"
        assert given is frames

    def test_boxes_beyond_all_numbers_are_an_error(self, face_blur: Any, parts: Any) -> None:
        parts["guardrail_face_blur"].BboxHead[0].conv1x1.bias[6:] = 1e9
        frames = noise(1)
        draw_face(frames[0], x=40, y=30)
        assert face_blur.check(frames, ignore)[1].state == "error"


class TestBoth:
    @pytest.mark.parametrize("name", ["content_filter", "face_blur"])
    def test_a_cancel_ends_it_after_the_batch(self, request: pytest.FixtureRequest, parts: Any, name: str) -> None:
        class Cancelled(Exception):
            pass

        def cancel(done: int, of: int) -> None:
            raise Cancelled(done, of)

        sizes = watch(parts[f"guardrail_{name}"])
        with pytest.raises(Cancelled):
            request.getfixturevalue(name).check(noise(40), cancel)
        assert len(sizes) == 1

    @pytest.mark.parametrize("name", ["content_filter", "face_blur"])
    def test_a_fault_is_not_swallowed(self, request: pytest.FixtureRequest, parts: Any, name: str) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("broken on purpose")

        parts[f"guardrail_{name}"].register_forward_pre_hook(fail)
        with pytest.raises(RuntimeError, match="on purpose"):
            request.getfixturevalue(name).check(noise(2), ignore)


def watch(module: Any) -> list[int]:
    """How many frames the module is given at a time, as it goes on."""
    sizes: list[int] = []

    def count(_: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        sizes.append(len(positional[0] if positional else named["pixel_values"]))

    module.register_forward_pre_hook(count, with_kwargs=True)
    return sizes


def spoil(module: Any) -> None:
    """As a broken file would, or an overflow."""
    next(iter(module.parameters())).fill_(float("nan"))
