"""The real model process and checkpoints that are whole as files and wrong as models."""

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from cosmos_handler.engine.child import WORKER, Child
from cosmos_handler.messages.wire import Fatal, Loading, Ready
from tests.conftest import make_tiny, setup_of

pytestmark = pytest.mark.model


async def said_at_setup(folder: Path, *, warm_up_dir: Path | None = None) -> list[object]:
    """All messages of a model process that is told to load a folder."""
    child = Child(WORKER, {"PATH": os.environ["PATH"], "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""})
    try:
        where = None if warm_up_dir is None else str(warm_up_dir)
        await child.send(setup_of(folder).model_copy(update={"warm_up_dir": where}))
        messages: list[object] = []
        async with asyncio.timeout(120):
            while not isinstance(message := await child.inbox.get(), Ready | Fatal | None):
                messages.append(message)
        return [*messages, message]
    finally:
        child.kill()
        await child.wait()


def copy_of(models: Path, name: str, folder: Path) -> Path:
    shutil.copytree(models / name, folder / name)
    return folder / name


def drop_a_tensor(file: Path) -> str:
    tensors = load_file(file)
    name = next(name for name in sorted(tensors) if name.endswith("weight"))
    del tensors[name]
    save_file(tensors, file, metadata={"format": "pt"})
    return name


def test_parts_are_reported_as_they_are_loaded(tiny_models: Path) -> None:
    *parts, last = asyncio.run(said_at_setup(tiny_models))
    assert isinstance(last, Ready)
    names = {(each.model, each.part) for each in parts if isinstance(each, Loading)}
    assert names == {
        ("predict2.5", "text_encoder"),
        ("predict2.5", "transformer"),
        ("predict2.5", "tokenizer"),
        ("guardrails", "guardrail_text_classifier"),
        ("guardrails", "guardrail_content_filter"),
        ("guardrails", "guardrail_content_filter_classifier"),
        ("guardrails", "guardrail_face_blur"),
        ("reason2", "model"),
    }


@pytest.mark.parametrize(
    ("model", "weights"),
    [
        ("predict2.5", "transformer/diffusion_pytorch_model.safetensors"),
        ("predict2.5", "vae/diffusion_pytorch_model.safetensors"),
        ("predict2.5", "text_encoder/model.safetensors"),
        ("reason2", "model.safetensors"),
    ],
)
def test_a_missing_tensor_is_named_and_not_made_up(tiny_models: Path, tmp_path: Path, model: str, weights: str) -> None:
    folder = copy_of(tiny_models, model, tmp_path)
    missing = drop_a_tensor(folder / weights)
    *_, last = asyncio.run(said_at_setup(folder))
    assert isinstance(last, Fatal)
    assert missing in last.problem


def test_a_config_that_does_not_go_with_the_weights(tiny_models: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny_models, "predict2.5", tmp_path)
    path = folder / "transformer" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_attention_heads": 4}))
    *_, last = asyncio.run(said_at_setup(folder))
    assert isinstance(last, Fatal)
    assert "CosmosTransformer3DModel" in last.problem


def check_warm(folder: Path, work_dir: Path, capfd: pytest.CaptureFixture[str], *names: str) -> None:
    work_dir.mkdir()
    *parts, last = asyncio.run(said_at_setup(folder, warm_up_dir=work_dir))
    assert isinstance(last, Ready)
    assert all(isinstance(each, Loading) for each in parts)  # of the runs themselves nothing is heard
    log = capfd.readouterr().err
    assert all(f"{name} is warm" in log for name in names)
    assert not list(work_dir.iterdir())


def test_every_model_runs_once_before_it_is_ready(
    tiny_models: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    check_warm(tiny_models, tmp_path / "work", capfd, "predict2.5", "reason2")


@pytest.mark.parametrize("name", ["transfer2.5", "cosmos3", "reason1"])
def test_so_does_each_other_family(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check_warm(make_tiny(name, tmp_path / name), tmp_path / "work", capfd, name)


def test_what_loads_and_does_not_run_is_told_at_the_start(tiny_models: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny_models, "reason2", tmp_path)
    (folder / "chat_template.jinja").write_text("{{ a_function_that_is_none() }}")
    assert isinstance(asyncio.run(said_at_setup(folder))[-1], Ready)
    assert isinstance(asyncio.run(said_at_setup(folder, warm_up_dir=tmp_path))[-1], Fatal)
