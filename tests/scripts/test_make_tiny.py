"""The tiny checkpoints: their files, that the libraries load and run them without a network, and the command itself."""

import importlib.util
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cosmos_handler.artifacts.checkpoint import GenerationLimits
from cosmos_handler.artifacts.discover import discover
from scripts import make_tiny

pytestmark = [
    pytest.mark.model,
    # diffusers hands torch tensors to numpy 2 when it makes a UniPC scheduler.
    pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
        ":diffusers.schedulers.scheduling_unipc_multistep"
    ),
]

SCRIPT = Path(make_tiny.__file__)
TOKENIZER_FILES = {"tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "chat_template.jinja"}
FILES = {
    "cosmos3": {
        "config.json",
        "generation_config.json",
        "model.safetensors.index.json",
        "model_index.json",
        "preprocessor_config.json",
        "scheduler/scheduler_config.json",
        "transformer/config.json",
        *(f"transformer/diffusion_pytorch_model-0000{shard}-of-00003.safetensors" for shard in (1, 2, 3)),
        "transformer/diffusion_pytorch_model.safetensors.index.json",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "video_preprocessor_config.json",
        "vision_encoder/config.json",
        "vision_encoder/model.safetensors",
        *(f"text_tokenizer/{file}" for file in TOKENIZER_FILES),
        *TOKENIZER_FILES,
    },
    "predict2.5": {
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/generation_config.json",
        "text_encoder/model.safetensors",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        *(f"tokenizer/{file}" for file in TOKENIZER_FILES),
    },
    "transfer2.5": {
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/generation_config.json",
        "text_encoder/model.safetensors",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        *(f"tokenizer/{file}" for file in TOKENIZER_FILES),
        *(
            f"controlnet/{branch}/{file}"
            for branch in ("edge", "blur", "depth", "seg")
            for file in ("config.json", "diffusion_pytorch_model.safetensors")
        ),
    },
    "reason1": {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "preprocessor_config.json",
        *TOKENIZER_FILES,
    },
    "reason2": {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "video_preprocessor_config.json",
        *TOKENIZER_FILES,
    },
}
GUARDRAIL_FILES = {
    *(f"blocklist/{name}/words.txt" for name in ("custom", "exact_match", "whitelist")),
    *(f"blocklist/nltk_data/corpora/wordnet/{name}" for name in ("index.noun", "noun.exc")),
    *(f"Qwen3Guard-Gen-0.6B/{file}" for file in ("config.json", "generation_config.json", "model.safetensors")),
    *(f"Qwen3Guard-Gen-0.6B/{file}" for file in TOKENIZER_FILES),
    *(f"siglip-so400m-patch14-384/{file}" for file in ("config.json", "model.safetensors", "preprocessor_config.json")),
    "video_content_safety_filter/safety_filter.pt",
    "face_blur_filter/Resnet50_Final.pth",
}
for generator in make_tiny.GENERATORS & FILES.keys():
    FILES[generator] |= {f"guardrails/{file}" for file in GUARDRAIL_FILES}
NAMES = sorted(FILES)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every checkpoint, written by the command in a process of its own, each in a folder of its name."""
    out = tmp_path_factory.mktemp("tiny") / "all"
    subprocess.run([sys.executable, SCRIPT, "all", "--out", out], check=True, timeout=120)
    return out


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails the test when anything opened a connection, even if a library swallowed the refusal."""
    attempts: list[object] = []

    def refuse(_: socket.socket, address: object) -> None:
        attempts.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    yield
    assert attempts == []


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != make_tiny.MARKER
    }


def dtypes_in(file: Path) -> set[str]:
    content = file.read_bytes()
    (header_bytes,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + header_bytes])
    return {entry["dtype"] for name, entry in header.items() if name != "__metadata__"}


@pytest.fixture
def picture() -> Image.Image:
    """A gradient of 80 x 48 pixels."""
    rows, columns = np.mgrid[0:48, 0:80]
    return Image.fromarray(np.stack([columns * 3, rows * 5, columns + rows], axis=-1).astype(np.uint8))


