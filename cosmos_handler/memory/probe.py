"""What the device and the host have, and what a job took at its most."""

from pathlib import Path

import torch

from cosmos_handler.memory import rates
from cosmos_handler.memory.reserves import device_bytes_of_free, host_bytes_of_available
from cosmos_handler.messages.machine import Machine, MemoryWish

# The limit of the container, what it takes now, and where it says how much of that is pages of files it could drop.
_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
    ),
)


def measure_machine(device: str, wish: MemoryWish, files: list[Path], *, shared_bytes: int = 0) -> Machine:
    """What this process has to work with, before it has taken any of it.

    files: of weights, to see how fast they are read. shared_bytes: of weights that other processes have put into host
    memory for this one as well.
    """
    where = torch.device(device)
    device_bytes = _device_bytes(device, wish)
    machine = Machine(
        name=str(torch.cuda.get_device_name()) if device == "cuda" else "cpu",
        device_bytes=device_bytes,
        host_bytes=_host_bytes(device, wish, device_bytes) + shared_bytes,
        link_bytes_per_second=rates.link_bytes_per_second(where),
        disk_bytes_per_second=rates.disk_bytes_per_second(files),
        memory_bytes_per_second=rates.memory_bytes_per_second(where),
        linear_flops_per_second=rates.linear_flops_per_second(where),
        attention_flops_per_second=rates.attention_flops_per_second(where),
    )
    if device == "cuda":
        torch.cuda.empty_cache()
    return machine


def _device_bytes(device: str, wish: MemoryWish) -> int:
    """What the deployer gives, or all that is free."""
    if device == "cuda":
        free, _ = torch.cuda.mem_get_info()
        there = device_bytes_of_free(free)
    else:
        # Offloading has its place on a CPU only where somebody asks for it; half of the memory is the device then.
        asked = wish.offload not in ("auto", "none") or bool(wish.placement)
        there = host_available_bytes() // (2 if asked else 1)
    return there if wish.device_bytes is None else min(there, wish.device_bytes)


def _host_bytes(device: str, wish: MemoryWish, device_bytes: int) -> int:
    """What weights may take of the host's memory; where that is the device itself, what its budget leaves."""
    available = host_bytes_of_available(host_available_bytes())
    left = max(0, available - (device_bytes if device == "cpu" else 0))
    return left if wish.host_bytes is None else min(left, wish.host_bytes)


def host_available_bytes() -> int:
    """Memory that this process could still get, inside the container's own limit."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
            break
    else:
        raise RuntimeError("/proc/meminfo has no MemAvailable: this needs Linux 3.14 or newer")
    for limit, usage, stat in _CGROUPS:
        text = Path(limit).read_text().strip() if Path(limit).exists() else "max"
        if text != "max":
            taken = int(Path(usage).read_text()) - _droppable_bytes(Path(stat))
            available = min(available, int(text) - taken)
    return max(0, available)


def _droppable_bytes(stat: Path) -> int:
    """Pages of files in a container's account that nobody has touched lately."""
    lines = dict(line.split(maxsplit=1) for line in stat.read_text().splitlines())
    return int(lines.get("inactive_file", lines.get("total_inactive_file", "0")))


class Peak:
    """The most that the device held since the last reset; on a CPU, the most that the process held."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._measured = True

    def reset(self) -> None:
        """Begin to measure anew."""
        if self._device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            return
        try:
            Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, the high-water mark of this process
        except OSError:
            self._measured = False  # some containers mount /proc read-only: then no figure, rather than a wrong one

    def read_bytes(self) -> int | None:
        """The peak since then; None where it cannot be measured."""
        if self._device == "cuda":
            return torch.cuda.max_memory_allocated()
        if not self._measured:
            return None
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
