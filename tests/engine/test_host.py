"""What no waiting mends: a driver that is too old, GPUs that are not there, a disk that is full."""

from pathlib import Path

import pytest

from cosmos_handler.engine import host

OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build  (dvs-builder)\nGCC version: 12\n"
CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Wed Aug 23 17:11:16 UTC 2023\n"


@pytest.mark.parametrize("words", [OPEN, CLOSED])
@pytest.mark.parametrize(
    ("driver", "cuda", "is_fault"),
    [
        ("535.183.01", "12.8.90", False),
        ("525.60.13", "12.8.90", False),
        ("525.53.02", "12.8.90", True),
        ("470.256.02", "12.8.90", True),
        ("535.183.01", "13.0.48", True),
        ("580.65.06", "13.0.48", False),
        ("470.256.02", "99.1", False),
        ("470.256.02", None, False),
    ],
)
def test_the_driver(words: str, driver: str, cuda: str | None, is_fault: bool, tmp_path: Path) -> None:
    file = tmp_path / "version"
    file.write_text(words.format(driver))
    fault = host.driver_fault(file, cuda)
    assert (fault is not None) == is_fault
    if fault is not None:
        assert driver.rsplit(".", 1)[0] in fault
        assert "InferenceAmiVersion" in fault


def test_a_driver_that_does_not_tell(tmp_path: Path) -> None:
    assert host.driver_fault(tmp_path / "version", "12.8") is None


def test_the_installed_torch_says_which_cuda_it_needs() -> None:
    cuda = host.cuda_version()
    assert cuda is not None
    assert cuda.startswith("12.8.")


def test_gpus_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "nvidia0").touch()
    assert host.device_fault(("0",), tmp_path) is None
    fault = host.device_fault(("0", "1"), tmp_path)
    assert fault is not None
    assert "no GPU 1 " in fault


@pytest.mark.parametrize(("gib", "is_fault"), [(0.9, True), (2, False), (100, False)])
def test_the_disk(gib: float, is_fault: bool, tmp_path: Path) -> None:
    assert (host.disk_fault(int(gib * 2**30), tmp_path) is not None) == is_fault
