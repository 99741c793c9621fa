"""LoRA adapters over HTTP, held against diffusers' pipeline with the adapter loaded."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import CPU_THREADS, Server, running_server
from tests.container.library import PROMPT, call_predict, load_predict
from tests.container.media import Frames, frames_served
from tests.container.stream import hang_up_at

pytestmark = pytest.mark.model

SMALL = {"prompt": PROMPT, "resolution": "64,96", "num_output_frames": 5, "num_steps": 3, "seed": 7}
FILE = "pytorch_lora_weights.safetensors"


def write_adapter(model: Path, name: str, *, seed: int) -> None:
    """Random numbers for the queries and the outputs of every attention, large enough to be seen."""
    import torch
    from safetensors.torch import load_file, save_file

    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for key, weight in load_file(model / "transformer/diffusion_pytorch_model.safetensors").items():
        if key.endswith(("to_q.weight", "to_out.0.weight")):
            module = f"transformer.{key.removesuffix('.weight')}"
            tensors[f"{module}.lora_A.weight"] = torch.randn(4, weight.shape[1], generator=generator).bfloat16()
            tensors[f"{module}.lora_B.weight"] = torch.randn(weight.shape[0], 4, generator=generator).bfloat16()
    assert tensors
    folder = model / "lora" / name
    folder.mkdir(parents=True)
    save_file(tensors, folder / FILE)


@pytest.fixture(scope="module")
def model(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("peft")
    folder = tmp_path_factory.mktemp("lora") / "predict2.5"
    shutil.copytree(tiny_models / "predict2.5", folder)
    write_adapter(folder, "wet.paint", seed=1)
    write_adapter(folder, "fog", seed=2)
    return folder


@pytest.fixture(scope="module")
def adapted(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(model, tmp_path_factory.mktemp("server")) as server:
        server.wait_until_ready()
        yield server


def served(server: Server, **body: Any) -> Frames:
    return frames_served(server, {**SMALL, **body})


def direct(model: Path, name: str | None, scale: float = 1.0) -> Frames:
    import torch

    torch.set_num_threads(CPU_THREADS)
    pipeline = load_predict(model)
    if name is not None:
        pipeline.load_lora_weights(model / "lora" / name, weight_name=FILE, adapter_name="it")
        pipeline.set_adapters(["it"], [scale])
    return call_predict(pipeline)


def test_an_adapter_is_on_for_the_one_request(adapted: Server, model: Path) -> None:
    plain = direct(model, None)
    painted = served(adapted, lora="wet.paint")
    np.testing.assert_array_equal(painted, direct(model, "wet.paint"))
    assert not np.array_equal(painted, plain)
    np.testing.assert_array_equal(served(adapted), plain)
    np.testing.assert_array_equal(served(adapted, lora="fog", lora_scale=0.5), direct(model, "fog", 0.5))
    np.testing.assert_array_equal(served(adapted, lora="wet.paint"), painted)


def test_a_job_that_is_cancelled_leaves_it_off(adapted: Server, model: Path) -> None:
    body = {**SMALL, "lora": "fog", "num_steps": 100}
    hang_up_at(adapted, body, stage="denoise", step=2)
    np.testing.assert_array_equal(served(adapted), direct(model, None))
    assert "cancelled in denoise" in adapted.log


def test_an_adapter_that_there_is_not(adapted: Server) -> None:
    error = adapted.invoke({**SMALL, "lora": "rust"}).json()["error"]
    assert (error["field"], error["allowed"]) == ("lora", "fog, wet.paint")
    listed = adapted.client.get("/v1/models").json()["data"][0]
    assert listed["loras"] == ["fog", "wet.paint"]
    assert adapted.invoke({**SMALL, "prompt_upsampling": True}).json()["error"]["field"] == "prompt_upsampling"
