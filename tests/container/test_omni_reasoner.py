"""The reasoner inside Cosmos 3 over HTTP, held against transformers' own model loaded from the same folder."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import CPU_THREADS, Server, data_url, running_server, sample
from tests.container.library import answered, whole_clip
from tests.container.media import clip, png

pytestmark = pytest.mark.model

GREEDY = {"model_mode": "reasoner", "do_sample": False, "max_new_tokens": 12}
QUESTION = "What moves in this video?"


@pytest.fixture
def server(omni_server: Server) -> Server:
    return omni_server


@pytest.fixture(scope="module")
def direct(omni_folder: Path) -> Any:
    """A function that asks transformers itself."""
    import torch
    from transformers import AutoProcessor, Cosmos3OmniForConditionalGeneration

    torch.set_num_threads(CPU_THREADS)
    processor = AutoProcessor.from_pretrained(omni_folder)
    model = Cosmos3OmniForConditionalGeneration.from_pretrained(omni_folder, dtype=torch.bfloat16)

    def ask(*content: str, **media: Any) -> str:
        pieces = [{"type": kind} for kind in content[:-1]] + [{"type": "text", "text": content[-1]}]
        conversation = [
            {"role": "system", "content": [{"type": "text", "text": "You are a helpful assistant."}]},
            {"role": "user", "content": pieces},
        ]
        return answered(processor, model, conversation, drawn={"max_new_tokens": 12, "do_sample": False}, **media)

    return ask


def told(server: Server, **body: Any) -> str:
    response = server.invoke({**GREEDY, **body})
    assert response.status_code == 200, response.text
    text: str = response.json()["text"]
    return text


def test_nvidias_samples_equal_generate(server: Server, direct: Any) -> None:
    picture = sample("cosmos3/prompts/humanoid_robot.jpg")
    film = sample("reason/sample.mp4").read_bytes()
    media = {
        "reasoner": (None, (), {}),
        "reasoner_image": (picture.read_bytes(), ("image",), {"images": [Image.open(picture)]}),
        "reasoner_video": (film, ("video",), whole_clip(film)),
    }
    texts = []
    for name, (data, kinds, arguments) in media.items():
        body = json.loads(sample(f"cosmos3/omni_inputs/{name}.json").read_text())
        files: dict[str, Any] = {"request": (None, json.dumps({**body, **GREEDY}).encode(), "application/json")}
        if data is not None:  # the address inside the file is carried as a part of the same name
            files[body["vision_path"]] = ("medium", data, "application/octet-stream")
        response = server.client.post("/invocations", files=files)
        assert response.status_code == 200, response.text
        texts.append(response.json()["text"])
        assert texts[-1] == direct(*kinds, body["prompt"], **arguments)
    assert len(set(texts)) == 3


def test_greedy_text_equals_generate(server: Server, direct: Any, tmp_path: Path) -> None:
    assert told(server, prompt="Say something.") == direct("Say something.")
    (tmp_path / "picture.png").write_bytes(picture := png(96, 128))
    expected = direct("image", "What is this?", images=[Image.open(tmp_path / "picture.png")])
    assert told(server, prompt="What is this?", vision_path=data_url(picture, "image/png")) == expected
    data = clip(tmp_path / "clip.mp4", num_frames=24)
    expected = direct("video", QUESTION, **whole_clip(data))
    assert told(server, prompt=QUESTION, video=data_url(data, "video/mp4")) == expected


def test_a_video_made_in_between_changes_nothing(server: Server) -> None:
    """Both halves read the same tensors, and neither writes to them."""
    before = told(server, prompt="Say something.")
    made = {"prompt": "a robot", "resolution": "64,96", "num_frames": 5, "num_steps": 2, "model_mode": "text2video"}
    frames = server.invoke(made, accept="application/x-npz").content
    assert told(server, prompt="Say something.") == before
    assert server.invoke(made, accept="application/x-npz").content == frames


def test_it_writes_the_generators_prompt(server: Server, tmp_path: Path) -> None:
    """On request, and with the image in sight; the video is the one of that prompt."""
    small = {"resolution": "64,96", "num_frames": 5, "num_steps": 2, "model_mode": "image2video"}
    asked = {**small, "image": data_url(png(96, 128), "image/png")}
    longer = {**asked, "prompt": "a robot", "prompt_upsampling": True, "prompt_upsampler_max_tokens": 24}
    answer = server.invoke(longer).json()
    assert len(answer["upsampled_prompt"]) > len("a robot")
    assert answer["stage_seconds"].keys() >= {"upsample_prompt", "denoise", "decode"}
    frames = server.invoke(longer, accept="application/x-npz").content
    plain = server.invoke({**asked, "prompt": answer["upsampled_prompt"]}, accept="application/x-npz").content
    assert frames == plain
    assert frames != server.invoke({**asked, "prompt": "a robot"}, accept="application/x-npz").content


def test_openais_chat_reaches_it(server: Server) -> None:
    body = {"messages": [{"role": "user", "content": "Say something."}], "temperature": 0, "max_tokens": 12}
    chat = server.invoke(body).json()
    assert chat["choices"][0]["message"]["content"] == told(server, prompt="Say something.")


def test_nvidias_defaults_may_be_said(server: Server) -> None:
    """A file with every field of sample_args.json means what a few of them mean."""
    said = {**json.loads(sample("cosmos3/defaults/reasoner.json").read_text()), "max_new_tokens": 12}
    response = server.invoke({**said, "prompt": "Say something."})
    assert response.status_code == 200, response.text
    assert response.json()["text"] == told(server, prompt="Say something.")


def test_the_weights_are_counted_once(server: Server, omni_folder: Path) -> None:
    answer = server.invoke({**GREEDY, "prompt": "Say something."}).json()
    assert set(answer["plan"]) == {"transformer", "tokenizer", "vision_encoder"}
    (model,) = server.client.get("/v1/models").json()["data"]
    files = sum(path.stat().st_size for path in omni_folder.rglob("*.safetensors") if "guardrails" not in path.parts)
    assert 0.9 * files < model["size_bytes"] < files


def test_a_reasoner_of_its_own_says_the_same(omni_folder: Path, direct: Any, tmp_path: Path) -> None:
    import torch
    from transformers import Cosmos3OmniForConditionalGeneration

    folder = tmp_path / "reasoner"
    model = Cosmos3OmniForConditionalGeneration.from_pretrained(omni_folder, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "chat_template.jinja",
                 "preprocessor_config.json", "video_preprocessor_config.json"):  # fmt: skip
        shutil.copy(omni_folder / name, folder / name)
    with running_server(folder, tmp_path) as server:
        server.wait_until_ready()
        assert told(server, prompt="Say something.") == direct("Say something.")
        error = server.invoke({"prompt": "a robot", "model_mode": "text2video"}).json()["error"]
        assert (error["field"], error["allowed"]) == ("model_mode", "reasoner: reasoner")
