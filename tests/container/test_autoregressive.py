"""Autoregressive models over HTTP: what their parts make when they are called one by one, from NVIDIA's own inputs."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from tests.conftest import CPU_THREADS, ROOT, Server, data_url, running_server, sample
from tests.container.media import Frames, frames_of_mp4, frames_of_npz, frames_served

pytestmark = pytest.mark.model

PLAIN, TEXT, CONVERTED = "autoregressive", "autoregressive_text", "converted"
DECODERS = ("Cosmos-Predict1-7B-Decoder-DV8x16x16ToCV8x8x8-720p", "Cosmos-Tokenize1-CV8x8x8-720p")
HEIGHT, WIDTH, NUM_FRAMES = 64, 128, 33


@pytest.fixture(scope="module")
def models(tiny_autoregressive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without a prompt, with one, and the former as the scripts convert it."""
    folder = tmp_path_factory.mktemp("models")
    for name in (PLAIN, TEXT):
        (folder / name).symlink_to(tiny_autoregressive / name)
    for script, source, target in (
        ("convert_autoregressive.py", ".", "."),
        ("convert_autoregressive_tokenizer.py", "Cosmos-Tokenize1-DV8x16x16-720p", "tokenizer"),
    ):
        command = [ROOT / "scripts" / script, folder / PLAIN / source, folder / CONVERTED / target]
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
    for name in DECODERS:
        (folder / CONVERTED / name).symlink_to(folder / PLAIN / name)
    return folder


@pytest.fixture(scope="module")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(models, tmp_path_factory.mktemp("server")) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture(scope="module")
def parts(models: Path) -> Mapping[str, Mapping[str, Any]]:
    """The parts of each model, loaded without a server."""
    import torch

    from cosmos_handler.artifacts.discover import discover
    from cosmos_handler.families.autoregressive.runner import Autoregressive
    from cosmos_handler.memory.components import load_part

    torch.set_num_threads(CPU_THREADS)
    return {
        found.name: {part.name: load_part(found, part, Autoregressive.PART_CLASSES[part.name]) for part in found.parts}
        for found in discover(models)
        if found.name != CONVERTED
    }


def image() -> tuple[str, Frames]:
    """NVIDIA's picture for a request, and its pixels."""
    path = sample("predict1/autoregressive_input.jpg")
    return data_url(path.read_bytes(), "image/jpeg"), np.asarray(Image.open(path).convert("RGB"))[None]


def video() -> tuple[str, Frames]:
    """The same of NVIDIA's video, of which the last nine frames."""
    path = sample("predict1/autoregressive_input.mp4")
    return data_url(path.read_bytes(), "video/mp4"), iio.imread(path, plugin="pyav")[-9:]


def codes_of(parts: Mapping[str, Any], given: Frames, *, text: Any = None, top_p: float) -> Any:
    """What the model makes of the given frames with seed 7, and no more."""
    import torch

    from cosmos_handler.families.autoregressive.frames import context_pixels
    from cosmos_handler.families.autoregressive.generation import Request, generate
    from cosmos_handler.families.autoregressive.sampling import Sampling

    pixels = context_pixels(np.array(given), len(given), height=HEIGHT, width=WIDTH)
    with torch.no_grad():
        (begin,) = parts["tokenizer"].encode(pixels)
    request = Request(begin, Sampling(1.0, top_p, 7), text)
    codes = generate(parts["ar_model"], [request], on_step=lambda *_: None)
    assert codes[0, : len(begin)].equal(begin)
    return codes


def decoded(parts: Mapping[str, Any], codes: Any) -> Frames:
    import torch

    from cosmos_handler.families.autoregressive.frames import shown_frames

    with torch.no_grad():
        return shown_frames(parts["tokenizer"].decode(codes))


