"""TorchScript programs: read without torch, checked against the archive, and nothing in them is run."""

import io
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.artifacts.native.script_file import read_script_file
from cosmos_handler.artifacts.native.torch_file import read_torch_file
from cosmos_handler.artifacts.safetensors_header import StoredTensor
from cosmos_handler.errors import CheckpointError

# torch means to give up the programs, but not yet.
pytestmark = [pytest.mark.model, pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A traced program of a few layers, one of them in bfloat16 and one with its weights turned."""
    import torch

    layers = torch.nn.Sequential()
    layers.add_module("first", torch.nn.Linear(3, 4))
    layers.add_module("inner", torch.nn.Sequential(torch.nn.Identity(), torch.nn.BatchNorm1d(4)))
    layers.first.weight = torch.nn.Parameter(torch.arange(12.0).reshape(3, 4).t())
    layers.register_buffer("counts", torch.tensor([8, -5, 5], dtype=torch.int32))
    layers.register_buffer("coarse", torch.tensor([0.5, -2.0], dtype=torch.bfloat16))
    path = tmp_path_factory.mktemp("program") / "program.jit"
    torch.jit.save(torch.jit.trace(layers.eval(), torch.zeros(2, 3)), path)
    return path


def rewritten(path: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """The archive with some of its records changed, or left out."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for info in old.infolist():
            content = change(info.filename.partition("/")[2], old.read(info))
            if content is not None:
                new.writestr(info.filename, content)
    return target


def with_structure(path: Path, target: Path, structure: bytes) -> Path:
    return rewritten(path, target, lambda name, content: structure if name == "data.pkl" else content)


def fault_of(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_script_file(path, shown_as="x.jit")
    return str(caught.value)


def test_the_names_shapes_and_types_of_the_state_dictionary(program: Path) -> None:
    import torch

    state = torch.jit.load(program).state_dict()
    found = read_script_file(program)
    assert found.tensors == {
        key: StoredTensor(str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), tensor.nbytes)
        for key, tensor in state.items()
    }
    assert "inner.1.running_mean" in found.tensors
    assert found.small["counts"] == (8, -5, 5)
    assert found.small["coarse"] == (0.5, -2.0)
    assert "first.weight" not in found.small


def test_the_tensors_themselves(program: Path) -> None:
    import torch

    from cosmos_handler.memory.scripted import scripted_tensors

    state = torch.jit.load(program).state_dict()
    taken = scripted_tensors({"x.jit": program}, {key: f"our.{key}" for key in state})
    assert taken.keys() == {f"our.{key}" for key in state}
    for key, tensor in state.items():
        assert torch.equal(taken[f"our.{key}"], tensor)
        assert taken[f"our.{key}"].dtype == tensor.dtype
        taken[f"our.{key}"].add_(1)  # it can be written to, and is nobody else's
    with pytest.raises(CheckpointError, match=r"x\.jit lack other \(1 tensors in all\)"):
        scripted_tensors({"x.jit": program}, {"other": "ours", "counts": "counts"})


def test_the_raw_bytes_change_with_a_value(program: Path, tmp_path: Path) -> None:
    changed = rewritten(
        program, tmp_path / "x", lambda name, content: b"\x07" * len(content) if name == "data/0" else content
    )
    assert read_script_file(changed).tensors == read_script_file(program).tensors
    assert read_script_file(changed).raw != read_script_file(program).raw


def test_no_code_of_the_program_is_looked_at(program: Path, tmp_path: Path) -> None:
    bare = rewritten(program, tmp_path / "x", lambda name, content: None if name.startswith("code/") else content)
    assert read_script_file(bare) == read_script_file(program)


def test_neither_torch_nor_numpy_is_imported(program: Path) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from cosmos_handler.artifacts.native.script_file import read_script_file;"
        "print(len(read_script_file(Path(sys.argv[1])).tensors), 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code, program], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["9", "False", "False"]


def test_each_kind_of_file_is_for_its_own_reader(program: Path, tmp_path: Path) -> None:
    import torch

    torch.save({"a": torch.zeros(2)}, tmp_path / "plain.pt")
    assert fault_of(tmp_path / "plain.pt") == "x.jit is not a TorchScript program"
    with pytest.raises(CheckpointError, match=r"y\.pt is a TorchScript program, not weights alone"):
        read_torch_file(program, shown_as="y.pt")


def test_what_a_pickle_could_run_is_refused(program: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    pickled = pickle.dumps({"weight": Trap()}, protocol=2)
    fault = fault_of(with_structure(program, tmp_path / "x", pickled))
    assert "which weights have no need of: it is not loaded" in fault
    assert not (tmp_path / "ran").exists()


def module(state: bytes, *, number: int) -> bytes:
    """The pickle, without its end, of a module put together of some state, and remembered under a number."""
    return b"c__torch__.x\nM\n)\x81" + b"q" + bytes([number]) + state + b"b"


def test_modules_without_end(program: Path, tmp_path: Path) -> None:
    circle = b"\x80\x02" + module(b"}X\x01\x00\x00\x00ah\x00s", number=0) + b"."
    assert fault_of(with_structure(program, tmp_path / "x", circle)) == (
        "x.jit is damaged: its modules lie more than 64 deep"
    )
    doubled = b"\x80\x02" + module(b"}", number=0)
    for number in range(1, 60):
        pair = b"X\x01\x00\x00\x00ah" + bytes([number - 1]) + b"X\x01\x00\x00\x00bh" + bytes([number - 1])
        doubled += b"0" + module(b"}(" + pair + b"u", number=number)
    fault = fault_of(with_structure(program, tmp_path / "y", doubled + b"."))
    assert fault == "x.jit is damaged: it has more than 100000 modules"


@pytest.mark.parametrize(
    ("structure", "fault"),
    [
        (pickle.dumps({"a": 1}, protocol=2), "x.jit is not a TorchScript program: its structure is no module"),
        (b"\x80\x02c__torch__.x\nM\n)\x81.", "x.jit holds no tensors"),
        (b"\x80\x02c__torch__.x\nM\n)\x81]b.", "x.jit is damaged: its structure cannot be read (ValueError)"),
        (b"\x80\x02", "x.jit is damaged: its structure cannot be read (ValueError)"),
    ],
)
def test_structures_that_are_no_program(program: Path, tmp_path: Path, structure: bytes, fault: str) -> None:
    assert fault_of(with_structure(program, tmp_path / "x", structure)) == fault


def test_data_that_is_missing_or_short(program: Path, tmp_path: Path) -> None:
    gone = rewritten(program, tmp_path / "x", lambda name, content: None if name == "data/0" else content)
    assert fault_of(gone).startswith("x.jit is damaged: the data of tensor ")
    assert fault_of(gone).endswith(" is missing")
    short = rewritten(program, tmp_path / "y", lambda name, content: content[:-1] if name == "data/0" else content)
    assert " bytes, not " in fault_of(short)
    cut = tmp_path / "z"
    cut.write_bytes(program.read_bytes()[:-100])
    assert "is truncated" in fault_of(cut)
    assert fault_of(tmp_path / "nothing").startswith("x.jit cannot be read")


def test_data_that_was_changed_after_it_was_written(program: Path, tmp_path: Path) -> None:
    from cosmos_handler.memory.scripted import scripted_tensors

    content = bytearray(program.read_bytes())
    with zipfile.ZipFile(io.BytesIO(bytes(content))) as archive:
        key = next(key for key, view in read_script_file(program).views.items() if view.storage.num_values == 12)
        record = archive.read(f"program/data/{read_script_file(program).views[key].storage.key}")
    content[content.index(record)] ^= 1
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CheckpointError):
        scripted_tensors({"x.jit": tmp_path / "x"}, {key: "ours"})
