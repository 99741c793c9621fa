"""A long video's chunks: as many as its frames need, and nothing that the VAE or the pipeline could not make."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos_handler.errors import InvalidField
from tests.engine.test_generation import task


@given(st.integers(1, 1920), st.integers(2, 127), st.sampled_from([1, 5]))
def test_the_chunks_are_just_enough(asked: int, size: int, overlap: int) -> None:
    frames = 4 * size + 1
    made = task(num_output_frames=asked, enable_autoregressive=True, chunk_size=frames, chunk_overlap=overlap)
    assert (made.num_frames, made.chunk_overlap, made.num_output_frames) == (frames, overlap, asked)

    def made_by(chunks: int) -> int:
        return frames + (chunks - 1) * (frames - overlap)

    assert made_by(made.num_chunks) >= asked
    assert made.num_chunks == 1 or made_by(made.num_chunks - 1) < asked


def test_nvidias_chunks_by_default() -> None:
    made = task(num_output_frames=200, enable_autoregressive=True)
    assert (made.num_frames, made.num_chunks, made.chunk_overlap) == (77, 3, 1)


def test_without_chunks_the_defaults_may_be_said() -> None:
    made = task(num_output_frames=9, enable_autoregressive=False, chunk_size=77, chunk_overlap=1)
    assert (made.num_frames, made.num_chunks) == (9, 1)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"chunk_size": 81}, "chunk_size"),
        ({"chunk_overlap": 5}, "chunk_overlap"),
        ({"enable_autoregressive": False, "chunk_overlap": 5}, "chunk_overlap"),
        ({"enable_autoregressive": True, "chunk_overlap": 4}, "chunk_overlap"),
        ({"enable_autoregressive": True, "chunk_overlap": 0}, "chunk_overlap"),
        ({"enable_autoregressive": True, "chunk_size": 78}, "chunk_size"),
        ({"enable_autoregressive": True, "chunk_size": 1}, "chunk_size"),
        ({"enable_autoregressive": True, "chunk_size": 5, "chunk_overlap": 5}, "chunk_size"),
        ({"enable_autoregressive": True, "chunk_size": 513}, "chunk_size"),
        ({"enable_autoregressive": True, "num_frames": 1921}, "num_frames"),
    ],
)
def test_faults(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        task(**body)
    assert caught.value.field == field
