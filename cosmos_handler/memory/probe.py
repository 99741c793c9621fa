"""What the device and the host have, and what a job took at its most."""

from pathlib import Path

import torch

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def device_budget_bytes(device: str) -> int:
    """What parts may take on the device now: free memory of the GPU, or of the host where that is the device."""
    if device == "cuda":
        free, _ = torch.cuda.mem_get_info()
        return free
    return host_available_bytes()


def spare_bytes(device: str) -> int:
    """What a run may still take: as above, and what the allocator holds from earlier runs without using it."""
    held = torch.cuda.memory_reserved() - torch.cuda.memory_allocated() if device == "cuda" else 0
    return device_budget_bytes(device) + held


def host_available_bytes() -> int:
    """Memory that this process could still get, inside the container's own limit."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
            break
    else:
        raise RuntimeError("/proc/meminfo has no MemAvailable: this needs Linux 3.14 or newer")
    for name in _CGROUP_LIMITS:
        limit = Path(name)
        text = limit.read_text().strip() if limit.exists() else "max"
        if text != "max":
            available = min(available, int(text))
    return available


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
