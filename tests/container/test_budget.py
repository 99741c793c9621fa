"""A generator and its guardrails on a device with half of the memory that everything resident takes, over HTTP."""

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import GUARDRAIL_PARTS, Server, running_server
from tests.container.library import PROMPT, call_predict, load_predict

pytestmark = pytest.mark.model

# As call_predict has it.
BODY = {"prompt": PROMPT, "resolution": "64,96", "num_output_frames": 5, "num_steps": 3, "seed": 7}
LAYERS = 100  # so that it has more weights than work, as the real ones have on small cards
NPZ = "application/x-npz"


def frames_of(response: Any) -> tuple[np.ndarray[Any, Any], dict[str, Any]]:
    assert response.status_code == 200, response.text
    return np.load(io.BytesIO(response.content))["frames"], json.loads(response.headers["X-Cosmos-Result"])


@pytest.fixture(scope="module")
def deep(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Predict2.5 with a transformer of many layers, and its guardrails."""
    from diffusers import CosmosTransformer3DModel

    from scripts.tiny.weights import fill

    folder = tmp_path_factory.mktemp("deep") / "predict2.5"
    shutil.copytree(tiny_models / "predict2.5", folder)
    config = json.loads((folder / "transformer" / "config.json").read_text()) | {"num_layers": LAYERS}
    model = CosmosTransformer3DModel.from_config(config)
    fill(model, seed=1, gain=0.3)
    model.save_pretrained(folder / "transformer")
    return folder


@pytest.fixture(scope="module")
def half_bytes(deep: Path) -> int:
    """Half of the peak of this request with everything on the device."""
    from cosmos_handler.memory.planning import House, plan_for
    from cosmos_handler.memory.usual import usual_task
    from cosmos_handler.messages.machine import Machine, MemoryWish
    from tests.conftest import setup_of

    setup = setup_of(deep)
    rates = dict.fromkeys((name for name in Machine.model_fields if name.endswith("per_second")), 1e12)
    machine = Machine(name="any", device_bytes=2**40, host_bytes=0, **rates)
    house = House(setup.checkpoints, setup.guardrails, machine, MemoryWish(offload="none"), {})
    small = {"height": 64, "width": 96, "num_frames": 5, "num_output_frames": 5, "prompt": PROMPT}
    plan = plan_for(usual_task(setup.checkpoints[0]).model_copy(update=small), "predict2.5", house)
    return plan.peak_bytes // 2


@pytest.fixture(scope="module")
def small_server(deep: Path, half_bytes: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("half")
    with running_server(deep, folder, COSMOS_DEVICE_MEMORY_BYTES=str(half_bytes)) as server:
        server.wait_until_ready()
        yield server


def test_it_makes_the_very_same_video(small_server: Server, deep: Path, half_bytes: int) -> None:
    made, told = frames_of(small_server.invoke(BODY, accept=NPZ))
    np.testing.assert_array_equal(made, call_predict(load_predict(deep)))
    assert told["predicted_peak_bytes"] <= half_bytes
    assert set(told["plan"]) >= {"text_encoder", "transformer", "tokenizer", *GUARDRAIL_PARTS}
    assert set(told["plan"].values()) - {"resident"}
    assert told["decode"] == "exact"


def test_the_answer_says_what_was_planned_and_what_it_was(small_server: Server, half_bytes: int) -> None:
    told = small_server.invoke({**BODY, "prompt": "Another one."}).json()
    stages = {stage["stage"]: stage for stage in told["stages"]}
    assert stages.keys() >= {"guard_prompt", "encode_text", "denoise", "decode", "guard_frames", "encode_video"}
    for name in ("encode_text", "denoise", "decode"):
        assert 0 < stages[name]["predicted_peak_bytes"] <= half_bytes
        assert stages[name]["measured_peak_bytes"] > 0  # of the whole process, as its device is the CPU
        assert stages[name]["predicted_seconds"] > 0
        assert stages[name]["seconds"] == pytest.approx(told["stage_seconds"][name], abs=1e-3)


def test_a_repeated_prompt_needs_no_text_encoder(small_server: Server) -> None:
    body = {**BODY, "prompt": "A prompt that comes twice."}
    first, again = (small_server.invoke(body).json() for _ in range(2))
    assert "encode_text" in first["stage_seconds"]
    assert "encode_text" not in again["stage_seconds"]
    assert first["video"] is not None


def test_plans_are_in_the_metrics(small_server: Server) -> None:
    small_server.invoke(BODY)
    families = {each.name: each for each in text_string_to_metric_families(small_server.client.get("/metrics").text)}
    placed = [sample for sample in families["cosmos_placement"].samples if sample.value == 1]
    assert {sample.labels["placement"] for sample in placed} - {"resident"}


def test_what_can_never_fit_is_refused_with_what_would(small_server: Server, half_bytes: int) -> None:
    response = small_server.invoke({**BODY, "resolution": "704,1280", "num_output_frames": 61})
    assert response.status_code == 507
    error = response.json()["error"]
    assert error["type"] == "will_not_fit"
    assert error["plan"]
    assert small_server.log.count("accepted") == small_server.log.count("starts on")  # nothing of it was begun
    plan = small_server.client.post("/plan", json=BODY).json()
    assert plan["peak_bytes"] <= half_bytes == plan["machine"]["device_bytes"]
