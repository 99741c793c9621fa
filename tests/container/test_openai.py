"""The `openai` package, unchanged, against the real server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.conftest import Server, forget_jobs, sample
from tests.container.media import frames_of_mp4, png

pytestmark = [
    pytest.mark.model,
    # OpenAI has announced the end of its own video service; the client says so at every call.
    pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning"),
]

SMALL = {"num_steps": 2, "num_output_frames": 5}
HELLO: list[Any] = [{"role": "user", "content": "Say something."}]


@pytest.fixture(autouse=True, scope="module")
def clean(shared_server: Server) -> Iterator[None]:
    """The server is other tests' as well."""
    yield
    forget_jobs(shared_server)


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.client.base_url}/v1", api_key="none", max_retries=0) as made:
        yield made


def test_the_list_of_models(client: openai.OpenAI) -> None:
    listed = {model.id: model.to_dict() for model in client.models.list()}
    assert {"predict2.5", "reason2"} <= listed.keys()
    assert listed["reason2"]["tasks"] == ["reasoner"]
    predict = listed["predict2.5"]
    assert predict["defaults"]["image2world"]["num_frames"] == 77
    assert predict["limits"]["temporal_factor"] == 4
    assert listed["reason2"]["defaults"]["reasoner"]["plain"]["max_tokens"] == 4096
    assert listed["reason2"]["limits"] is None
    assert client.models.retrieve("predict2.5").id == "predict2.5"
    with pytest.raises(openai.BadRequestError, match="there is no model"):
        client.models.retrieve("gpt")


def test_a_chat_whole_and_streamed(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="reason2", messages=HELLO, temperature=0, max_tokens=8)
    text = whole.choices[0].message.content
    assert text
    assert whole.usage
    assert whole.usage.completion_tokens <= 8
    pieces = client.chat.completions.create(
        model="reason2",
        messages=HELLO,
        temperature=0,
        max_tokens=8,
        stream=True,
        stream_options={"include_usage": True},
    )
    streamed = list(pieces)
    assert "".join(piece.choices[0].delta.content or "" for piece in streamed) == text
    assert streamed[-1].usage == whole.usage


def test_a_chat_without_messages(server: Server) -> None:
    answer = server.client.post("/v1/chat/completions", json={"prompt": "hello", "model": "reason2"})
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "messages")


def test_a_video_is_created_polled_and_downloaded(client: openai.OpenAI, tmp_path: Path) -> None:
    body = {**SMALL, "name": "mine", "extra": {"shelf": 3}}
    video = client.videos.create_and_poll(
        prompt="a robot", model="predict2.5", size="96x64", extra_body=body, poll_interval_ms=50
    )
    assert (video.status, video.progress, video.size, video.seconds) == ("completed", 100, "96x64", "0.312")
    assert video.completed_at
    assert video.expires_at
    told = video.to_dict()
    assert (told["name"], told["extra"], told["prompt"]) == ("mine", {"shelf": "3"}, "a robot")
    data = client.videos.download_content(video.id).read()
    frames, _, _, _ = frames_of_mp4(data)
    assert frames.shape == (5, 64, 96, 3)
    assert client.videos.delete(video.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.videos.retrieve(video.id)


def test_a_reference_is_an_image_or_a_video_by_its_bytes(client: openai.OpenAI) -> None:
    picture = ("photo.png", png(), "image/png")
    video = client.videos.create_and_poll(
        prompt="a robot", model="predict2.5", size="96x64", input_reference=picture, extra_body=SMALL,
        poll_interval_ms=50,
    )  # fmt: skip
    assert video.status == "completed"


def test_nvidias_picture_by_openais_client(client: openai.OpenAI) -> None:
    video = client.videos.create_and_poll(
        prompt=sample("predict2.5/robot_welding.txt").read_text(),
        input_reference=sample("predict2.5/robot_welding.jpg"),
        size="96x64",
        extra_body=SMALL,
        poll_interval_ms=50,
    )
    assert video.status == "completed"


def test_seconds_are_frames_at_the_models_rate(client: openai.OpenAI) -> None:
    video = client.videos.create(
        prompt="a robot", model="predict2.5", size="64x64", seconds="1", extra_body={"num_steps": 1}
    )
    assert video.seconds == "1"
    client.videos.delete(video.id)
    with pytest.raises(openai.BadRequestError, match="seconds: is 1600, more than"):
        client.videos.create(prompt="a robot", model="predict2.5", seconds="100")  # type: ignore[arg-type]


def test_pages_of_videos(client: openai.OpenAI) -> None:
    made = [
        client.videos.create(prompt="a robot", model="predict2.5", size="64x64", extra_body=SMALL).id for _ in range(3)
    ]
    listed = [video.id for video in client.videos.list(limit=2)]
    assert [job_id for job_id in listed if job_id in made] == made[::-1]
    oldest_first = [video.id for video in client.videos.list(limit=2, order="asc")]
    assert [job_id for job_id in oldest_first if job_id in made] == made


@pytest.mark.parametrize("limit", ["0", "101", "1.5", "", "9" * 5000])
def test_pages_of_no_size(server: Server, limit: str) -> None:
    response = server.client.get("/v1/videos", params={"limit": limit})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["field"] == "limit"


def test_a_reasoner_makes_no_videos(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="answers in words"):
        client.videos.create(prompt="what is this?", model="reason2")


def test_an_image_where_no_model_makes_one(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="no model here can do text2image") as refused:
        client.images.generate(prompt="a robot")
    assert "predict2.5: text2world, image2world, video2world" in str(refused.value)
