"""Parts that come and go: the same results wherever they lie, and nothing on the device that was not called for."""

import gc
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.memory.plan import Plan, StagePlan
from cosmos_handler.messages.machine import Machine, Placement
from tests.conftest import ROOT

torch = pytest.importorskip("torch")

MACHINE = Machine(
    name="cpu",
    device_bytes=10**9,
    host_bytes=10**9,
    link_bytes_per_second=1e9,
    disk_bytes_per_second=1e9,
    memory_bytes_per_second=1e9,
    linear_flops_per_second=1e9,
    attention_flops_per_second=1e9,
)
BLOCKS = 5


def network(blocks: int = BLOCKS) -> Any:
    """A small transformer's likeness: something before, blocks, something behind."""

    class Network(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.before = torch.nn.Linear(16, 16)
            self.transformer_blocks = torch.nn.ModuleList(torch.nn.Linear(16, 16) for _ in range(blocks))
            self.behind = torch.nn.Linear(16, 16)
            self.register_buffer("scale", torch.ones(1))

        def forward(self, x: Any) -> Any:
            x = self.before(x) * self.scale
            for block in self.transformer_blocks:
                x = x + torch.tanh(block(x))
            return self.behind(x)

    torch.manual_seed(0)
    return Network().requires_grad_(requires_grad=False)


def plan_of(placements: Mapping[str, Placement], ahead: Mapping[str, tuple[str, ...]] | None = None) -> Plan:
    stages = tuple(StagePlan(name, 0, 0, keys, 0.0, 0.0) for name, keys in (ahead or {}).items())
    return Plan((), {f"m/{name}": where for name, where in placements.items()}, stages, MACHINE, "exact", "by hand")


class House:
    """Two parts, and what they give when nothing was ever moved."""

    def __init__(self, blocks: int = BLOCKS) -> None:
        from cosmos_handler.memory.place import Residence

        self.net, self.vae = network(blocks), network(0)
        self.x = torch.randn(3, 16)
        self.wanted = {"transformer": self.net(self.x), "tokenizer": self.vae(self.x)}
        self.residence = Residence("cpu")
        self.parts = self.residence.add("m", {"transformer": self.net, "tokenizer": self.vae})
        self.residence.seal()

    def is_right(self, name: str) -> bool:
        return bool(torch.equal(self.parts[name](self.x), self.wanted[name]))

    def state(self, name: str) -> str:
        return self.residence._parts[f"m/{name}"].state


@pytest.fixture
def house() -> House:
    return House()


PLACEMENTS: tuple[Placement, ...] = ("resident", "swapped", "streamed", "disk")


@pytest.mark.parametrize("first", PLACEMENTS)
@pytest.mark.parametrize("second", PLACEMENTS)
def test_results_are_the_same_wherever_weights_lie(house: House, first: Placement, second: Placement) -> None:
    for where in (first, second, first):
        house.residence.apply(plan_of({"transformer": where, "tokenizer": "swapped"}))
        for _ in range(2):
            with house.parts.use(("transformer",)):
                assert house.is_right("transformer")
                assert house.is_right("transformer")
            with house.parts.use(("tokenizer",)):
                assert house.is_right("tokenizer")
        assert (house.state("transformer") == "whole") == (where == "resident")


@pytest.mark.parametrize("blocks", [1, 2, 3, 8])
def test_any_number_of_blocks_can_be_streamed(blocks: int) -> None:
    house = House(blocks)
    house.residence.apply(plan_of({"transformer": "streamed", "tokenizer": "resident"}))
    with house.parts.use(("transformer",)):
        assert all(house.is_right("transformer") for _ in range(3))


def test_a_broken_off_forward_does_not_spoil_the_next_one(house: House) -> None:
    house.residence.apply(plan_of({"transformer": "streamed", "tokenizer": "resident"}))
    fails = house.net.transformer_blocks[2].register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(KeyError()))
    with pytest.raises(KeyError), house.parts.use(("transformer",)):
        house.is_right("transformer")
    fails.remove()
    with house.parts.use(("transformer",)):
        assert house.is_right("transformer")


def test_two_blocks_are_on_the_device_at_most(house: House) -> None:
    house.residence.apply(plan_of({"transformer": "streamed", "tokenizer": "resident"}))
    most = 0

    def count(block: Any, arguments: Any) -> None:
        nonlocal most
        there = [each for each in house.net.transformer_blocks if not each.weight.isnan().any()]
        most = max(most, len(there))
        assert block in there

    with house.parts.use(("transformer",)):
        for block in house.net.transformer_blocks:
            block.register_forward_pre_hook(count)
        house.is_right("transformer")
    assert most == 1  # the other one is on its way: no parameter shows it yet