def test_nvidias_picture_is_gone_on_from(server: Server, parts: Mapping[str, Any]) -> None:
    address, pixels = image()
    body = {"model": PLAIN, "image": address, "seed": 7, "decoder": "tokenizer"}
    frames = frames_served(server, body)
    assert frames.shape == (NUM_FRAMES, HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(frames, decoded(parts[PLAIN], codes_of(parts[PLAIN], pixels, top_p=0.8)))
    np.testing.assert_array_equal(frames, frames_served(server, {**body, "model": CONVERTED}))
    assert (frames != frames_served(server, {**body, "seed": 8})).any()


def test_the_end_of_nvidias_video_is_gone_on_from_and_kept(server: Server, parts: Mapping[str, Any]) -> None:
    address, pixels = video()
    body = {"model": PLAIN, "video": address, "seed": 7, "disable_diffusion_decoder": True}
    response = server.invoke(body, accept="application/x-npz")
    assert response.status_code == 200, response.text
    frames, codes = frames_of_npz(response.content), codes_of(parts[PLAIN], pixels, top_p=0.8)
    np.testing.assert_array_equal(frames, decoded(parts[PLAIN], codes))
    # Those that were given, as their codes show them: what comes later changes nothing but the rounding of sums.
    kept = decoded(parts[PLAIN], codes[:, :2])
    assert len(kept) == 9
    assert np.abs(frames[:9].astype(int) - kept.astype(int)).max() <= 1
    result = json.loads(response.headers["x-cosmos-result"])
    assert (result["num_output_frames"], result["fps"], result["seed"]) == (NUM_FRAMES, 25, 7)
    assert {"encode_media", "generate", "decode", "guard_frames"} <= set(result["stage_seconds"])
    assert "guard_prompt" not in result["stage_seconds"]


def test_a_prompt_is_read_and_diffusion_decodes(server: Server, parts: Mapping[str, Any], models: Path) -> None:
    import torch
    from transformers import AutoTokenizer

    from cosmos_handler.families.autoregressive.diffusion_decoding import decoded as pixels_of
    from cosmos_handler.families.autoregressive.diffusion_decoding import denoise_tokens
    from cosmos_handler.families.autoregressive.frames import shown_frames
    from cosmos_handler.families.autoregressive.text import prompt_embedding

    address, pixels = video()
    body = {"model": TEXT, "video": address, "seed": 7, "prompt": "A robot walks.", "num_steps": 2}
    words, own = AutoTokenizer.from_pretrained(models / TEXT / "text_tokenizer"), parts[TEXT]
    with torch.no_grad():
        text = prompt_embedding(own["text_encoder"], words, "A robot walks.", torch.device("cpu"))
    codes = codes_of(own, pixels, text=text, top_p=0.7)
    network = own["diffusion_decoder"]
    latents = denoise_tokens(network, codes, text[None], num_steps=2, guidance=1.8, seed=7, on_step=lambda *_: None)
    frames = frames_served(server, body)
    np.testing.assert_array_equal(frames, shown_frames(pixels_of(own["decoder_tokenizer"], latents)))
    assert (frames != frames_served(server, {**body, "prompt": "A car stops."})).any()


def test_a_long_video_is_a_file_of_25_frames_a_second(server: Server) -> None:
    address, _ = video()
    body = {"model": PLAIN, "video": address, "num_output_frames": 50, "num_steps": 1}
    response = server.invoke(body, accept="video/mp4")
    assert response.status_code == 200, response.text
    frames, fps, _, _ = frames_of_mp4(response.content)
    assert (frames.shape, fps) == ((50, HEIGHT, WIDTH, 3), 25)


@pytest.mark.timeout(900)
def test_at_nvidias_size(tiny_autoregressive: Path, tmp_path: Path) -> None:
    """33 frames of 640 x 1024, those that are given at their beginning; by the tokenizer, which is the quicker one."""
    folder, small = tmp_path / "models" / "full", tiny_autoregressive / PLAIN
    folder.mkdir(parents=True)
    for name in ("model.pt", "Cosmos-Tokenize1-DV8x16x16-720p", "guardrails"):
        (folder / name).symlink_to(small / name)
    config = json.loads((small / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "video_latent_shape": [5, 40, 64]}))
    (tmp_path / "server").mkdir()
    address, pixels = video()
    with running_server(folder.parent, tmp_path / "server", COSMOS_WARM_UP="off") as server:
        server.wait_until_ready()
        server.client.timeout = 600  # for 7,680 codes, on a machine that may have other things to do
        frames = frames_served(server, {"video": address, "seed": 7})
    assert frames.shape == (NUM_FRAMES, 640, 1024, 3)
    kept = reconstructed(folder.parent, pixels)
    assert np.abs(frames[:9].astype(int) - kept.astype(int)).max() <= 1
    assert (frames[9:] != frames[8]).any()


def reconstructed(models: Path, frames: Frames) -> Frames:
    """As the codes of frames show them."""
    import torch

    from cosmos_handler.artifacts.discover import discover
    from cosmos_handler.families.autoregressive.frames import context_pixels
    from cosmos_handler.families.autoregressive.runner import Autoregressive
    from cosmos_handler.memory.components import load_part

    (found,) = discover(models)
    part = next(part for part in found.parts if part.name == "tokenizer")
    tokenizer: Any = load_part(found, part, Autoregressive.PART_CLASSES["tokenizer"])
    with torch.no_grad():
        codes = tokenizer.encode(context_pixels(np.array(frames), len(frames)))
    return decoded({"tokenizer": tokenizer}, codes)
