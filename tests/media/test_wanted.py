"""Which frames are picked."""

from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from cosmos_handler.media.refusal import Refusal
from cosmos_handler.media.wanted import FirstFrames, LastFrames, SampledFrames, Wanted, WantedImage

TOTALS = st.integers(1, 20_000)
RATES = st.floats(0.01, 1000)


@settings(deadline=None)
@given(TOTALS, RATES, RATES, st.integers(1, 50), st.integers(0, 1000))
def test_sampled_frames_are_ascending_and_bounded(
    total: int, source_fps: float, fps: float, min_frames: int, more_frames: int
) -> None:
    wanted = SampledFrames(fps, min_frames=min_frames, max_frames=min_frames + more_frames)
    indices = wanted.indices(total, source_fps)
    assert min(min_frames, total) <= len(indices) <= min(min_frames + more_frames, total)
    assert list(indices) == sorted(set(indices))
    assert indices[0] == 0
    if len(indices) > 1:
        assert indices[-1] == total - 1
    assert all(type(index) is int for index in indices)


@pytest.mark.model
@settings(deadline=None)
@given(TOTALS, RATES, st.sampled_from([0.5, 1.0, 2.0, 4.0, 29.97]))
def test_sampled_frames_are_those_of_transformers(total: int, source_fps: float, fps: float) -> None:
    from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor
    from transformers.video_utils import VideoMetadata

    metadata = VideoMetadata(total_num_frames=total, fps=source_fps)
    theirs = Qwen3VLVideoProcessor().sample_frames(metadata, fps=fps)
    assert SampledFrames(fps).indices(total, source_fps) == tuple(theirs)


@pytest.mark.model
@settings(deadline=None)
@given(st.integers(2, 20_000), RATES, st.sampled_from([0.5, 1.0, 2.0, 4.0, 29.97]))
def test_equal_steps_are_those_of_transformers(total: int, source_fps: float, fps: float) -> None:
    from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor
    from transformers.video_utils import VideoMetadata

    metadata = VideoMetadata(total_num_frames=total, fps=source_fps)
    theirs = Qwen2VLVideoProcessor().sample_frames(metadata, fps=fps)
    # Where the steps do not add up in floating point, theirs ends with a frame that the video does not have.
    there = tuple(index for index in theirs.tolist() if index < total)
    assert SampledFrames(fps, rule="equal_steps").indices(total, source_fps) == there


@pytest.mark.parametrize("rule", ["both_ends", "equal_steps"])
def test_a_number_of_frames(rule: Literal["both_ends", "equal_steps"]) -> None:
    assert len(SampledFrames(4, num_frames=6, rule=rule).indices(100, 10)) == 6
    assert SampledFrames(4, num_frames=-1, rule=rule).indices(10, 10) == tuple(range(10))
    assert len(SampledFrames(4, num_frames=-1, max_frames=8, rule=rule).indices(100, 10)) == 8
    with pytest.raises(Refusal, match="has 5 frames, of which 6"):
        SampledFrames(4, num_frames=6, rule=rule).indices(5, 10)


@pytest.mark.parametrize("rule", ["both_ends", "equal_steps"])
def test_a_stretch_of_the_video(rule: Literal["both_ends", "equal_steps"]) -> None:
    wanted = SampledFrames(5, start_seconds=2, end_seconds=4.5, rule=rule)
    assert wanted.stretch(100, 10) == range(20, 46)
    indices = wanted.indices(100, 10)
    assert (indices[0], len(indices)) == (20, 13 if rule == "both_ends" else 12)
    assert indices[-1] <= 45
    assert SampledFrames(5, start_seconds=9, rule=rule).stretch(100, 10) == range(90, 100)
    with pytest.raises(Refusal, match=r"lasts 10\.00 s: there is nothing from video_start to video_end"):
        SampledFrames(5, start_seconds=10, rule=rule).indices(100, 10)


def test_rates_that_no_file_should_have_do_no_harm() -> None:
    assert len(SampledFrames(1e308).indices(1000, 1e-300)) == 768
    assert len(SampledFrames(1e-300).indices(1000, 1e308)) == 4


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(0, 1000))
def test_last_frames_are_the_last(count: int, before: int) -> None:
    indices = LastFrames(count).indices(before + count, 24)
    assert indices == tuple(range(before, before + count))


@pytest.mark.parametrize("make", [lambda: LastFrames(0), lambda: SampledFrames(0), lambda: SampledFrames(float("nan"))])
def test_nonsense_cannot_be_wanted(make: type[Wanted]) -> None:
    with pytest.raises(ValueError, match="is "):
        make()


@pytest.mark.parametrize("wanted", [WantedImage(), LastFrames(5), SampledFrames(2.0, max_frames=9, end_seconds=3.5)])
def test_wanted_goes_through_pydantic(wanted: Wanted) -> None:
    adapter: TypeAdapter[Wanted] = TypeAdapter(Wanted)
    assert adapter.validate_json(adapter.dump_json(wanted)) == wanted


def test_the_first_frames_or_all_of_them() -> None:
    assert FirstFrames(3).indices(8, 30.0) == (0, 1, 2)
    assert FirstFrames(None).indices(4, 30.0) == (0, 1, 2, 3)
    assert (FirstFrames(3).min_source_frames, FirstFrames(None).min_source_frames) == (3, 1)
    with pytest.raises(ValueError, match="less than 1"):
        FirstFrames(0)
