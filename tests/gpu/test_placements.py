"""Placements on a GPU: streams and pinned memory instead of the CPU's plain copies, and peaks that are measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmos_handler.memory.plan import Plan
from cosmos_handler.messages.machine import Placement
from tests.memory.test_place import MACHINE

pytestmark = [pytest.mark.gpu, pytest.mark.model]

torch = pytest.importorskip("torch")


def wide_network() -> Any:
    """Blocks that are large enough for copies and kernels to overlap."""
    from diffusers import CosmosTransformer3DModel

    from cosmos_handler.families.lean import make_lean
    from scripts.tiny.predict2_5 import NETWORK
    from scripts.tiny.weights import fill

    sizes = {"num_attention_heads": 16, "attention_head_dim": 128, "adaln_lora_dim": 256}
    model = CosmosTransformer3DModel(in_channels=17, num_layers=7, **{**NETWORK, **sizes})
    fill(model, seed=5)
    make_lean(model)
    return model.requires_grad_(requires_grad=False)


def inputs(device: str) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> Any:
        return torch.randn(shape, generator=generator).to(device, torch.bfloat16)

    return {
        "hidden_states": drawn(1, 16, 5, 32, 48),
        "timestep": drawn(1, 1, 5, 1, 1).abs(),
        "encoder_hidden_states": drawn(1, 64, 64),
        "condition_mask": torch.ones(1, 1, 5, 32, 48, dtype=torch.bfloat16, device=device),
        "padding_mask": torch.zeros(1, 1, 256, 384, dtype=torch.bfloat16, device=device),
    }


def plan_of(placements: Mapping[str, Placement]) -> Plan:
    keyed = {f"m/{name}": where for name, where in placements.items()}
    return Plan((), keyed, (), MACHINE, "exact", "by hand")


def test_a_streamed_transformer_gives_the_same_every_time() -> None:
    """Forty forwards in a row: a block that was overwritten too early, or shown too late, would show."""
    from cosmos_handler.memory.place import Residence

    model = wide_network()
    residence = Residence("cuda")
    parts = residence.add("m", {"transformer": model})
    residence.seal()
    asked = inputs("cuda")
    with torch.no_grad():
        residence.apply(plan_of({"transformer": "resident"}))
        wanted = model(**asked).sample
        for where in ("streamed", "swapped", "disk", "streamed"):
            residence.apply(plan_of({"transformer": where}))
            with parts.use(("transformer",), lazily=True):
                for _ in range(10):
                    assert torch.equal(model(**asked).sample, wanted), where


def test_a_streamed_transformer_has_two_blocks_on_the_device() -> None:
    from cosmos_handler.memory.place import Residence

    model = wide_network()
    residence = Residence("cuda")
    parts = residence.add("m", {"transformer": model})
    residence.seal()
    (layout,) = (part._layout for part in residence._parts.values())
    streamed_bytes = layout.rest.size_bytes + 2 * max(unit.size_bytes for unit in layout.blocks.values())
    asked = inputs("cuda")
    residence.apply(plan_of({"transformer": "streamed"}))
    before = torch.cuda.memory_allocated()
    with torch.no_grad(), parts.use(("transformer",)):
        model(**asked)
        torch.cuda.synchronize()
        assert torch.cuda.memory_allocated() - before <= streamed_bytes + 2**20
    residence.clear()
    assert torch.cuda.memory_allocated() <= before


def test_host_memory_is_pinned() -> None:
    from cosmos_handler.memory.place import Residence

    model = wide_network()
    residence = Residence("cuda")
    residence.add("m", {"transformer": model})
    residence.seal()
    residence.apply(plan_of({"transformer": "swapped"}))
    (part,) = residence._parts.values()
    assert part._host is not None
    assert part._host.is_pinned
    assert part._host.bytes.is_pinned()


@pytest.mark.parametrize("name", ["predict2.5", "autoregressive_text"])
def test_jobs_on_half_of_the_memory(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The real session on the GPU, with everything offloaded and with nothing: the same frames."""
    models: Path = request.getfixturevalue("tiny_autoregressive" if name.startswith("auto") else "tiny_models")
    none, *others = frames_of_jobs(name, models, tmp_path, device="cuda")
    for frames in others:
        np.testing.assert_array_equal(frames, none)


def frames_of_jobs(name: str, models: Path, folder: Path, *, device: str) -> list[Any]:
    """What one model makes of one task with nothing offloaded, with everything, and as it is planned."""
    from cosmos_handler.messages.machine import MemoryWish
    from cosmos_handler.messages.wire import Done, Run
    from cosmos_handler.worker.session import Session
    from tests.conftest import setup_of
    from tests.worker.test_placements import tasks_of

    made = []
    for offload in ("none", "all", "auto"):
        said: list[Any] = []
        wish = MemoryWish.model_validate({"offload": offload, "text_cache_bytes": 0})
        setup = setup_of(models).model_copy(update={"device": device, "memory": wish})
        session = Session(setup, send=said.append)
        place = folder / offload
        place.mkdir()
        task = tasks_of(name, next(each for each in setup.checkpoints if each.name == name), place)
        session.run(Run(job_id="job", model=name, task=task, folder=str(place)), is_cancelled=lambda: False)
        assert isinstance(said[-1], Done), said[-1]
        made.append(np.load(place / "frames.npz")["frames"])
    return made
