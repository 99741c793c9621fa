"""The header reader: valid files come back as they were written, and nothing else gets past it, or past its error."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosmos_handler.artifacts.safetensors_header import MAX_HEADER_BYTES, read_header
from cosmos_handler.errors import CheckpointError
from tests.artifacts.miniature import BYTES_PER_VALUE, SOME_WEIGHTS, header_of, safetensors_bytes

TORCH_NAMES = {
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "U8": "uint8",
    "BOOL": "bool",
}
# The file is written anew for every example, so one folder serves them all.
every_example = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)
tensor_sets = st.dictionaries(
    st.text(min_size=1, max_size=12).filter(lambda name: name != "__metadata__"),
    st.tuples(st.sampled_from(sorted(BYTES_PER_VALUE)), shapes),
    max_size=6,
)
metadata_sets = st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2)


def fault_of(path: Path, content: bytes) -> str:
    """What the reader says about a file of this content."""
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_header(path, shown_as="part/w.safetensors")
    message = str(caught.value)
    assert message.startswith("part/w.safetensors ")
    return message


def file_of(header: Any, data_bytes: int = 0) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(data_bytes)


def one_tensor(**changes: Any) -> dict[str, Any]:
    return {"w": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12], **changes}}


@every_example
@given(tensors=tensor_sets, metadata=metadata_sets, padding=st.integers(0, 9))
def test_a_valid_file_comes_back_as_written(tmp_path: Path, tensors: Any, metadata: Any, padding: int) -> None:
    path = tmp_path / "w.safetensors"
    text = json.dumps(header_of(tensors, metadata)).encode() + b" " * padding
    data = safetensors_bytes(tensors)[8 + len(json.dumps(header_of(tensors))) :]
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    header = read_header(path)
    found = {name: (tensor.dtype, tensor.shape) for name, tensor in header.tensors.items()}
    assert found == {name: (TORCH_NAMES[dtype], shape) for name, (dtype, shape) in tensors.items()}
    assert sum(tensor.size_bytes for tensor in header.tensors.values()) == len(data)
    assert header.raw == text


@every_example
@given(content=st.binary(max_size=80))
def test_random_bytes_raise_nothing_but_a_checkpoint_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    try:
        header = read_header(path)
    except CheckpointError:
        return
    assert content == len(header.raw).to_bytes(8, "little") + header.raw  # chance found a file without tensors


@every_example
@given(data=st.data())
def test_a_mutated_file_is_refused_or_still_consistent(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(safetensors_bytes(SOME_WEIGHTS, {"format": "pt"}))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content) - 1))
        content[start : start + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    try:
        header = read_header(path)
    except CheckpointError:
        return
    assert 8 + len(header.raw) + sum(t.size_bytes for t in header.tensors.values()) == len(content)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.sampled_from(["BF16", "F4", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["dtype", "shape"]), inner, max_size=2),
    max_leaves=6,
)


@every_example
@given(
    dtype=st.just("BF16") | json_values,
    shape=st.just([2, 3]) | json_values,
    offsets=st.just([0, 12]) | json_values,
    entry=st.none() | json_values,
)
def test_any_json_in_a_header_raises_nothing_but_a_checkpoint_error(
    tmp_path: Path, dtype: Any, shape: Any, offsets: Any, entry: Any
) -> None:
    header = one_tensor(dtype=dtype, shape=shape, data_offsets=offsets) if entry is None else {"w": entry}
    path = tmp_path / "w.safetensors"
    path.write_bytes(file_of(header, 12))
    try:
        (tensor,) = read_header(path).tensors.values()
    except CheckpointError:
        return
    assert tensor.size_bytes == 12


def test_every_cut_of_a_file_is_truncated(tmp_path: Path) -> None:
    whole = safetensors_bytes(SOME_WEIGHTS)
    for length in range(1, len(whole)):
        assert "is truncated: its header promises" in fault_of(tmp_path / "w", whole[:length]), length


def test_the_truncation_is_told_in_bytes(tmp_path: Path) -> None:
    whole = safetensors_bytes(SOME_WEIGHTS)
    promised = f"promises {len(whole)} bytes, the file has {len(whole) - 10}"
    assert promised in fault_of(tmp_path / "w", whole[:-10])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs example\noid sha256:00\nsize 1\n", "Git LFS pointer"),
        ((MAX_HEADER_BYTES + 1).to_bytes(8, "little") + b"{}", "is not a safetensors file: it would have a header of"),
        (file_of([1]), "not a JSON object"),
        ((3).to_bytes(8, "little") + b" {}", "not a JSON object"),
        ((3).to_bytes(8, "little") + b"{}}", "not valid JSON"),
        ((2).to_bytes(8, "little") + b"\xff\xff", "not valid JSON"),
        ((200_000).to_bytes(8, "little") + b"[" * 200_000, "not valid JSON"),
        ((17).to_bytes(8, "little") + b'{"w": 1, "w": 2}}', "not valid JSON"),
        ((16).to_bytes(8, "little") + b'{"w": 1, "w": 2}', "not valid JSON"),
        (file_of({"__metadata__": {"format": 1}}), "__metadata__"),
        (file_of(one_tensor(), 13), "accounts for"),
        (file_of({"w": 3}), "tensor 'w' by something that is not an object"),
        (file_of(one_tensor(dtype="F128"), 12), "tensor 'w' with an unknown dtype"),
        (file_of(one_tensor(shape=[True, 6]), 12), "a shape that is not a list of sizes"),
        (file_of(one_tensor(shape=[-2, -3]), 12), "a shape that is not a list of sizes"),
        (file_of(one_tensor(data_offsets=[12, 0]), 12), "data_offsets that are not [begin, end]"),
        (file_of(one_tensor(shape=[2, 4]), 12), "as BF16 [2, 4], which does not take 12 bytes"),
        (file_of(one_tensor(dtype="F4", shape=[3], data_offsets=[0, 1]), 1), "which does not take 1 bytes"),
        (file_of(one_tensor(data_offsets=[4, 16]), 16), "the data of tensor 'w' leaves a gap before it"),
        (file_of(one_tensor() | {"x": one_tensor(data_offsets=[6, 18])["w"]}, 18), "'x' overlaps the one before it"),
    ],
)
def test_each_kind_of_damage_has_its_words(tmp_path: Path, content: bytes, said: str) -> None:
    assert said in fault_of(tmp_path / "w", content)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.safetensors"
    with pytest.raises(CheckpointError, match=re.escape(f"{path} cannot be read: No such file")):
        read_header(path)
    with pytest.raises(CheckpointError, match="cannot be read: Is a directory"):
        read_header(tmp_path)


def test_sub_byte_types_are_counted_in_bits(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(file_of(one_tensor(dtype="F4", shape=[2, 3], data_offsets=[0, 3]), 3))
    assert read_header(path).tensors["w"].size_bytes == 3
