"""What a transfer request means: sizes, chunks and rates, and whether its video and its control go together."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.artifacts import negative_prompts
from cosmos_handler.engine.inbox import Inbox
from cosmos_handler.engine.transfer import transfer_task
from cosmos_handler.errors import InvalidField, MediaError
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.messages.tasks import Transfer
from cosmos_handler.schemas.invocation import parse
from cosmos_handler.schemas.served import Served
from cosmos_handler.schemas.transfer import TransferRequest
from cosmos_handler.schemas.upload import Upload
from tests.container.media import clip, png
from tests.fakes import TRANSFER

SERVED = Served(TRANSFER.name, TRANSFER.aliases, TRANSFER.family, TRANSFER.tasks)


def task(folder: Path, uploads: Mapping[str, bytes], **body: Any) -> Transfer:
    whole = {"prompt": "a robot", "video_path": "in.mp4", **body}
    invocation = parse({key: value for key, value in whole.items() if value is not None}, models=[SERVED])
    assert isinstance(invocation.request, TransferRequest)

    async def build() -> Transfer:
        files = {name: Upload.of(data) for name, data in uploads.items()}
        inbox = Inbox(folder, files, MediaLimits(), asyncio.Semaphore())
        assert isinstance(invocation.request, TransferRequest)
        return await transfer_task(invocation, invocation.request, TRANSFER, inbox, "mp4")

    return asyncio.run(build())


def fault_of(folder: Path, uploads: Mapping[str, bytes], **body: Any) -> InvalidField | MediaError:
    with pytest.raises((InvalidField, MediaError)) as caught:
        task(folder, uploads, **body)
    return caught.value


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return clip(tmp_path_factory.mktemp("video") / "clip.mp4", num_frames=6, fps=10)  # 96 wide, 64 high


def test_nvidias_defaults(tmp_path: Path, video: bytes) -> None:
    made = task(tmp_path, {"in.mp4": video}, edge={})
    assert (made.seed, made.guidance, made.num_steps) == (2025, 3.0, 35)
    assert (made.num_frames_per_chunk, made.num_conditional_frames) == (93, 1)
    assert made.negative_prompt == negative_prompts.TRANSFER
    assert made.negative_prompt.startswith("The video captures a game playing")
    assert (made.control, made.preset, made.control_weight, made.control_media) == ("edge", "medium", 1.0, None)
    assert (made.num_frames, made.num_output_frames, made.fps) == (6, 6, 10.0)


def test_the_tier_s_size_for_the_input_s_shape_and_the_input_s_size_again(tmp_path: Path, video: bytes) -> None:
    made = task(tmp_path, {"in.mp4": video}, edge={})
    assert (made.height, made.width) == (704, 960)  # 3:2 is nearer to 4:3 than to 16:9
    assert (made.output_height, made.output_width) == (64, 96)
    made = task(tmp_path, {"in.mp4": video}, edge={}, resolution="256", keep_input_resolution=False)
    assert (made.height, made.width) == (made.output_height, made.output_width) == (256, 320)
    made = task(tmp_path, {"in.mp4": video}, edge={}, resolution="96,160")
    assert (made.height, made.width) == (96, 160)


def test_an_upright_input_of_odd_size(tmp_path: Path) -> None:
    upright = clip(tmp_path / "upright.mp4", num_frames=2, height=128, width=62)
    made = task(tmp_path, {"in.mp4": upright}, vis={}, resolution="480")
    assert (made.height, made.width) == (768, 432)
    assert (made.output_height, made.output_width) == (128, 62)


def test_max_frames_cuts_the_video_and_the_map(tmp_path: Path, video: bytes) -> None:
    longer = clip(tmp_path / "longer.mp4", num_frames=8)
    uploads = {"in.mp4": video, "map.mp4": longer}
    made = task(tmp_path, uploads, depth={"control_path": "map.mp4"}, max_frames=5)
    assert made.video is not None
    assert made.control_media is not None
    assert (made.num_frames, made.video.num_frames, made.control_media.num_frames) == (5, 5, 5)
    error = fault_of(tmp_path, uploads, edge={}, max_frames=7)
    assert (error.field, "too few frames (6): at least 7" in str(error)) == ("video_path", True)


def test_a_map_is_enough(tmp_path: Path, video: bytes) -> None:
    made = task(tmp_path, {"map.mp4": video}, video_path=None, depth={"control_path": "map.mp4"})
    assert made.video is None
    assert (made.num_frames, made.fps, made.output_width) == (6, 10.0, 96)


def test_a_map_goes_with_its_video(tmp_path: Path, video: bytes) -> None:
    longer = clip(tmp_path / "longer.mp4", num_frames=8)
    error = fault_of(tmp_path, {"in.mp4": video, "map.mp4": longer}, edge={"control_path": "map.mp4"})
    assert error.field == "edge.control_path"
    assert "has 8 frames, and video_path has 6" in str(error)
    square = clip(tmp_path / "square.mp4", num_frames=6, height=64, width=64)
    error = fault_of(tmp_path, {"in.mp4": video, "map.mp4": square}, blur={"control_path": "map.mp4"})
    assert error.field == "blur.control_path"
    assert "is 64x64, another shape than the 96x64 of video_path" in str(error)
    near = clip(tmp_path / "near.mp4", num_frames=6, height=48, width=64)  # 4:3, as the input is nearly
    assert task(tmp_path, {"in.mp4": video, "map.mp4": near}, edge={"control_path": "map.mp4"}).control_media


@pytest.mark.parametrize("control", ["depth"])
def test_a_map_that_is_not_computed_is_asked_for(tmp_path: Path, video: bytes, control: str) -> None:
    error = fault_of(tmp_path, {"in.mp4": video}, **{control: {}})
    assert error.field == f"{control}.control_path"
    assert "a video with the depth map of every frame of the input" in str(error)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"seg": {"control_path": "in.mp4"}}, "seg"),  # the checkpoint has no such branch
        ({"edge": {}, "vis": {}}, "vis"),
        ({"edge": {}, "video_path": None}, "video_path"),
        ({"edge": {"control_path": "in.mp4", "preset_edge_threshold": "low"}}, "edge.control_path"),
        ({"depth": {"control_path": "in.mp4"}, "video_path": None, "show_input": True}, "show_input"),
        ({"edge": {}, "num_video_frames_per_chunk": 1}, "num_video_frames_per_chunk"),
        ({"edge": {}, "num_video_frames_per_chunk": 10}, "num_video_frames_per_chunk"),
        ({"edge": {}, "num_frames_per_chunk": 129}, "num_frames_per_chunk"),
        ({"edge": {}, "resolution": "600"}, "resolution"),
        ({"edge": {}, "size": "100x64"}, "size"),
        ({"edge": {}, "resolution": "64,1936"}, "resolution"),
        ({"edge": {"control_path": "photo.png"}}, "edge.control_path"),
    ],
)
def test_faults(tmp_path: Path, video: bytes, body: dict[str, Any], field: str) -> None:
    assert fault_of(tmp_path, {"in.mp4": video, "photo.png": png()}, **body).field == field