def test_lazy_parts_come_when_they_are_called_and_go_for_others(house: House) -> None:
    house.residence.apply(plan_of({"transformer": "swapped", "tokenizer": "swapped"}))
    with house.parts.use(("tokenizer",)):
        pass
    with house.parts.use(("transformer",), lazily=True):
        assert house.state("transformer") == "away"
        with house.parts.use(("tokenizer",)):
            assert house.is_right("tokenizer")
        assert house.is_right("transformer")
        assert (house.state("transformer"), house.state("tokenizer")) == ("whole", "away")
        with house.parts.use(("tokenizer",)):
            assert house.is_right("tokenizer")
            assert house.state("transformer") == "away"
        assert house.is_right("transformer")


def test_parts_of_an_outer_stage_are_there_again_after_an_inner_one(house: House) -> None:
    house.residence.apply(plan_of({"transformer": "swapped", "tokenizer": "swapped"}))
    with house.parts.use(("transformer",)):
        with house.parts.use(("tokenizer",)):
            pass
        assert house.is_right("transformer")


def test_a_part_that_is_away_is_no_number_and_cannot_be_called(house: House) -> None:
    house.residence.apply(plan_of({"transformer": "swapped", "tokenizer": "swapped"}))
    with house.parts.use(("tokenizer",)):
        weight = house.net.before.weight
        assert weight.isnan().all()
        assert (weight.shape, weight.dtype, weight.device) == ((16, 16), torch.float32, torch.device("cpu"))
        with pytest.raises(RuntimeError, match="m/transformer was called outside of a stage"):
            house.is_right("transformer")


def test_what_the_plan_says_is_fetched_ahead(house: House) -> None:
    house.residence.apply(
        plan_of({"transformer": "swapped", "tokenizer": "swapped"}, ahead={"encode": ("m/transformer",), "denoise": ()})
    )
    house.residence.clear()
    with house.parts.stage("encode"), house.parts.use(("tokenizer",)):
        assert house.state("transformer") == "coming"
        assert house.net.before.weight.isnan().all()
    with house.parts.stage("denoise"), house.parts.use(("transformer",)):
        assert house.state("tokenizer") == "away"
        assert house.is_right("transformer")


