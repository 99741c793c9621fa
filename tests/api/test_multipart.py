"""Forms are the same however they are cut, and are put away where they belong."""

import asyncio
from collections.abc import AsyncGenerator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmos_handler.api.intake import BodyLimits, Budget, Intake
from cosmos_handler.api.multipart import FilePart, read_parts
from cosmos_handler.api.spool import Spool
from cosmos_handler.errors import BodiesFull, InvalidBody

TYPE = "multipart/form-data; boundary=frontier"
NAMES = st.text(st.characters(min_codepoint=32, exclude_characters='"\\\x7f', exclude_categories=["C"]), min_size=1)
CONTENTS = st.binary(max_size=300) | st.sampled_from([b"\r\n--frontie", b"\r\n", b"--frontier", b"\r", b"-" * 40])


def encoded(parts: list[tuple[str, bytes, bool]]) -> bytes:
    pieces = []
    for name, content, is_file in parts:
        head = f'Content-Disposition: form-data; name="{name}"' + ('; filename="f.bin"' if is_file else "")
        pieces.append(b"--frontier\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n")
    return b"".join(pieces) + b"--frontier--\r\n"


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def read(pieces: list[bytes], limits: BodyLimits, content_type: str = TYPE) -> list[tuple[str, str | bytes]]:
    async def stream() -> AsyncGenerator[bytes, None]:
        for piece in pieces:
            yield piece

    async def scenario() -> list[tuple[str, str | bytes]]:
        budget = Budget(limits)
        async with Intake(budget) as intake:
            parts = await read_parts(content_type, stream(), intake)
            read = [(name, part.upload.read() if isinstance(part, FilePart) else part) for name, part in parts]
        assert budget.taken == {"memory": 0, "disk": 0}
        return read

    found = asyncio.run(scenario())
    assert not list(limits.work_dir.glob("spool-*"))
    return found


@pytest.fixture(scope="module")
def limits(tmp_path_factory: pytest.TempPathFactory) -> BodyLimits:
    folder = tmp_path_factory.mktemp("work")
    return BodyLimits(10**8, 10**6, 10, work_dir=folder, owner="abcdef01")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(NAMES.filter(lambda name: len(name) < 50), CONTENTS, st.booleans()), max_size=5),
    st.lists(st.integers(0, 10**6), max_size=8),
)
def test_a_form_is_the_same_however_it_is_cut(
    limits: BodyLimits, parts: list[tuple[str, bytes, bool]], places: list[int]
) -> None:
    parts = [part for part in parts if b"\r\n--frontier" not in b"\r\n" + part[1]]
    found = read(cut(encoded(parts), places), limits)
    assert [name for name, _ in found] == [name for name, _, _ in parts]
    for (_, content), (_, sent, is_file) in zip(found, parts, strict=True):
        if is_file:
            assert content == sent
        else:
            assert isinstance(content, str)
            assert content.encode("latin-1" if not _is_utf_8(sent) else "utf-8") == sent


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(0, 10**6), max_size=4))
def test_noise_is_refused_or_read(limits: BodyLimits, noise: bytes, places: list[int]) -> None:
    data = encoded([("a", b"1", False)]).replace(b"1\r\n", noise + b"\r\n")
    for pieces in (cut(noise, places), cut(b"--frontier\r\n" + noise, places), cut(data, places)):
        try:
            read(pieces, limits)
        except InvalidBody as error:
            assert str(error).startswith("the form cannot be read")  # noqa: PT017 - either is right


@pytest.mark.parametrize("size", [0, 2**16, 2**16 + 1, 2**20, 3 * 2**20 + 7])
def test_files_of_all_sizes(limits: BodyLimits, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    data = encoded([("a", content, True), ("b", b"text", False), ("c", content, True)])
    found = read([data[start : start + 2**18] for start in range(0, len(data), 2**18)], limits)
    assert found == [("a", content), ("b", "text"), ("c", content)]


@pytest.mark.parametrize("is_file", [False, True])
def test_what_stays_in_memory_is_counted(limits: BodyLimits, is_file: bool) -> None:
    parts = [(str(number), bytes(60_000), is_file) for number in range(17)]
    with pytest.raises(BodiesFull, match="1000000 bytes"):
        read([encoded(parts)], limits)
    assert len(read([encoded(parts[:16])], limits)) == 16


@pytest.mark.parametrize("is_file", [False, True])
def test_only_so_many_parts(limits: BodyLimits, is_file: bool) -> None:
    parts = [(str(number), b"", is_file) for number in range(513)]
    assert len(read([encoded(parts[:512])], limits)) == 512
    with pytest.raises(InvalidBody, match="more than 512"):
        read([encoded(parts)], limits)


@pytest.mark.parametrize(
    ("data", "content_type", "says"),
    [
        (encoded([("a", b"x" * (2**20 + 1), False)]), TYPE, "1048576 bytes"),
        (encoded([("a", b"x" * 100, True)])[:90], TYPE, "in the middle of a part"),
        (encoded([]), "multipart/form-data", "no boundary"),
        (encoded([]), 'multipart/form-data; boundary=""', "no boundary"),
        (encoded([("a", b"", True)]).replace(b"name=", b"eman="), TYPE, "has no name"),
    ],
)
def test_what_no_form_may_be(limits: BodyLimits, data: bytes, content_type: str, says: str) -> None:
    with pytest.raises(InvalidBody, match=says):
        read([data], limits, content_type)


def test_a_full_disk_is_told(limits: BodyLimits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spool, "new_file", lambda _: Path("/dev/full"))  # where every write finds no room
    with pytest.raises(BodiesFull, match="disk has no room"):
        read([encoded([("a", bytes(10**5), True)])], limits)