@pytest.mark.parametrize("name", NAMES)
def test_writes_the_published_files(made: Path, name: str) -> None:
    assert set(files_in(made / name)) == FILES[name]
    for file in (made / name).rglob("*.safetensors"):
        assert dtypes_in(file) == {"BF16"}, file
        assert file.stat().st_mode & 0o044 == 0o044, "readable by the user that serves"


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_bytes_in_another_process(made: Path, tmp_path: Path, name: str) -> None:
    make_tiny.write_checkpoint(name, tmp_path / "same")
    assert files_in(tmp_path / "same") == files_in(made / name)
    make_tiny.write_checkpoint(name, tmp_path / "other", seed=1)
    ours, theirs = files_in(tmp_path / "other"), files_in(made / name)
    differing = {file for file in ours if ours[file] != theirs[file]}
    assert differing == {file for file in FILES[name] if file.endswith((".safetensors", "safety_filter.pt"))}


def test_nvidias_own_form_is_written_where_there_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("one", "two"):
        make_tiny.write_checkpoint("predict2.5", tmp_path / folder, native=True)
    files = files_in(tmp_path / "one")
    assert files == files_in(tmp_path / "two")
    ours = {name for name in files if name.endswith((".pt", ".pth")) and not name.startswith("guardrails/")}
    assert ours == {
        "base/post-trained/81edfebe-bd6a-4039-8c1d-737df1a790bf_ema_bf16.pt",
        "tokenizer.pth",
    }
    assert {f"guardrails/{file}" for file in GUARDRAIL_FILES} <= files.keys()
    make_tiny.write_checkpoint("predict2.5", tmp_path / "one")
    assert set(files_in(tmp_path / "one")) == FILES["predict2.5"]  # nothing is left of the other form
    assert not (tmp_path / "one/base").exists()
    with pytest.raises(SystemExit):
        make_tiny.main(["reason2", "--native", "--out", str(tmp_path / "three")])
    assert "reason2 has no form of NVIDIA's own" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        make_tiny.main(["autoregressive", "--out", str(tmp_path / "three")])
    assert "autoregressive has NVIDIA's own form alone: pass --native" in capsys.readouterr().err
    assert not (tmp_path / "three").exists()


def test_autoregressive_models_are_written_as_nvidia_publishes_them(tmp_path: Path) -> None:
    make_tiny.write_checkpoint("autoregressive_text", tmp_path, native=True)
    ours = {file for file in files_in(tmp_path) if not file.startswith("guardrails/")}
    halves = ("encoder.jit", "decoder.jit")
    decoder = "Cosmos-Predict1-7B-Decoder-DV8x16x16ToCV8x8x8-720p"
    assert ours == {
        "model.pt",
        "config.json",
        *(f"Cosmos-Tokenize1-{kind}-720p/{half}" for kind in ("DV8x16x16", "CV8x8x8") for half in halves),
        "Cosmos-Tokenize1-CV8x8x8-720p/mean_std.pt",
        *(f"{decoder}/{file}" for file in ("model.pt", "aux_vars.pt")),
        *(f"text_encoder/{file}" for file in ("config.json", "model.safetensors")),
        *(f"text_tokenizer/{file}" for file in ("tokenizer.json", "tokenizer_config.json")),
    }
    assert {f"guardrails/{file}" for file in GUARDRAIL_FILES} == set(files_in(tmp_path)) - ours
    (found,) = discover(tmp_path)
    assert [part.name for part in found.parts] == [
        "text_encoder", "ar_model", "tokenizer", "diffusion_decoder", "decoder_tokenizer"
    ]  # fmt: skip
    assert found.generation == GenerationLimits(33, 64, 128, temporal_factor=8, size_multiple=16)


@pytest.mark.parametrize(("name", "rows"), [("autoregressive", 64000), ("autoregressive_text", 64064)])
def test_an_autoregressive_model_has_the_sizes_of_its_list(tmp_path: Path, name: str, rows: int) -> None:
    import torch

    from scripts.tiny.native_autoregressive import FULL, write_model

    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_model(tmp_path / folder, name, FULL, seed=0)
    assert files_in(tmp_path / "one") == files_in(tmp_path / "two")
    state = torch.load(tmp_path / "one/model.pt", weights_only=True)
    assert state["model.tok_embeddings.weight"].shape[0] == rows
    assert state["model.output.weight"].shape[0] == 64000
    assert state["model.norm.weight"].eq(1).all()


@pytest.mark.parametrize("name", ["autoregressive", "autoregressive_text"])
def test_autoregressive_models_differ_by_the_size_of_their_videos_alone(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[int, ...]] = []
    monkeypatch.setattr(
        "scripts.tiny.native_autoregressive.write_model", lambda folder, of, shape, seed: written.append(shape)
    )
    for maker in ("video_tokenizer", "diffusion_decoder", "decoder_tokenizer", "guardrails"):
        monkeypatch.setattr(f"scripts.tiny.{maker}.write", lambda folder, **_: None)
    for variant in (name, f"{name}_full"):
        make_tiny.write_checkpoint(variant, tmp_path / variant, native=True)
    assert written == [(5, 4, 8), (5, 40, 64)]


