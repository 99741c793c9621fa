"""The headers of torch.save's files: read without torch, checked against the archive, and nothing in them is run."""

import io
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.artifacts.native.torch_file import read_torch_file
from cosmos_handler.artifacts.safetensors_header import StoredTensor
from cosmos_handler.errors import CheckpointError

pytestmark = pytest.mark.model


def saved(path: Path, content: Any, **options: Any) -> Path:
    import torch

    torch.save(content, path, **options)
    return path


def some_state() -> dict[str, Any]:
    import torch

    table = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    return {
        "a": torch.zeros(2, 3, dtype=torch.bfloat16),
        "b": torch.nn.Parameter(torch.ones(5)),
        "step": torch.tensor(7),
        "turned": table.t(),
        "row": table[1],
        "layer._extra_state": io.BytesIO(b"scales"),
    }


def rewritten(path: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """The archive with some of its records changed, or left out."""
    copy = path.with_suffix(".copy")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as new:
        for info in old.infolist():
            content = change(info.filename, old.read(info))
            if content is not None:
                new.writestr(info.filename, content)
    return copy


def fault_of(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_torch_file(path, shown_as="x.pt")
    return str(caught.value)


def test_names_shapes_and_types_are_read(tmp_path: Path) -> None:
    found = read_torch_file(saved(tmp_path / "x.pt", some_state()))
    assert found.tensors == {
        "a": StoredTensor("bfloat16", (2, 3), 12),
        "b": StoredTensor("float32", (5,), 20),
        "step": StoredTensor("int64", (), 8),
        "turned": StoredTensor("float32", (6, 4), 96),
        "row": StoredTensor("float32", (6,), 24),
    }
    assert found.wrappers == ()
    assert found.checksums["turned"] == found.checksums["row"] != found.checksums["a"]


def test_the_state_is_found_under_what_trainers_wrap_it_in(tmp_path: Path) -> None:
    import torch

    layer = torch.nn.Linear(2, 3).state_dict()  # an ordered dictionary with attributes
    content = {"model": {"state_dict": layer}, "optimizer": {"steps": 3}}
    found = read_torch_file(saved(tmp_path / "x.pt", content))
    assert (set(found.tensors), found.wrappers) == ({"weight", "bias"}, ("model", "state_dict"))


def test_other_values_are_another_revision(tmp_path: Path) -> None:
    import torch

    first, same, other = (
        read_torch_file(saved(tmp_path / f"{number}.pt", {"a": torch.full((3,), value)})).raw
        for number, value in enumerate((1.0, 1.0, 2.0))
    )
    assert first == same != other


class _Runs:
    """What a hostile file does: call something while it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("/tmp/cosmos-was-run",)  # noqa: S108 - it must not come to be


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    message = fault_of(saved(tmp_path / "x.pt", {"a": _Runs()}))
    assert message.startswith("x.pt refers to posix.mkdir, which weights have no need of: it is not loaded.")
    assert not Path("/tmp/cosmos-was-run").exists()  # noqa: S108
    assert "numpy" in fault_of(saved(tmp_path / "y.pt", {"a": __import__("numpy").zeros(3)}))


def test_a_file_that_is_cut_short_or_no_archive(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pt", some_state())
    whole = path.read_bytes()
    for content, said in (
        (whole[:-100], "x.pt is truncated, or no file of torch.save"),
        (b"", "x.pt is empty"),
        (b"nothing of the kind", "x.pt is not a file of torch.save"),
        (b"version https://git-lfs.github.com/spec/v1", "x.pt is a Git LFS pointer"),
    ):
        path.write_bytes(content)
        assert said in fault_of(path)
    assert "cannot be read: No such file" in fault_of(tmp_path / "none")


def test_the_format_before_zip_says_what_to_do(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pt", some_state(), _use_new_zipfile_serialization=False)
    assert "torch's format from before version 1.6: load it once with torch and torch.save it again" in fault_of(path)


def test_each_contradiction_names_the_tensor(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pt", {"first": some_state()["b"]})

    def without(name: str, content: bytes) -> bytes | None:
        return None if name.endswith("data/0") else content

    def shorter(name: str, content: bytes) -> bytes:
        return content[:-1] if name.endswith("data/0") else content

    def longer_shape(name: str, content: bytes) -> bytes:
        return content.replace(b"K\x05\x85", b"K\x06\x85") if name.endswith("data.pkl") else content

    def cut(name: str, content: bytes) -> bytes:
        return content[:40] if name.endswith("data.pkl") else content

    def big(name: str, content: bytes) -> bytes:
        return b"big" if name.endswith("byteorder") else content

    for change, said in (
        (without, "the data of tensor 'first' is missing"),
        (shorter, "the data of tensor 'first' takes 19 bytes, not 5 float32"),
        (longer_shape, "the data of tensor 'first' does not fit its shape [6]"),
        (cut, "x.pt is damaged: its structure cannot be read"),
        (big, "big-endian"),
        (lambda name, content: None if name.endswith("data.pkl") else content, "there is no data.pkl in it"),
    ):
        assert said in fault_of(rewritten(path, change))


@pytest.mark.parametrize("content", [{}, [1, 2], {"a": 1}, {3: None}])
def test_what_holds_no_tensors_is_refused(tmp_path: Path, content: Any) -> None:
    assert "x.pt " in (message := fault_of(saved(tmp_path / "x.pt", content)))
    assert "tensors" in message


def test_pickles_that_are_no_structure(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pt", some_state())
    for number, pickled in enumerate((b"", b"\x80\x02", pickle.dumps(3), b"\x80\x02cos\nsystem\n.", b"X" * 50)):
        bad = rewritten(path, lambda name, content, new=pickled: new if name.endswith("data.pkl") else content)
        shutil.move(bad, tmp_path / f"{number}.pt")
        assert fault_of(tmp_path / f"{number}.pt").startswith("x.pt ")


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
        b"X\x03\x00\x00\x00cpuG\x7f\xf0\x00\x00\x00\x00\x00\x00tQ.",  # infinitely many values
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00foo\x86R.",  # an alphabet that is none
        b"\x80\x02Nr\x00\x00\x00\x01.",  # the sixteen-millionth place of a memo, for which the reader would make room
        b"\x80\x02Np16777216\n.",
    ],
)
def test_pickles_that_ask_for_too_much(tmp_path: Path, pickled: bytes) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
    assert "x.pt is damaged: its structure cannot be read" in fault_of(path)


@pytest.mark.parametrize("record", ["data.pkl", "byteorder"])
def test_a_compressed_record_is_not_unpacked(tmp_path: Path, record: str) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (("data.pkl", b"N."), ("byteorder", b"little")):
            kind = zipfile.ZIP_DEFLATED if name == record else zipfile.ZIP_STORED
            archive.writestr(f"archive/{name}", content, kind)
    assert f"its archive/{record} is compressed" in fault_of(path)


@pytest.mark.parametrize(("at", "value"), [(6, 99), (46, 0xFF)])
def test_a_directory_that_no_reader_of_archives_takes(tmp_path: Path, at: int, value: int) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"N.")
    content = bytearray(path.read_bytes())
    entry = content.find(b"PK\x01\x02")
    content[entry + 9] |= 8  # names in UTF-8
    content[entry + at] = value
    path.write_bytes(content)
    assert "truncated, or no file of torch.save" in fault_of(path)


def test_reading_needs_no_torch(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pt", some_state())
    code = (
        "import sys; from pathlib import Path; from cosmos_handler.artifacts.native.torch_file import read_torch_file;"
        "print(len(read_torch_file(Path(sys.argv[1])).tensors), 'torch' in sys.modules)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code, path], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["5", "False"]
