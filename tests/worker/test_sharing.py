"""Two real model processes on one host, with everything offloaded: the weights lie there once."""

import asyncio
import os
import re
from pathlib import Path

import pytest

from cosmos_handler.artifacts.detect import detect
from cosmos_handler.artifacts.guardrail import NO_GUARDRAILS
from cosmos_handler.engine.child import WORKER, Child
from cosmos_handler.engine.host_files import HostFiles
from cosmos_handler.messages.machine import MemoryWish
from cosmos_handler.messages.wire import Fatal, Ready, Setup
from tests.conftest import CPU_THREADS

pytestmark = pytest.mark.model

_MAPPING = re.compile(r"memfd:.*?\nSize:.*?Rss:\s+(\d+) kB\nPss:\s+(\d+) kB", re.DOTALL)


async def until_ready(child: Child, setup: Setup) -> None:
    await child.send(setup)
    async with asyncio.timeout(120):
        while not isinstance(message := await child.inbox.get(), Ready | Fatal | None):
            pass
    assert isinstance(message, Ready), message


def shared_bytes(pid: int) -> tuple[int, int]:
    """What a process has mapped of the files, and its share of it."""
    found = _MAPPING.findall(Path(f"/proc/{pid}/smaps").read_text())
    assert found
    return sum(int(resident) for resident, _ in found) * 1024, sum(int(share) for _, share in found) * 1024


async def two_processes(folder: Path) -> None:
    checkpoints = (detect(folder, name="predict"),)
    files = HostFiles(checkpoints, NO_GUARDRAILS)
    setup = Setup(
        checkpoints=checkpoints,
        guardrails=NO_GUARDRAILS,
        device="cpu",
        cpu_threads=CPU_THREADS,
        memory=MemoryWish(offload="all"),
        host_files=files.descriptors,
    )
    environment = {"PATH": os.environ["PATH"], "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    children: list[Child] = []
    try:
        for _ in range(2):
            children.append(Child(WORKER, environment, inherited=files.descriptors.values()))
            await until_ready(children[-1], setup)
        weights = sum(part.size_bytes for part in checkpoints[0].parts)
        written = sum(os.fstat(descriptor).st_size for descriptor in files.descriptors.values())
        assert written >= weights
        # The first has written all pages; the second has mapped the same and touched only what it needed.
        first, second = (shared_bytes(child.pid) for child in children)
        assert first[0] >= weights
        # Every page that both have touched counts half to each: together they hold no more than there is once.
        assert first[1] + second[1] <= written + 4096 * len(files.descriptors)
    finally:
        for child in children:
            child.kill()
            await child.wait()
        files.close()


def test_weights_in_host_memory_are_there_once(tiny_models: Path) -> None:
    asyncio.run(two_processes(tiny_models / "predict2.5"))
