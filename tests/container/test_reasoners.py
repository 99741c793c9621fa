"""Reason 1 and Reason 2 side by side over HTTP: held against generate(), and every field for what it does."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from tests.conftest import CPU_THREADS, Server, data_url, make_tiny, running_server, sample
from tests.container.library import answered
from tests.container.media import clip, frames_of_mp4, png

pytestmark = pytest.mark.model

GREEDY = {"temperature": 0, "max_tokens": 12}
BOTH = pytest.mark.parametrize("model", ["reason1", "reason2"])
HELPFUL = "You are a helpful assistant."
MEDIA_PART = {"image": "image_url", "video": "video_url"}

Direct = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reasoners")
    for name in ("reason1", "reason2"):
        make_tiny(name, folder / name)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(folder, tmp_path_factory.mktemp("server")) as server:
        server.wait_until_ready()
        yield server


@pytest.fixture(scope="module")
def direct(folder: Path) -> Direct:
    """A function that asks transformers itself: model, conversation, media and options for the processor."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    torch.set_num_threads(CPU_THREADS)
    loaded = {
        name: (
            AutoProcessor.from_pretrained(folder / name),
            AutoModelForImageTextToText.from_pretrained(folder / name, dtype=torch.bfloat16),
        )
        for name in ("reason1", "reason2")
    }

    def ask(model: str, conversation: list[dict[str, Any]], **options: Any) -> str:
        processor, network = loaded[model]
        greedy = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        return answered(processor, network, conversation, drawn={"max_new_tokens": 12, **greedy}, **options)

    return ask


def turn(role: str, *kinds: str, text: str) -> dict[str, Any]:
    """A turn as the processor takes it: media first, then the words."""
    return {"role": role, "content": [*({"type": kind} for kind in kinds), {"type": "text", "text": text}]}


def part(kind: Literal["image", "video"], data: bytes) -> dict[str, Any]:
    """A medium as OpenAI's clients send it."""
    url = data_url(data, "image/png" if kind == "image" else "video/mp4")
    return {"type": MEDIA_PART[kind], MEDIA_PART[kind]: {"url": url}}


