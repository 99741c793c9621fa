"""Where a file's boxes claim to lie is no place to go without a look."""

import struct
from pathlib import Path

import pytest

from cosmos_handler.media.boxes import refers_elsewhere


@pytest.mark.parametrize("size", [16, 17, 200, 2**31, 2**63 - 1, 2**64 - 1])
@pytest.mark.parametrize("kind", [b"moov", b"free"])
def test_a_box_of_any_claimed_size_is_survived(tmp_path: Path, kind: bytes, size: int) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(struct.pack(">I4sQ", 1, kind, size) + bytes(50))
    assert not refers_elsewhere(path)
