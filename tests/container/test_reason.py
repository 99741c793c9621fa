"""Answers over HTTP from the real process, held against a direct call of generate()."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import Server, data_url, sample
from tests.container.library import answered, load_reason2, whole_clip
from tests.container.media import clip, png

pytestmark = pytest.mark.model

GREEDY = {"temperature": 0, "max_tokens": 12}
QUESTION = "What moves in this video?"


@pytest.fixture(scope="module")
def direct(tiny_models: Path) -> Any:
    """A function that asks transformers itself."""
    processor, model = load_reason2(tiny_models / "reason2")

    def ask(conversation: list[dict[str, Any]], **media: Any) -> str:
        return answered(processor, model, conversation, drawn={"max_new_tokens": 12, "do_sample": False}, **media)

    return ask


def conversation(*content: dict[str, str]) -> list[dict[str, Any]]:
    helpful = {"role": "system", "content": [{"type": "text", "text": "You are a helpful assistant."}]}
    return [helpful, {"role": "user", "content": list(content)}]


def whole(answer: dict[str, Any]) -> str:
    assert answer["reasoning"] is None
    text: str = answer["text"]
    return text


def words(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def test_greedy_text_about_a_video_equals_generate(server: Server, direct: Any, tmp_path: Path) -> None:
    data = clip(tmp_path / "clip.mp4", num_frames=24)
    response = server.invoke(
        {"prompt": QUESTION, "video": data_url(data, "video/mp4"), "inference_type": "reasoner", **GREEDY}
    )
    assert response.status_code == 200, response.text
    expected = direct(conversation({"type": "video"}, words(QUESTION)), **whole_clip(data))
    assert whole(response.json()) == expected
    assert expected.strip()


def test_greedy_text_about_nvidias_video_equals_generate(server: Server, direct: Any) -> None:
    data = sample("reason/sample.mp4").read_bytes()
    response = server.invoke(
        {"prompt": QUESTION, "input_path": data_url(data, "video/mp4"), "model": "reason2", **GREEDY}
    )
    assert response.status_code == 200, response.text
    expected = direct(conversation({"type": "video"}, words(QUESTION)), **whole_clip(data))
    assert whole(response.json()) == expected


def test_greedy_text_about_an_image_equals_generate(server: Server, direct: Any, tmp_path: Path) -> None:
    picture = png(96, 128)
    (tmp_path / "picture.png").write_bytes(picture)
    response = server.invoke({"prompt": "What is this?", "image": data_url(picture, "image/png"), **GREEDY})
    expected = direct(
        conversation({"type": "image"}, words("What is this?")), images=[Image.open(tmp_path / "picture.png")]
    )
    assert whole(response.json()) == expected


def test_greedy_text_equals_generate(server: Server, direct: Any) -> None:
    response = server.invoke({"prompt": "Say something.", "model": "reason2", **GREEDY})
    assert whole(response.json()) == direct(conversation(words("Say something.")))


def test_openais_messages(server: Server, direct: Any) -> None:
    picture = png(96, 128)
    url = {"type": "image_url", "image_url": {"url": data_url(picture, "image/png")}}
    body = {"messages": [{"role": "user", "content": [words("What is this?"), url]}], **GREEDY}
    answer = server.invoke(body).json()
    # The media go before the words, wherever the client put them.
    prompt_form = server.invoke({"prompt": "What is this?", "image": data_url(picture, "image/png"), **GREEDY}).json()
    assert answer["choices"][0]["message"]["content"] == prompt_form["text"]
    assert answer["object"] == "chat.completion"
    assert answer["usage"] == prompt_form["usage"]
    assert answer["cosmos"]["job_id"] == answer["id"]


def test_length_and_token_counts(server: Server) -> None:
    answer = server.invoke({"prompt": "Say something.", "model": "reason2", **GREEDY}).json()
    assert answer["finish_reason"] in ("length", "stop")
    if answer["finish_reason"] == "length":
        assert answer["usage"]["completion_tokens"] == 12
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]
    short = server.invoke({"prompt": "Say something.", "model": "reason2", "temperature": 0, "max_tokens": 3}).json()
    assert (short["finish_reason"], short["usage"]["completion_tokens"]) == ("length", 3)


def test_a_seed_repeats_a_drawn_answer(server: Server) -> None:
    body = {"prompt": "Say something.", "model": "reason2", "temperature": 1.5, "top_k": 50, "max_tokens": 12}
    texts = [whole(server.invoke({**body, "seed": seed}).json()) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_the_frame_rate_decides_how_much_of_a_video_is_seen(server: Server, tmp_path: Path) -> None:
    data = data_url(clip(tmp_path / "clip.mp4", num_frames=32, fps=8), "video/mp4")
    counts = []
    for fps in (2, 8):
        answer = server.invoke({"prompt": QUESTION, "video": data, "fps": fps, "inference_type": "reasoner", **GREEDY})
        counts.append(answer.json()["usage"]["prompt_tokens"])
    assert counts[0] < counts[1]


def data_lines(server: Server, body: dict[str, Any], accept: str = "application/json") -> list[str]:
    with server.client.stream("POST", "/invocations", json=body, headers={"Accept": accept}) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        return [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ")]


def test_tokens_come_as_they_are_made(server: Server) -> None:
    body = {"prompt": "Say something.", "model": "reason2", **GREEDY}
    happenings = [json.loads(line) for line in data_lines(server, body, "text/event-stream")]
    streamed = "".join(each["text"] for each in happenings if "reasoning" in each and "usage" not in each)
    result = happenings[-1]
    assert streamed == result["text"] == whole(server.invoke(body).json())


def test_openais_stream(server: Server) -> None:
    body = {"messages": [{"role": "user", "content": "Say something."}], "stream": True, **GREEDY}
    lines = data_lines(server, body)
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert text == whole(server.invoke({"prompt": "Say something.", "model": "reason2", **GREEDY}).json())
    assert chunks[-1]["choices"][0]["finish_reason"] in ("stop", "length")


@pytest.mark.parametrize(
    ("field", "sizes"),
    [("min_pixels", {"min_pixels": 2**31}), ("resized_height", {"resized_height": 8192, "resized_width": 8192})],
)
def test_frames_larger_than_any_model_holds(server: Server, tmp_path: Path, field: str, sizes: dict[str, int]) -> None:
    """Enlarging them would take the host's memory before anything could count their tokens."""
    video = data_url(clip(tmp_path / "in.mp4", num_frames=32), "video/mp4")
    response = server.invoke({"inference_type": "reasoner", "prompt": QUESTION, "video": video, "nframes": 16, **sizes})
    error = response.json()["error"]
    assert (response.status_code, error["field"]) == (400, field)
    assert "pixels of the video" in error["message"]