def chat(server: Server, model: str, messages: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    response = server.invoke({"model": model, "messages": messages, **GREEDY, **fields})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def content(answer: dict[str, Any]) -> str:
    text: str = answer["choices"][0]["message"]["content"]
    return text


def videos(*clips: bytes, **options: Any) -> dict[str, Any]:
    """Whole clips for the library, which then samples them itself."""
    from transformers.video_utils import VideoMetadata

    read = [frames_of_mp4(data)[:2] for data in clips]
    return {
        "videos": [frames.transpose(0, 3, 1, 2) for frames, _ in read],
        "video_metadata": [VideoMetadata(total_num_frames=len(frames), fps=fps) for frames, fps in read],
        "do_sample_frames": True,
        "fps": 4,
        **options,
    }


def template(name: str) -> tuple[str | None, str]:
    """System and user prompt of one of NVIDIA's template files, with their placeholders filled."""
    import yaml

    read = yaml.safe_load(sample(f"reason/{name}.yaml").read_text(encoding="utf-8"))
    user = str(read.get("user_prompt", "What is next?"))
    for gap in ("{object_name}", "{task_instruction}"):
        user = user.replace(gap, "cup")
    return read.get("system_prompt"), user.strip()


@pytest.mark.parametrize(
    ("model", "prompts", "kind", "file"),
    [
        ("reason1", "reason1_prompts/caption", "video", "reason/sample.mp4"),
        ("reason1", "reason1_prompts/action_planning", "video", "reason/robotics_next_action.mp4"),
        ("reason1", "reason1_prompts/question", "image", "reason/describe_anything.png"),
        ("reason2", "reason2_prompts/mvp_bench", "video", "reason/physical_plausibility.mp4"),
        ("reason2", "reason2_prompts/describe_anything", "image", "reason/describe_anything.png"),
        ("reason2", "reason2_prompts/2d_grounding", "image", "reason/describe_anything.png"),
    ],
)
def test_nvidias_templates_and_media(
    server: Server, direct: Direct, model: str, prompts: str, kind: Literal["image", "video"], file: str
) -> None:
    system, user = template(prompts)
    path = sample(file)
    messages = [{"role": "user", "content": [{"type": "text", "text": user}, part(kind, path.read_bytes())]}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    media = {"images": [Image.open(path)]} if kind == "image" else videos(path.read_bytes())
    expected = direct(model, [turn("system", text=system or HELPFUL), turn("user", kind, text=user)], **media)
    assert content(chat(server, model, messages)) == expected
    assert expected.strip()


@BOTH
def test_several_images_and_videos_in_one_conversation(
    server: Server, direct: Direct, model: str, tmp_path: Path
) -> None:
    pictures = [png(96, 128), png(56, 84)]
    clips = [clip(tmp_path / "a.mp4", num_frames=24), clip(tmp_path / "b.mp4", num_frames=32, height=96, width=64)]
    messages = [
        {
            "role": "user",
            "content": [part("image", pictures[0]), part("video", clips[0]), {"type": "text", "text": "A?"}],
        },
        {"role": "assistant", "content": "Left."},
        {
            "role": "user",
            "content": [part("video", clips[1]), part("image", pictures[1]), {"type": "text", "text": "B?"}],
        },
    ]
    opened = []
    for number, picture in enumerate(pictures):
        (tmp_path / f"{number}.png").write_bytes(picture)
        opened.append(Image.open(tmp_path / f"{number}.png"))
    conversation = [
        turn("system", text=HELPFUL),
        turn("user", "image", "video", text="A?"),
        turn("assistant", text="Left."),
        turn("user", "video", "image", text="B?"),
    ]
    assert content(chat(server, model, messages)) == direct(model, conversation, images=opened, **videos(*clips))


@BOTH
def test_words_alone_and_the_reasoning_switch(server: Server, direct: Direct, model: str) -> None:
    messages = [{"role": "user", "content": "Say something."}]
    plain = direct(model, [turn("system", text=HELPFUL), turn("user", text="Say something.")])
    assert content(chat(server, model, messages)) == content(chat(server, model, messages, reasoning=False)) == plain
    words = "\n\nThink first, then answer, in this form:\n<think>\nwhat you reasoned\n</think>\n\n"
    in_system = f"{HELPFUL}{words}<answer>\nwhat you answer\n</answer>"
    in_user = f"Say something.{words}what you answer"
    conversation = (
        [turn("system", text=in_system), turn("user", text="Say something.")]
        if model == "reason1"
        else [turn("system", text=HELPFUL), turn("user", text=in_user)]
    )
    switched = content(chat(server, model, messages, reasoning=True))
    assert switched == direct(model, conversation) != plain
    assert content(chat(server, model, messages, enable_reasoning=True)) == switched


def prompt_tokens(server: Server, model: str, data: bytes, kind: Literal["image", "video"], **fields: Any) -> int:
    messages = [{"role": "user", "content": [part(kind, data), {"type": "text", "text": "What?"}]}]
    tokens: int = chat(server, model, messages, **{"max_tokens": 1, **fields})["usage"]["prompt_tokens"]
    return tokens


@BOTH
@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"fps": 1}, {"fps": 8}),
        ({"nframes": 4}, {"num_frames": 12}),
        ({"fps": 1, "min_frames": 4}, {"fps": 1, "min_frames": 12}),
        ({"fps": 8, "max_frames": 4}, {"fps": 8, "max_frames": 12}),
        ({"max_pixels": 64 * 64}, {"max_pixels": 256 * 256}),
        ({}, {"min_pixels": 256 * 256}),
        ({"total_pixels": 64 * 64 * 4}, {"total_pixels": 256 * 256 * 16}),
        ({"resized_height": 224, "resized_width": 224}, {"resized_height": 448, "resized_width": 448}),
        ({"fps": 8, "video_start": 2}, {"fps": 8}),
        ({"fps": 8, "video_end": 1}, {"fps": 8}),
        ({"mm_processor_kwargs": {"fps": 1}}, {"mm_processor_kwargs": {"fps": 8, "do_sample_frames": True}}),
        ({"media_io_kwargs": {"video": {"fps": 1.0}}}, {"media_io_kwargs": {"video": {"num_frames": 16}}}),
        ({}, {"media_io_kwargs": {"video": {"num_frames": -1}}}),
        (
            {"mm_processor_kwargs": {"fps": 1}, "media_io_kwargs": {"video": {"num_frames": -1}}},
            {"media_io_kwargs": {"video": {"num_frames": -1}}},
        ),
        (
            {"mm_processor_kwargs": {"size": {"shortest_edge": 3136, "longest_edge": 64 * 64}}},
            {"mm_processor_kwargs": {"size": {"shortest_edge": 3136, "longest_edge": 12_845_056}}},
        ),
    ],
)
def test_every_field_of_the_vision_budget_acts(
    server: Server, model: str, less: dict[str, Any], more: dict[str, Any], tmp_path: Path
) -> None:
    data = clip(tmp_path / "clip.mp4", num_frames=32, fps=8, height=224, width=224)
    few, many = (prompt_tokens(server, model, data, "video", **fields) for fields in (less, more))
    assert few < many