def test_where_there_is_no_room_nothing_is_fetched_ahead(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise torch.OutOfMemoryError

    house.residence.apply(
        plan_of({"transformer": "swapped", "tokenizer": "swapped"}, ahead={"encode": ("m/transformer",)})
    )
    with house.parts.use(("tokenizer",)):
        pass
    monkeypatch.setattr(house.residence._parts["m/transformer"], "fetch", full)
    with house.parts.stage("encode"), house.parts.use(("tokenizer",)):
        assert house.is_right("tokenizer")


def test_a_device_without_room_leaves_nothing_half_there(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from cosmos_handler.memory.lanes import Lane

    house.residence.apply(plan_of({"transformer": "streamed", "tokenizer": "swapped"}))
    house.residence.clear()
    real, calls = Lane.allocate, []

    def allocate(lane: Lane, size_bytes: int) -> Any:
        calls.append(size_bytes)
        if len(calls) == 2:
            raise torch.OutOfMemoryError
        return real(lane, size_bytes)

    monkeypatch.setattr(Lane, "allocate", allocate)
    with pytest.raises(torch.OutOfMemoryError), house.parts.use(("transformer",)):
        pass
    assert house.state("transformer") == "away"
    with house.parts.use(("transformer",)):
        assert house.is_right("transformer")


def test_inside_of_inference_mode_too(house: House) -> None:
    house.residence.apply(plan_of({"transformer": "streamed", "tokenizer": "swapped"}))
    with torch.inference_mode():
        for name in ("transformer", "tokenizer", "transformer"):
            with house.parts.use((name,)):
                assert house.is_right(name)
    with house.parts.use(("tokenizer",)):
        assert house.is_right("tokenizer")


def test_another_model_over_the_same_weights_is_streamed_as_well() -> None:
    from cosmos_handler.memory.place import Residence

    net = network()

    class Half(torch.nn.Module):  # type: ignore[misc,name-defined]
        """The first layer, and of each block the weight alone."""

        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList()
            for block in net.transformer_blocks:
                layer = torch.nn.Linear(16, 16, bias=False)
                layer.weight = block.weight
                self.layers.append(layer)

        def forward(self, x: Any) -> Any:
            for layer in self.layers:
                x = layer(x)
            return x

    half, x = Half(), torch.randn(2, 16)
    wanted, wanted_half = net(x), half(x)
    residence = Residence("cpu")
    parts = residence.add("m", {"transformer": net})
    parts.add_surface("transformer", half)
    residence.seal()
    residence.apply(plan_of({"transformer": "streamed"}))
    for _ in range(2):
        with parts.use(("transformer",)):
            assert torch.equal(half(x), wanted_half)
            assert torch.equal(net(x), wanted)
            assert torch.equal(half(x), wanted_half)


SHARING = """
    import sys, time, torch
    from cosmos_handler.memory.host import SharedFiles
    from cosmos_handler.memory.layout import lay_out
    torch.manual_seed(int(sys.argv[2]))
    module = torch.nn.Linear(2048, 4096).requires_grad_(False)
    tensors = {id(tensor): tensor.data for tensor in module.parameters()}
    memory = SharedFiles({"part": int(sys.argv[1])}).memory("part", lay_out(module), tensors)
    total = float(memory.bytes.view(torch.float32).sum())
    print(total, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def sharing() -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes that have inherited one file."""
    import os

    descriptor = os.memfd_create("weights")
    command = [sys.executable, "-c", textwrap.dedent(SHARING), str(descriptor)]
    processes = [
        subprocess.Popen(
            [*command, str(seed)],
            cwd=ROOT,
            pass_fds=(descriptor,),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in (1, 2)
    ]
    yield processes
    for process in processes:
        process.communicate()
    os.close(descriptor)


def test_two_processes_have_one_copy_between_them(sharing: list[subprocess.Popen[str]]) -> None:
    """Both read what the first has written, and the memory of it is counted half to each."""
    sums = [process.stdout.readline() for process in sharing if process.stdout]
    assert sums[0] == sums[1]  # though they have other weights of their own
    size_bytes = 2048 * 4096 * 4
    for process in sharing:
        mapped = re.search(
            r"memfd:weights.*?Rss:\s+(\d+) kB\nPss:\s+(\d+) kB",
            Path(f"/proc/{process.pid}/smaps").read_text(),
            re.DOTALL,
        )
        assert mapped is not None
        resident, proportional = int(mapped[1]) * 1024, int(mapped[2]) * 1024
        assert resident >= size_bytes
        assert abs(proportional - size_bytes / 2) < size_bytes / 50


def test_what_a_dead_process_left_half_filled_is_filled_again() -> None:
    import os

    from cosmos_handler.memory.host import HostMemory
    from cosmos_handler.memory.layout import lay_out

    descriptor = os.memfd_create("weights")
    os.ftruncate(descriptor, 10_000)  # its size is there, its mark is not
    module = torch.nn.Linear(8, 8).requires_grad_(requires_grad=False)
    layout = lay_out(module)
    memory = HostMemory(descriptor, layout, {id(tensor): tensor.data for tensor in module.parameters()})
    for slot in layout.rest.slots:
        assert torch.equal(slot.view(memory.bytes), slot.tensor)
    again = HostMemory(descriptor, layout, {})  # filled: nothing is asked for
    assert torch.equal(again.bytes, memory.bytes)
    del memory, again
    gc.collect()
    os.close(descriptor)


def test_a_part_that_is_used_again_and_again_in_a_stage_stays(house: House) -> None:
    """As the checks of frames do it, batch by batch."""
    house.residence.apply(plan_of({"transformer": "swapped", "tokenizer": "swapped"}, ahead={"guard_frames": ()}))
    with house.parts.stage("guard_frames"), house.parts.use(()):
        with house.parts.use(("tokenizer",)):
            pass
        held = house.vae.before.weight.data_ptr()
        for _ in range(3):
            with house.parts.use(("tokenizer",)):
                assert house.vae.before.weight.data_ptr() == held


def test_a_stage_of_the_host_alone_takes_nothing_from_the_device(house: House) -> None:
    house.residence.apply(
        plan_of({"transformer": "swapped", "tokenizer": "swapped"}, ahead={"denoise": (), "guard_frames": ()})
    )
    house.residence.clear()
    with house.parts.stage("denoise"), house.parts.use(("transformer",)):
        pass
    with house.parts.stage("encode_video"), house.parts.use(()):
        assert house.state("transformer") == "whole"  # the next job may begin with it
    with house.parts.stage("guard_frames"), house.parts.use(()):
        assert house.state("transformer") == "away"  # what the check will need is for itself to say