@pytest.mark.usefixtures("no_network")
def test_the_text_encoder_of_autoregressive_models_tells_prompts_apart(tmp_path: Path) -> None:
    import torch
    from transformers import AutoTokenizer, T5EncoderModel

    from scripts.tiny.t5 import write_text_encoder

    write_text_encoder(tmp_path, width=24, seed=0)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "text_tokenizer")
    encoder = T5EncoderModel.from_pretrained(tmp_path / "text_encoder")
    prompts = ["A robot lifts a cup.", "A car turns left."]
    batch = tokenizer(prompts, max_length=512, padding="max_length", truncation=True, return_tensors="pt")
    assert batch["input_ids"].shape == (2, 512)
    assert tokenizer.unk_token_id not in batch["input_ids"]
    assert (batch["input_ids"] == tokenizer.eos_token_id).sum().item() == 2
    with torch.no_grad():
        states = encoder(**batch).last_hidden_state
    assert states.shape == (2, 512, 24)
    assert states.isfinite().all()
    assert (states[0, 0] - states[1, 0]).abs().max() > 0.1


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("folder", ["predict2.5/tokenizer", "reason1", "reason2"])
def test_tokenizer_encodes_anything_and_speaks_the_chat_format(made: Path, folder: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(made / folder)
    text = "Le robot déplace 📦 vers l'étagère, 机器人.\n\n\ttab"
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert (tokenizer.pad_token, tokenizer.eos_token) == ("<|endoftext|>", "<|im_end|>")
    conversation = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "image"}, {"type": "video"}, {"type": "text", "text": "What next?"}]},
    ]
    assert tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|><|vision_start|><|video_pad|><|vision_end|>"
        "What next?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    padded = tokenizer.apply_chat_template(conversation, max_length=512, truncation=True, padding="max_length")
    assert len(padded["input_ids"]) == 512
    assert padded["input_ids"][0] == tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert padded["input_ids"][-1] == tokenizer.pad_token_id