@BOTH
def test_pixels_are_those_of_the_processor_s_own_budget(
    server: Server, direct: Direct, model: str, tmp_path: Path
) -> None:
    size = {"shortest_edge": 56 * 56, "longest_edge": 120 * 120}
    picture = png(300, 400)
    (tmp_path / "picture.png").write_bytes(picture)
    conversation = [turn("system", text=HELPFUL), turn("user", "image", text="What?")]
    messages = [{"role": "user", "content": [part("image", picture), {"type": "text", "text": "What?"}]}]
    expected = direct(model, conversation, images=[Image.open(tmp_path / "picture.png")], size=size)
    assert content(chat(server, model, messages, mm_processor_kwargs={"size": size})) == expected
    budget = {"min_pixels": 56 * 56, "max_pixels": 120 * 120}
    assert content(chat(server, model, messages, **budget)) == expected

    data = clip(tmp_path / "clip.mp4", num_frames=24, height=256, width=256)
    conversation = [turn("system", text=HELPFUL), turn("user", "video", text="What?")]
    messages = [{"role": "user", "content": [part("video", data), {"type": "text", "text": "What?"}]}]
    expected = direct(model, conversation, **videos(data, size=size))
    assert content(chat(server, model, messages, mm_processor_kwargs={"size": size})) == expected


def test_reason1_sees_the_time(server: Server, tmp_path: Path) -> None:
    data = clip(tmp_path / "clip.mp4", num_frames=16, height=84, width=112)
    messages = [{"role": "user", "content": [part("video", data), {"type": "text", "text": "When?"}]}]
    with_time = chat(server, "reason1", messages, timestamps=True)
    without = chat(server, "reason1", messages)
    # One more row of 28 pixels: 4 tokens for each of the 4 pairs of frames.
    assert with_time["usage"]["prompt_tokens"] - without["usage"]["prompt_tokens"] == 4 * 4
    assert content(chat(server, "reason1", messages, add_timestamps=True)) == content(with_time) != content(without)


@pytest.mark.parametrize(
    ("model", "fields", "field", "words"),
    [
        ("reason1", {"fps": 2, "nframes": 4}, "fps", "contradicts nframes"),
        ("reason2", {"fps": 2, "mm_processor_kwargs": {"fps": 4}}, "mm_processor_kwargs.fps", "means the same as fps"),
        ("reason2", {"max_frames": 4, "min_frames": 6}, "min_frames", "more than max_frames"),
        ("reason2", {"video_start": 3, "video_end": 2}, "video_start", "more than video_end"),
        ("reason2", {"resized_height": 64}, "resized_width", "is needed with resized_height"),
        (
            "reason2",
            {"resized_height": 64, "resized_width": 64, "max_pixels": 4096},
            "max_pixels",
            "contradicts resized_height",
        ),
        ("reason2", {"resized_height": 60, "resized_width": 64}, "resized_height", "not a multiple of 32"),
        ("reason1", {"resized_height": 60, "resized_width": 56}, "resized_height", "not a multiple of 28"),
        ("reason2", {"timestamps": True}, "timestamps", "for Reason1 alone"),
        ("reason1", {"parse": "boxes"}, "parse", "not for Reason1"),
        ("reason2", {"video_start": 9}, "messages.0.content.0.video_url", "lasts 2.00 s"),
        ("reason2", {"nframes": 17}, "messages.0.content.0.video_url", "has 16 frames"),
        ("reason2", {"mm_processor_kwargs": {"shrink": 1}}, "mm_processor_kwargs.shrink", "extra"),
        ("reason2", {"response_format": {"type": "xml"}}, "response_format.type", "json_schema"),
        ("reason2", {"guided_json": {"type": "strin"}}, "guided_json", "cannot be enforced: Invalid type"),
        ("reason2", {"guided_json": {"$ref": "#"}}, "guided_json", "cannot be enforced to the end"),
        ("reason2", {"guided_json": {"not": {}}}, "guided_json", "cannot be enforced: Unimplemented"),
        (
            "reason2",
            {"guided_json": {"type": "object"}, "response_format": {"type": "json_object"}},
            "guided_json",
            "contradicts response_format",
        ),
    ],
)
def test_contradictions_and_the_impossible_are_refused_by_name(
    server: Server, model: str, fields: dict[str, Any], field: str, words: str, tmp_path: Path
) -> None:
    data = clip(tmp_path / "clip.mp4", num_frames=16)
    messages = [{"role": "user", "content": [part("video", data), {"type": "text", "text": "What?"}]}]
    response = server.invoke({"model": model, "messages": messages, **GREEDY, **fields})
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["field"] == field
    assert words in error["message"]


class Report(BaseModel):
    """What the schema below allows."""

    model_config = ConfigDict(extra="forbid", strict=True)
    safe: bool
    risk: Literal["low", "middle", "high"]
    cars: int = Field(ge=0, le=99)
    lanes: list[Literal["left", "right"]] = Field(min_length=1, max_length=3)


