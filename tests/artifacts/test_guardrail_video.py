"""Finding the weights of the video checks, in the forms in which they are published and in broken ones."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cosmos_handler.artifacts.guardrail_video import (
    CLASSIFIER_FILE,
    FACE_BLUR_FILE,
    SIGLIP,
    SIGLIP_CACHE,
    find_content_filter,
    find_face_blur,
)
from cosmos_handler.artifacts.inspection import Inspection
from cosmos_handler.artifacts.native.old_torch_file import is_old, read_old_torch_file
from cosmos_handler.errors import CheckpointError

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from scripts.tiny.guardrails_video import write

    folder = tmp_path_factory.mktemp("guardrails")
    write(folder, seed=0, report=lambda part: None)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "guardrails"))


def faults(folder: Path) -> list[str]:
    look = Inspection(folder)
    find_content_filter(look)
    find_face_blur(look)
    return look.faults


def test_the_tiny_ones_are_whole(folder: Path) -> None:
    assert faults(folder) == []


@pytest.mark.parametrize("place", ["video_content_safety_filter/" + SIGLIP, SIGLIP_CACHE + "/9fdffc58afc957d1"])
def test_siglip_may_lie_within_the_filter(folder: Path, place: str) -> None:
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / SIGLIP).rename(folder / place)
    encoder, _ = find_content_filter(Inspection(folder))
    assert encoder.folder == place


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        (f"{SIGLIP}/config.json", "SigLIP is missing"),
        (f"{SIGLIP}/model.safetensors", f"{SIGLIP}/model.safetensors is missing"),
        (f"{SIGLIP}/preprocessor_config.json", f"{SIGLIP}/preprocessor_config.json is missing"),
        (CLASSIFIER_FILE, f"{CLASSIFIER_FILE} is missing"),
        (FACE_BLUR_FILE, f"{FACE_BLUR_FILE} is missing"),
    ],
)
def test_each_missing_file_is_named(folder: Path, file: str, fault: str) -> None:
    (folder / file).unlink()
    (found,) = faults(folder)
    assert found.startswith(fault)


@pytest.mark.parametrize("file", [CLASSIFIER_FILE, FACE_BLUR_FILE])
@pytest.mark.parametrize("kept", [0, 20, 3000, -1])
def test_a_file_cut_short_is_a_fault(folder: Path, file: str, kept: int) -> None:
    path = folder / file
    path.write_bytes(path.read_bytes()[:kept])
    (found,) = faults(folder)
    assert found.startswith(file)


def test_a_classifier_for_another_encoder_is_a_fault(folder: Path) -> None:
    path = folder / SIGLIP / "config.json"
    config = json.loads(path.read_text())
    config["vision_config"]["hidden_size"] = 64
    path.write_text(json.dumps(config))
    assert faults(folder) == [f"{CLASSIFIER_FILE} takes 32 numbers a frame, and {SIGLIP} gives 64"]


@pytest.mark.parametrize("file", [CLASSIFIER_FILE, FACE_BLUR_FILE])
def test_weights_of_another_model_are_a_fault(folder: Path, file: str) -> None:
    torch.save({"fc.weight": torch.zeros(7, 3)}, folder / file)
    (found,) = faults(folder)
    assert f"{file} is not" in found


class TestOldTorchFile:
    """torch.save from before torch 1.6, as RetinaFace is published."""

    @pytest.fixture
    def folder(self, folder: Path) -> Path:
        """With RetinaFace in that form."""
        path = folder / FACE_BLUR_FILE
        save_old(torch.load(path, weights_only=True), path)
        return folder

    @pytest.mark.parametrize("kept", [0, 20, 3000, -1])
    def test_one_cut_short_is_a_fault(self, folder: Path, kept: int) -> None:
        path = folder / FACE_BLUR_FILE
        path.write_bytes(path.read_bytes()[:kept])
        (found,) = faults(folder)
        assert found.startswith(FACE_BLUR_FILE)

    def test_it_loads_as_todays_form_does(self, folder: Path, written: Path) -> None:
        from cosmos_handler.artifacts.guardrail import Guardrails
        from cosmos_handler.guardrails.loading import load_guardrail

        states = []
        for each in (folder, written):
            parts = find_face_blur(Inspection(each))
            module = load_guardrail(Guardrails(str(each), ("face_blur",), parts), parts[0])
            assert module is not None
            states.append(module.state_dict())
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])

    def test_it_says_what_torch_finds(self, folder: Path) -> None:
        path = folder / FACE_BLUR_FILE
        assert is_old(path)
        tensors, wrappers = read_old_torch_file(path, shown_as="it")
        loaded = torch.load(path, weights_only=True)
        assert {name: each.shape for name, each in tensors.items()} == {n: tuple(t.shape) for n, t in loaded.items()}
        assert {name: each.size_bytes for name, each in tensors.items()} == {n: t.nbytes for n, t in loaded.items()}
        assert wrappers == ()

    def test_the_same_weights_in_todays_form_are_found_as_well(self, folder: Path) -> None:
        old = find_face_blur(Inspection(folder))
        torch.save(torch.load(folder / FACE_BLUR_FILE, weights_only=True), folder / FACE_BLUR_FILE)
        assert not is_old(folder / FACE_BLUR_FILE)
        assert find_face_blur(Inspection(folder)) == old

    def test_names_from_several_devices_lose_their_prefix(self, folder: Path) -> None:
        (plain,) = find_face_blur(Inspection(folder))
        state = torch.load(folder / FACE_BLUR_FILE, weights_only=True)
        save_old({"state_dict": {f"module.{name}": each for name, each in state.items()}}, folder / FACE_BLUR_FILE)
        (wrapped,) = find_face_blur(Inspection(folder))
        assert plain.native is not None
        assert wrapped.native is not None
        assert wrapped.native.wrappers == ("state_dict",)
        assert wrapped.native.config == plain.native.config

    def test_a_file_that_would_run_something_is_refused_unrun(self, tmp_path: Path) -> None:
        import os

        class Runs:
            def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
                return os.mkdir, (str(tmp_path / "was-run"),)

        save_old({"weight": Runs()}, tmp_path / "it.pth")
        with pytest.raises(CheckpointError, match=r"refers to posix\.mkdir"):
            read_old_torch_file(tmp_path / "it.pth", shown_as="it")
        assert not (tmp_path / "was-run").exists()

    @pytest.mark.parametrize("content", [{}, {"a": 1}, [1, 2]])
    def test_a_file_without_tensors_is_refused(self, tmp_path: Path, content: Any) -> None:
        save_old(content, tmp_path / "it.pth")
        with pytest.raises(CheckpointError, match=r"it (holds no tensors|does not hold)"):
            read_old_torch_file(tmp_path / "it.pth", shown_as="it")


def save_old(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)
