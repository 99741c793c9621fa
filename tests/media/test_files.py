"""Files of frames: the decoded input and the unencoded answer."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from cosmos_handler.errors import DecoderFailed
from cosmos_handler.media.clip import MediaFile, partial_path
from cosmos_handler.media.frame_file import FrameFile
from cosmos_handler.media.npz import write_npz

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 4, 6, 3), dtype=np.uint8)


def media_file(path: Path) -> MediaFile:
    return MediaFile("video", str(path), 3, 4, 6, 24.0, 3, (0, 1, 2))


def test_frames_come_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "frames.npy"
    with FrameFile(path, num_frames=3) as file:
        for frame in FRAMES:
            file.write(frame)
        assert not path.exists()  # appears only when whole
    frames = media_file(path).frames()
    assert np.array_equal(frames, FRAMES)
    assert not frames.flags.writeable
    assert not partial_path(path).exists()


def test_frames_that_are_views_are_written_as_they_look(tmp_path: Path) -> None:
    with FrameFile(tmp_path / "frames.npy", num_frames=1) as file:
        file.write(np.rot90(FRAMES[0]))
    assert np.array_equal(np.load(tmp_path / "frames.npy")[0], np.rot90(FRAMES[0]))


def test_an_exception_leaves_no_file(tmp_path: Path) -> None:
    def fail() -> None:
        with FrameFile(tmp_path / "frames.npy", num_frames=2) as file:
            file.write(FRAMES[0])
            file.write(FRAMES[0][:2])

    with pytest.raises(ValueError, match="in a file of"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_as_announced_is_not_used(tmp_path: Path) -> None:
    np.save(tmp_path / "floats.npy", FRAMES.astype(np.float32))
    np.save(tmp_path / "more.npy", np.concatenate([FRAMES, FRAMES]))
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "archive.npz", FRAMES)
    (tmp_path / "text.npy").write_text("frames")
    names = [path.name for path in tmp_path.iterdir()]
    assert len(names) == 5
    for name in names:
        with pytest.raises(DecoderFailed):
            media_file(tmp_path / name).frames()


def test_a_media_file_goes_through_pydantic() -> None:
    adapter = TypeAdapter(MediaFile)
    value = media_file(Path("/jobs/1/input-0.npy"))
    assert adapter.validate_json(adapter.dump_json(value)) == value


def test_npz_holds_the_arrays_under_their_names(tmp_path: Path) -> None:
    path = tmp_path / "answer"  # no suffix is added
    actions = np.linspace(0, 1, 5, dtype=np.float32)
    write_npz(path, {"frames": FRAMES, "actions": actions})
    with np.load(path, allow_pickle=False) as found:
        assert set(found) == {"frames", "actions"}
        assert np.array_equal(found["frames"], FRAMES)
        assert np.array_equal(found["actions"], actions)
        assert found["frames"].dtype == np.uint8


def test_npz_takes_no_objects(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        write_npz(tmp_path / "answer.npz", {"frames": np.array([{}], dtype=object)})
