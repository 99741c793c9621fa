"""The one order in which the model is looked for, and what is said where it is nowhere."""

import logging
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.artifacts.discover import discover, nothing_in
from cosmos_handler.artifacts.elsewhere import MODEL_CHANNEL, MODEL_MOUNT
from cosmos_handler.artifacts.locate import locate
from cosmos_handler.artifacts.source import ModelSource
from cosmos_handler.errors import CheckpointError
from tests.artifacts.miniature import write_json, write_reasoner


@pytest.fixture
def mounts(tmp_path: Path) -> tuple[Path, Path]:
    """In place of /opt/ml/model and of the channel, both with a model."""
    return write_reasoner(tmp_path / "mount"), write_reasoner(tmp_path / "channel")


def source_of(mounts: tuple[Path, ...], **changes: Any) -> ModelSource:
    values: dict[str, Any] = {"folder": None, "hub_model_id": None, "hub_revision": None, "token": None}
    return ModelSource(**(values | {"offline": True, "mounts": mounts} | changes))


def emptied(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def test_a_folder_that_is_named_comes_before_what_is_mounted(
    tmp_path: Path, mounts: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    named = write_reasoner(tmp_path / "named")
    assert locate(source_of(mounts, folder=named)).folder == named
    assert caplog.messages == [f"the model folder is {named} (COSMOS_MODEL_DIR)"]
    with pytest.raises(CheckpointError, match=f"^COSMOS_MODEL_DIR is {tmp_path}/gone, but there is no such folder$"):
        locate(source_of(mounts, folder=tmp_path / "gone"))


def test_the_mount_comes_before_the_channel(mounts: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    mount, channel = mounts
    assert locate(source_of(mounts)).folder == mount
    emptied(mount)
    (mount / "guardrails").mkdir()  # is no model
    (mount / "code").mkdir()
    assert locate(source_of(mounts)).folder == channel
    mount.joinpath("guardrails").rmdir()
    mount.joinpath("code").rmdir()
    mount.rmdir()
    assert locate(source_of(mounts)).folder == channel
    assert caplog.messages[-1] == f"the model folder is {channel} (mounted there)"


def test_a_mount_with_a_model_that_cannot_be_served_is_not_passed_over(mounts: tuple[Path, Path]) -> None:
    """Nobody shall get another model because the one that he mounted is broken."""
    mount, _ = mounts
    for spoil in ("model_index.json", "config.json", "cosmos.json"):
        emptied(mount)
        (mount / spoil).write_text("{")
        located = locate(source_of(mounts))
        assert located.folder == mount
        with pytest.raises(CheckpointError, match=spoil):
            discover(located.folder)
    emptied(mount)
    write_json(mount / "sub" / "model_index.json", {"_class_name": "CosmosTextToWorldPipeline"})
    assert locate(source_of(mounts)).folder == mount


def test_a_repository_comes_before_what_is_mounted_and_says_so(
    mounts: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = source_of(mounts, hub_model_id="org/model", cache_dir=tmp_path / "cache")
    with pytest.raises(
        CheckpointError, match=r"^org/model \(revision main\) is not, or not wholly, in the hub's cache"
    ):
        locate(source)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"{mount} holds a model, but HF_MODEL_ID=org/model comes first: unset it to serve that one" for mount in mounts
    ]


def test_the_mount_as_the_id_is_that_mount(mounts: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    mount, channel = mounts
    emptied(channel)
    assert locate(source_of(mounts, hub_model_id=str(mount))).folder == mount
    assert not caplog.records


def test_where_there_is_none_every_place_is_named_in_one_line(mounts: tuple[Path, Path]) -> None:
    mount, channel = mounts
    emptied(mount)
    emptied(channel)
    (mount / "model.tar.gz").touch()
    with pytest.raises(CheckpointError) as caught:
        locate(source_of(mounts))
    said = str(caught.value)
    assert said.startswith(
        f"there is no model: {mount} holds model.tar.gz still packed; {channel} is empty. COSMOS_MODEL"
    )
    assert "HF_MODEL_ID" in said
    assert "\n" not in said


def test_what_may_lie_in_a_folder_without_being_a_model(tmp_path: Path) -> None:
    assert nothing_in(tmp_path / "none") == "does not exist"
    (tmp_path / "file").touch()
    assert nothing_in(tmp_path / "file") == "is not a folder"
    assert nothing_in(tmp_path) == "holds only file"
    write_reasoner(tmp_path / "models" / "one")
    assert nothing_in(tmp_path / "models") is None


def test_the_places_are_those_where_the_platform_mounts() -> None:
    assert (str(MODEL_MOUNT), str(MODEL_CHANNEL)) == ("/opt/ml/model", "/opt/ml/additional-model-data-sources/model")