@BOTH
@pytest.mark.parametrize("temperature", [0, 1.5])
@pytest.mark.parametrize("place", ["response_format", "guided_json", "nvext"])
def test_a_schema_holds_even_for_random_weights(server: Server, model: str, temperature: float, place: str) -> None:
    schema = Report.model_json_schema()
    fields: dict[str, Any] = {
        "response_format": {"response_format": {"type": "json_schema", "json_schema": {"name": "r", "schema": schema}}},
        "guided_json": {"guided_json": schema},
        "nvext": {"nvext": {"guided_json": schema}},
    }[place]
    messages = [{"role": "user", "content": "Is it safe?"}]
    answer = chat(server, model, messages, temperature=temperature, max_tokens=200, **fields)
    Report.model_validate_json(content(answer))
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_a_schema_in_a_form_and_in_a_prompt(server: Server) -> None:
    schema = json.dumps({"enum": ["yes", "no"]})
    form = {"prompt": "Safe?", "model": "reason2", "guided_json": schema, "max_tokens": "20"}
    response = server.client.post("/invocations", files={name: (None, value) for name, value in form.items()})
    assert json.loads(response.json()["text"]) in ("yes", "no")


def test_an_object_begins_like_one(server: Server) -> None:
    messages = [{"role": "user", "content": "Is it safe?"}]
    text = content(chat(server, "reason2", messages, response_format={"type": "json_object"}))
    assert text.startswith("{")
    assert content(chat(server, "reason2", messages, response_format={"type": "text"}))[0] != "{"


@pytest.mark.parametrize(
    ("grounding", "key", "count"), [("boxes", "bbox_2d", 4), ("points", "point_2d", 2)], ids=["boxes", "points"]
)
def test_places_come_in_pixels_beside_the_raw_text(server: Server, grounding: str, key: str, count: int) -> None:
    number = {"type": "integer", "minimum": 0, "maximum": 1000}
    place = {
        "type": "object",
        "properties": {
            key: {"type": "array", "items": number, "minItems": count, "maxItems": count},
            "label": {"enum": ["cup"]},
        },
        "required": [key, "label"],
        "additionalProperties": False,
    }
    schema = {"type": "array", "items": place, "minItems": 2, "maxItems": 2}
    body = {"model": "reason2", "prompt": "Where?", "image": data_url(png(96, 192), "image/png")}
    answer = server.invoke({**body, **GREEDY, "max_tokens": 200, "guided_json": schema, "parse": grounding}).json()
    raw = json.loads(answer["text"])
    assert [found["position"] for found in answer["found"]] == [entry[key] for entry in raw]
    for found in answer["found"]:
        assert found["label"] == "cup"
        scale = np.array([192, 96] * (count // 2)) / 1000
        np.testing.assert_allclose(found["pixels"], np.array(found["position"]) * scale)
    words = server.invoke({**body, **GREEDY, "parse": grounding}).json()
    assert words["found"] == []
    assert words["text"].strip()


def test_presence_penalty_makes_words_new(server: Server) -> None:
    messages = [{"role": "user", "content": "Say something."}]
    options = {"max_tokens": 60, "temperature": 0, "repetition_penalty": 1.0}
    said = {
        value: content(chat(server, "reason2", messages, **options, presence_penalty=value)) for value in (-2, 0, 2)
    }
    variety = {value: len(set(text.split())) for value, text in said.items()}
    assert variety[-2] <= variety[0] <= variety[2]
    assert variety[-2] < variety[2]


def test_reason1_draws_as_nvidia_says(server: Server) -> None:
    messages = [{"role": "user", "content": "Say something."}]
    body = {"model": "reason1", "messages": messages, "max_tokens": 12}
    first, second = (server.invoke(body).json() for _ in range(2))
    assert first["cosmos"]["seed"] == 42
    assert content(first) == content(second) == content(server.invoke({**body, "seed": 42, "temperature": 0.01}).json())


def test_a_context_that_is_full_says_by_how_much(server: Server) -> None:
    messages = [{"role": "user", "content": "word " * 12_000}]
    response = server.invoke({"model": "reason1", "messages": messages, "max_tokens": 100_000})
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["field"] == "max_tokens"
    assert "the model holds 128000, the memory that is free has room for" in error["message"]


@BOTH
def test_a_schema_waits_until_the_thoughts_are_over(server: Server, model: str) -> None:
    body = {
        "model": model,
        "prompt": "Is it safe?",
        "reasoning": True,
        "guided_json": {"enum": ["yes", "no"]},
        **GREEDY,
    }
    answer = server.invoke(body).json()
    assert answer["finish_reason"] == "length"  # random weights never stop to think
    assert answer["reasoning"]
    assert answer["text"] == ""
