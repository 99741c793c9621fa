"""A step that is recorded once and replayed does what it does plainly, in the same memory each time."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.families.autoregressive.test_generation import Network, generate, long_network, request

pytestmark = pytest.mark.model

Work = Callable[[], None]


class ByHand:
    """Records by keeping the work, and does that very work in every replay. touched: the memory of each time."""

    def __init__(self) -> None:
        self.warmed, self.recorded, self.replayed, self.closed = 0, 0, 0, 0
        self.touched: list[frozenset[int]] = []

    def warm_up(self, work: Work) -> None:
        self.warmed += 1
        work()

    def record(self, work: Work) -> Work:
        self.recorded += 1
        expected: list[frozenset[int]] = []

        def replay() -> None:
            self.replayed += 1
            expected.append(touched_by(work))
            assert expected[-1] == expected[0]

        return replay

    def close(self) -> None:
        self.closed += 1


def touched_by(work: Work) -> frozenset[int]:
    """Where the tensors lie that work reads or writes, but for those that it makes itself."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Watch(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.made: set[int] = set()
            self.found: set[int] = set()
            self.kept: list[Any] = []  # so that no two have one address

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            for tensors, into in ((tree_leaves((args, kwargs)), self.found), (tree_leaves(result), self.made)):
                for tensor in tensors:
                    if isinstance(tensor, torch.Tensor):
                        self.kept.append(tensor)
                        address = tensor.untyped_storage().data_ptr()
                        if address not in self.made | self.found:
                            into.add(address)
            return result

    watch = Watch()
    with watch:
        work()
    return frozenset(watch.found)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> ByHand:
    from cosmos_handler.families.autoregressive import generation, sampling

    by_hand = ByHand()
    monkeypatch.setattr(sampling, "descending_on_host", sampling.descending)  # as on a GPU
    monkeypatch.setattr(generation, "recorder_for", lambda model, device: by_hand)
    return by_hand


@pytest.mark.parametrize("case", ["plain", "text_yarn"])
def test_replayed_steps_make_the_same_codes_in_the_same_memory(
    network: Network, case: str, recorder: ByHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cosmos_handler.families.autoregressive import generation

    model = long_network(network, case)
    text = model.config.reads_text
    asked = [request(1, seed=3, text=text), request(2, seed=4, top_p=1.0, text=text)]
    monkeypatch.setattr(generation, "_SIGHT_SLOTS", 16)
    replayed = generate(model, *asked)
    # From 24 tokens to 48, in sights of 32 and 48 slots; the one for the begin of a video comes to lie in a third.
    sights = 3 if text else 2
    assert (recorder.warmed, recorder.recorded, recorder.closed) == (3 * sights, sights, 1)
    assert recorder.replayed == 35 - recorder.warmed
    assert replayed.equal(generate(model, *asked, replayed=False))
    assert recorder.closed == 1


def test_records_are_dropped_when_a_run_ends_early(network: Network, recorder: ByHand) -> None:
    from cosmos_handler.families.autoregressive.generation import generate as run

    class Cancelled(Exception):
        pass

    def on_step(step: int, _: int) -> None:
        if step == 6:
            raise Cancelled

    with pytest.raises(Cancelled):
        run(network("plain"), [request(1)], on_step=on_step)
    assert (recorder.warmed, recorder.recorded, recorder.replayed, recorder.closed) == (3, 1, 2, 1)


def test_what_comes_and_goes_is_not_recorded(network: Network) -> None:
    import torch

    from cosmos_handler.families.autoregressive import replay

    model = network("plain")
    assert replay.recorder_for(model, torch.device("cpu")) is None
    assert not replay.has_hooks(model)
    hook = model.layers[1].register_forward_pre_hook(lambda module, arguments: None)
    assert replay.has_hooks(model)
    assert replay.recorder_for(model, torch.device("cuda")) is None
    hook.remove()
    assert not replay.has_hooks(model)


def test_graphs_are_recorded_on_one_stream_between_what_is_queued_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import contextmanager

    import torch

    from cosmos_handler.families.autoregressive import replay

    said: list[Any] = []

    class Stream:
        def __init__(self, name: str) -> None:
            self.name = name

        def wait_stream(self, other: "Stream") -> None:
            said.append(f"{self.name} waits for {other.name}")

        def synchronize(self) -> None:
            said.append(f"the host waits for {self.name}")

    class Graph:
        def replay(self) -> None:
            said.append("replay")

        def reset(self) -> None:
            said.append("reset")

    @contextmanager
    def entered(what: str, **options: Any) -> Any:
        said.append((what, options))
        yield
        said.append(f"end of {what}")

    current, side = Stream("work"), Stream("side")
    monkeypatch.setattr(replay, "_recording_stream", lambda device: side)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: entered(stream.name))
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, **options: entered("graph", **options))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
    recorder = replay.CudaRecorder(torch.device("cuda:0"))
    steps = replay.Steps(recorder)
    for kind in (1, 1, 1, 1, 1, 2):
        steps.do(kind, lambda: said.append("step"))
    steps.close()
    plain = ["side waits for work", ("side", {}), "step", "end of side", "work waits for side"]
    options = {"pool": "pool", "stream": side, "capture_error_mode": "thread_local"}
    recorded = [("graph", options), "step", "end of graph", "replay", "replay"]
    assert said == [*plain * 3, *recorded, *plain, "the host waits for work", "reset"]


@pytest.mark.gpu
@pytest.mark.parametrize("case", ["plain", "text_yarn"])
def test_on_a_gpu_replayed_and_plain_steps_make_the_same_codes(
    network: Network, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from cosmos_handler.families.autoregressive import generation

    model = long_network(network, case).to("cuda", torch.bfloat16)
    text = model.config.reads_text
    asked = [request(1, seed=3, text=text), request(2, seed=4, top_p=1.0, text=text)]
    for sight in (1024, 16):
        monkeypatch.setattr(generation, "_SIGHT_SLOTS", sight)
        replayed = generate(model, *asked)
        assert replayed.equal(generate(model, *asked, replayed=False))


@pytest.mark.gpu
def test_on_a_gpu_nothing_is_left_when_a_run_ends(network: Network) -> None:
    import torch

    model = long_network(network, "plain").to("cuda", torch.bfloat16)
    generate(model, request(1))
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    generate(model, request(1))
    assert torch.cuda.memory_allocated() == before


@pytest.mark.gpu
def test_on_a_gpu_no_replayed_step_waits(network: Network) -> None:
    import torch

    from cosmos_handler.families.autoregressive.generation import generate as run

    # Steps 2 to 4 are done plainly, and the record waits once; behind it an error is raised where the host waits.
    def on_step(step: int, _: int) -> None:
        torch.cuda.set_sync_debug_mode("error" if 5 <= step < 15 else "default")

    model = long_network(network, "plain").to("cuda", torch.bfloat16)
    try:
        run(model, [request(1)], on_step=on_step)
    finally:
        torch.cuda.set_sync_debug_mode("default")
