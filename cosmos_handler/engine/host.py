"""The machine that this runs on, looked at before anything is loaded: what is wrong here no waiting mends."""

import logging
import re
import shutil
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

log = logging.getLogger(__name__)

DRIVER = Path("/proc/driver/nvidia/version")
DEVICES = Path("/dev")
_GIB = 2**30
_MIN_FREE_BYTES, _SCARCE_BYTES = _GIB, 8 * _GIB
# The oldest drivers on which a CUDA of that major number starts, by NVIDIA's table of minor version compatibility.
_MIN_DRIVERS = {12: (525, 60), 13: (580, 65)}
_RUNTIMES = ("nvidia-cuda-runtime-cu12", "nvidia-cuda-runtime")
_NUMBER = re.compile(r"Kernel Module\s+(?:for \S+\s+)?(\d+)\.(\d+)")
_AMIS = "InferenceAmiVersion al2-ami-sagemaker-inference-gpu-2 has 535, al2023-ami-sagemaker-inference-gpu-4-1 has 580"


def faults(devices: Sequence[str], work_dir: Path) -> list[str]:
    """Why nothing can be served on this machine, a sentence each; what is all right is logged.

    devices: as in a group: "cpu", or indices of GPUs.
    """
    found = [disk_fault(shutil.disk_usage(work_dir).free, work_dir)]
    if devices != ("cpu",):
        found += [device_fault(devices, DEVICES), driver_fault(DRIVER, cuda_version())]
    return [fault for fault in found if fault is not None]


def cuda_version() -> str | None:
    """Of the CUDA that torch brought along; asked of its package, since asking torch would load it."""
    for name in _RUNTIMES:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def disk_fault(free_bytes: int, folder: Path) -> str | None:
    """Too little room for the files of jobs."""
    said = f"{free_bytes / _GIB:.1f} GiB are free in {folder}, where jobs keep their files"
    if free_bytes < _MIN_FREE_BYTES:
        return f"{said}; they need at least 1 GiB (COSMOS_WORK_DIR names another folder)"
    log.log(logging.WARNING if free_bytes < _SCARCE_BYTES else logging.INFO, said)
    return None


def device_fault(devices: Sequence[str], folder: Path) -> str | None:
    """GPUs that are named and not there. folder: where the kernel shows them."""
    missing = [index for index in devices if not (folder / f"nvidia{index}").exists()]
    if not missing:
        log.info("GPUs: %s", ", ".join(devices))
        return None
    return (
        f"there is no GPU {', '.join(missing)} in this container "
        "(COSMOS_DEVICES, SM_NUM_GPUS; docker run needs --gpus all)"
    )


def driver_fault(file: Path, cuda: str | None) -> str | None:
    """A driver of the host that is older than this image's CUDA can do with. file: where the kernel tells of it."""
    try:
        told = file.read_text()
    except OSError:
        log.warning("the NVIDIA driver does not show its version; it could not be held against CUDA")
        return None
    number, major = _NUMBER.search(told), int(cuda.split(".")[0]) if cuda else None
    if number is None or major not in _MIN_DRIVERS:
        log.warning("NVIDIA driver or CUDA of an unknown version: %s, %s", told.splitlines()[:1], cuda)
        return None
    driver = int(number[1]), int(number[2])
    shown, least = f"{number[1]}.{number[2]}", _MIN_DRIVERS[major]
    if driver < least:
        return f"the NVIDIA driver {shown} is too old for CUDA {cuda}, which needs {least[0]}.{least[1]} ({_AMIS})"
    log.info("NVIDIA driver %s is new enough for CUDA %s", shown, cuda)
    return None
