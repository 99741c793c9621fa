"""Records a step on a GPU once and replays it, so that the host starts one thing where there were hundreds.

What is recorded are addresses: of the weights, of the cache, of what a step leaves for the next. All of them must stay
where they are as long as it is replayed.
"""

from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Protocol

import torch

Work = Callable[[], None]

# How often a step is done before it is recorded, as the libraries take memory and choose kernels at first.
_WARM_UPS = 3


class Recorder(Protocol):
    """What can record work."""

    def warm_up(self, work: Work) -> None:
        """Do the work as it will be recorded."""

    def record(self, work: Work) -> Work:
        """What does the work from now on; it is not done yet."""

    def close(self) -> None:
        """Give all memory back; nothing is replayed any more."""


class CudaRecorder:
    """Records as CUDA graphs. These share their memory, as one is done before the next begins."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._side = _recording_stream(device)
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: list[torch.cuda.CUDAGraph] = []

    def warm_up(self, work: Work) -> None:
        """On the stream that records, between what is queued before and what will be."""
        current = torch.cuda.current_stream(self._device)
        self._side.wait_stream(current)
        with torch.cuda.stream(self._side):
            work()
        current.wait_stream(self._side)

    def record(self, work: Work) -> Work:
        """What replays the graph on the stream of whoever calls it."""
        graph = torch.cuda.CUDAGraph()
        # Other threads may take memory and copy weights meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, stream=self._side, capture_error_mode="thread_local"):
            work()
        self._graphs.append(graph)
        return graph.replay

    def close(self) -> None:
        """Wait for what is queued, and drop the graphs."""
        torch.cuda.current_stream(self._device).synchronize()
        for graph in self._graphs:
            graph.reset()
        self._graphs.clear()


@cache
def _recording_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all records on a device, as the libraries keep some memory for every stream that they have worked on."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


class Steps:
    """Does the steps of one generation; of each kind some plainly, and all later ones by replaying one record."""

    def __init__(self, recorder: Recorder | None) -> None:
        self._recorder = recorder
        self._done: Counter[int] = Counter()
        self._replays: dict[int, Work] = {}

    def do(self, kind: int, work: Work) -> None:
        """Do the work of a step. Of one kind it is the same work each time, on the same memory."""
        if self._recorder is None:
            return work()
        self._done[kind] += 1
        if self._done[kind] <= _WARM_UPS:
            return self._recorder.warm_up(work)
        if kind not in self._replays:
            self._replays[kind] = self._recorder.record(work)
        return self._replays[kind]()

    def close(self) -> None:
        """Forget what was recorded."""
        self._replays.clear()
        if self._recorder is not None:
            self._recorder.close()


def recorder_for(model: torch.nn.Module, device: torch.device) -> Recorder | None:
    """None where steps cannot be recorded: on a CPU, and where something is done at some layers of the model.

    So it is where weights are streamed: they are copied before a layer and are somewhere else the next time.
    """
    if device.type != "cuda" or has_hooks(model):
        return None
    return CudaRecorder(device)


def has_hooks(model: torch.nn.Module) -> bool:
    """Whether anything is done before or after some module inside of a model works.

    Before the whole of it, every served model is asked whether it lies on the device, which moves nothing that does.
    """
    inside = (module for child in model.children() for module in child.modules())
    return any(module._forward_pre_hooks or module._forward_hooks for module in inside)
