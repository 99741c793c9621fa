"""What goes on from a medium comes through every face, and NVIDIA's lines come with the videos that they name."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message

from cosmos_handler.api.body import Body, read_body
from cosmos_handler.api.intake import BodyLimits, Budget, Intake
from cosmos_handler.api.models import model_object
from cosmos_handler.api.openapi import document
from cosmos_handler.api.recognition import understand_one
from cosmos_handler.api.understanding import understand, understand_picture
from cosmos_handler.engine.backlog import Backlog
from cosmos_handler.engine.inbox import Inbox
from cosmos_handler.engine.tasks import build_task
from cosmos_handler.errors import InvalidField, MediaError, RequestError, UnknownModel
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.messages.tasks import Continue
from cosmos_handler.schemas.autoregressive import ContinueRequest
from cosmos_handler.schemas.invocation import Invocation
from cosmos_handler.schemas.samples import expand
from cosmos_handler.schemas.upload import Upload
from tests.conftest import SAMPLES
from tests.fakes import CONTINUE, CONTINUE_PROMPTED, REASON, IdleEngine
from tests.media.makers import write_video

LINES = SAMPLES / "predict1" / "autoregressive_video2world.jsonl"
VIDEO = SAMPLES / "predict1" / "autoregressive_input.mp4"
MP4 = b"\0\0\0\x18ftypisom" + bytes(12)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


@pytest.fixture
def engine(tmp_path: Path) -> IdleEngine:
    """With two models, one of them a reasoner."""
    engine = IdleEngine(Backlog(1), tmp_path)
    engine.checkpoints = (CONTINUE_PROMPTED, REASON)
    return engine


def requested(invocation: Invocation) -> ContinueRequest:
    assert isinstance(invocation.request, ContinueRequest)
    return invocation.request


def test_openais_job_with_a_file_and_seconds(engine: IdleEngine) -> None:
    fields = {"prompt": "A road.", "input_reference": "input_reference", "seconds": "2", "size": "1024x640"}
    uploads = {"input_reference": Upload.of(MP4)}
    invocation = understand_picture(engine, fields, uploads)
    assert (invocation.model.name, invocation.task) == ("prompted", "video2world")
    assert requested(invocation).num_output_frames == 50
    assert invocation.written("num_output_frames") == "seconds"
    image = understand_picture(engine, fields, {"input_reference": Upload.of(PNG)})
    assert (image.task, image.written("image")) == ("image2world", "input_reference")


def test_the_nim_in_its_own_words(engine: IdleEngine) -> None:
    params = {"height": 640, "width": 1024, "frames_count": 57, "frames_per_sec": 25}
    fields = {"prompt": "A road.", "video": "data:video/mp4;base64,AAAA", "video_params": params}
    invocation, _ = understand_one(engine, Body(fields))
    request = requested(invocation)
    assert (request.num_output_frames, request.height, request.fps) == (57, 640, 25)
    assert invocation.written("num_output_frames") == "video_params.frames_count"


def test_a_picture_is_not_made_from_words(engine: IdleEngine) -> None:
    with pytest.raises(UnknownModel, match="no model here can do text2image"):
        understand_one(engine, Body({"prompt": "A road.", "n": 1}))
    with pytest.raises(InvalidField, match="input_path: is needed"):
        task_of(understand_picture(engine, {"prompt": "A road."}, {}), Path("/nowhere"))


def test_beside_a_reasoner_it_has_to_be_told(engine: IdleEngine) -> None:
    with pytest.raises(InvalidField) as caught:
        understand(engine, {"prompt": "A road.", "video": "AAAA"}, {})
    assert caught.value.field == "inference_type"
    told = understand(engine, {"video": "AAAA", "model": "prompted", "temperature": 0}, {})
    assert requested(told).temperature == 0


def test_what_is_loaded_says_its_own_defaults() -> None:
    shown = model_object(CONTINUE_PROMPTED)["defaults"]
    assert shown.keys() == {"image2world", "video2world"}
    row = shown["video2world"]
    assert (row["temperature"], row["top_p"], row["decoder"]) == (1.0, 0.7, "diffusion")
    assert (row["height"], row["width"], row["num_frames"], row["fps"]) == (640, 1024, 33, 25.0)
    assert model_object(CONTINUE)["defaults"]["image2world"]["decoder"] == "tokenizer"


def test_the_document_has_its_fields() -> None:
    shape = document()["components"]["schemas"]["Continue"]
    assert {"top_p", "visual_input", "decoder", "disable_diffusion_decoder"} <= shape["properties"].keys()
    assert "prompt" not in shape["required"]


def task_of(invocation: Invocation, folder: Path) -> Continue:
    """Its media decoded, as they are in the house."""
    inbox = Inbox(folder, invocation.uploads, MediaLimits(), asyncio.Semaphore())
    task = asyncio.run(build_task(invocation, CONTINUE_PROMPTED, [CONTINUE_PROMPTED], inbox, "mp4"))
    assert isinstance(task, Continue)
    return task


def form(parts: dict[str, tuple[str, bytes]]) -> list[dict[str, Any] | RequestError]:
    """The jobs of a form as it comes over the wire. parts: the name of a file and its content by the part's name."""
    pieces = [
        f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n\r\n'.encode() + content + b"\r\n"
        for name, (file, content) in parts.items()
    ]
    messages: list[Message] = [{"type": "http.request", "body": b"".join(pieces) + b"--x--\r\n"}]

    async def receive() -> Message:
        return messages.pop(0)

    async def scenario() -> Body:
        headers = [(b"content-type", b"multipart/form-data; boundary=x")]
        limits = BodyLimits(10**7, 10**7, 10)
        async with Intake(Budget(limits)) as intake:
            return await read_body(Request({"type": "http", "headers": headers, "state": {"intake": intake}}, receive))

    return expand(asyncio.run(scenario()).content)


def test_nvidias_batch_file_comes_with_its_videos(engine: IdleEngine, tmp_path: Path) -> None:
    names = [f"assets/autoregressive/batch_inputs/{number}.mp4" for number in range(10)]
    jobs = form(
        {"request": ("autoregressive_video2world.jsonl", LINES.read_bytes()), **{name: (name, MP4) for name in names}}
    )
    assert len(jobs) == len(names)
    uploads = {name: Upload.of(VIDEO.read_bytes()) for name in names}
    for name, job in zip(names, jobs, strict=True):
        assert isinstance(job, dict)
        invocation = understand(engine, {**job, "model": "prompted"}, {name: uploads[name]})
        assert (invocation.task, requested(invocation).input_path) == ("video2world", name)
    task = task_of(invocation, tmp_path)
    assert (task.num_input_frames, task.num_output_frames, task.prompt[:16]) == (9, 33, "A video recorded")
    assert task.media is not None
    assert task.media.num_frames == 9
    assert task.media.indices[-1] == task.media.source_num_frames - 1


def test_a_video_with_too_few_frames_is_refused_by_its_field(engine: IdleEngine, tmp_path: Path) -> None:
    short = write_video(tmp_path / "short.mp4", num_frames=8)
    body = {"visual_input": "short.mp4", "model": "prompted"}
    with pytest.raises(MediaError, match=r"visual_input: has too few frames \(8\): at least 9 are needed"):
        task_of(understand(engine, body, {"short.mp4": Upload.of(short.read_bytes())}), tmp_path)