@pytest.mark.usefixtures("no_network")
def test_predict_runs_from_text_image_and_video(made: Path, picture: Image.Image) -> None:
    import torch
    from diffusers import Cosmos2_5_PredictBasePipeline
    from diffusers.pipelines.cosmos.pipeline_cosmos2_5_predict import CosmosSafetyChecker

    class PassThrough(CosmosSafetyChecker):
        def __init__(self) -> None:
            pass

        def to(self, *_: object) -> None:
            pass

        def check_text_safety(self, prompt: str) -> bool:
            return bool(prompt)

        def check_video_safety(self, frames: np.ndarray) -> np.ndarray:
            return frames

    pipeline = Cosmos2_5_PredictBasePipeline.from_pretrained(
        made / "predict2.5", dtype=torch.bfloat16, safety_checker=PassThrough()
    )
    pipeline.set_progress_bar_config(disable=True)
    assert {pipeline.transformer.dtype, pipeline.vae.dtype, pipeline.text_encoder.dtype} == {torch.bfloat16}

    def frames(prompt: str = "A robot lifts a cup.", **inputs: object) -> np.ndarray:
        generator = torch.Generator().manual_seed(0)
        size = {"height": 64, "width": 64, "num_inference_steps": 2}
        return pipeline(prompt=prompt, generator=generator, output_type="np", **size, **inputs).frames[0]

    clips = {
        "text": frames(num_frames=5),
        "another text": frames("A car turns left at night.", num_frames=5),
        "image": frames(image=picture, num_frames=5),
        "video": frames(video=[picture] * 5, num_frames=9),
    }
    for kind, clip in clips.items():
        assert clip.shape == (9 if kind == "video" else 5, 64, 64, 3), kind
        assert np.isfinite(clip).all(), kind
        assert clip.std() > 0.1, f"{kind}: a flat picture"
        assert np.mean((clip <= 0) | (clip >= 1)) < 0.2, f"{kind}: burnt out"
        assert np.abs(np.diff(clip, axis=0)).mean() > 0.02, f"{kind}: nothing moves"
    assert np.abs(clips["text"] - clips["another text"]).mean() > 0.005, "the prompt has no say"
    assert np.abs(clips["text"] - clips["image"]).mean() > 0.005, "the image has no say"


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", ["reason1", "reason2"])
def test_reason_answers_text_image_and_video(made: Path, picture: Image.Image, name: str) -> None:
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from transformers.video_utils import VideoMetadata

    processor = AutoProcessor.from_pretrained(made / name)
    model = AutoModelForImageTextToText.from_pretrained(made / name, dtype=torch.bfloat16)
    for token in ("image_pad", "video_pad", "vision_start", "vision_end"):
        field = f"{token.removesuffix('_pad')}_token_id"
        assert getattr(model.config, field) == processor.tokenizer.convert_tokens_to_ids(f"<|{token}|>")
    assert model.generation_config.eos_token_id[0] == processor.tokenizer.eos_token_id

    def answer(question: str, *media: str, **inputs: object) -> str:
        content = [*({"type": medium} for medium in media), {"type": "text", "text": question}]
        text = processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        batch = processor(text=[text], return_tensors="pt", **inputs)
        output = model.generate(**batch, max_new_tokens=16, do_sample=False)
        new = output[0, batch["input_ids"].shape[1] :]
        assert len(new) == 16, "ended early"
        return processor.decode(new, skip_special_tokens=True)

    clip = np.random.default_rng(0).integers(0, 256, (24, 64, 96, 3), dtype=np.uint8)
    whole = VideoMetadata(total_num_frames=24, fps=24.0, duration=1.0, frames_indices=list(range(24)))
    picked = VideoMetadata(total_num_frames=24, fps=24.0, duration=1.0, frames_indices=[3, 9, 15, 21])
    answers = {
        "question": answer("What is the robot doing?"),
        "other question": answer("Is it safe to cross?"),
        "image": answer("What is it?", "image", images=[picture]),
        "mirrored": answer("What is it?", "image", images=[picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]),
        "sampled here": answer(
            "What happens?", "video", videos=[clip], video_metadata=[whole], do_sample_frames=True, fps=4
        ),
        "sampled before": answer(
            "What happens?", "video", videos=[clip[3::6]], video_metadata=[picked], do_sample_frames=False
        ),
    }
    assert len(set(answers.values())) == len(answers), "each input should have a say"
    for text in answers.values():
        assert len(text.split()) == 16, "a word a token"
        assert text.isascii()
        assert "<" not in text


def test_reason_knows_the_think_tags(made: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(made / "reason2")
    ids = tokenizer("<think>so</think><|im_end|>").input_ids
    assert ids[0] == tokenizer.convert_tokens_to_ids("<think>")
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<think>so</think>"


def test_an_unknown_name_is_told_the_known_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        make_tiny.main(["reason9", "--out", str(tmp_path)])
    complaint = capsys.readouterr().err
    assert all(name in complaint for name in ["reason9", "all", *make_tiny.CHECKPOINTS])


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = tmp_path / "reason2" / "notes.txt"
    theirs.parent.mkdir()
    theirs.write_text("mine")
    assert make_tiny.main(["all", "--out", str(tmp_path)]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [theirs], "nothing at all was written"
    assert make_tiny.main(["reason2", "--out", str(theirs)]) == 1
    assert "is not a folder" in capsys.readouterr().err


def test_force_and_repetition_keep_what_is_not_theirs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = tmp_path / "cosmos.json"
    theirs.write_text("{}")
    assert make_tiny.main(["predict2.5", "--out", str(tmp_path), "--force"]) == 0
    assert make_tiny.main(["reason2", "--out", str(tmp_path)]) == 0, "an earlier output needs no force"
    assert set(files_in(tmp_path)) == FILES["reason2"] | {"cosmos.json"}
    assert not (tmp_path / "vae").exists()
    assert theirs.read_text() == "{}"
    progress = capsys.readouterr().out
    assert "predict2.5: transformer (" in progress
    assert progress.splitlines()[-1].startswith("done in ")


def test_an_interpreter_without_torch_hands_over_or_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(make_tiny, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match="has no torch"):
        make_tiny.main(["reason2", "--out", str(tmp_path / "out")])

    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    started: list[Path] = []

    def execv(path: Path, _: list[str]) -> None:
        started.append(path)
        sys.exit(0)

    monkeypatch.setattr(os, "execv", execv)
    with pytest.raises(SystemExit, match="0"):
        make_tiny.main(["reason2", "--out", str(tmp_path / "out")])
    assert started == [python]
