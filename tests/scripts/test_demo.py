"""What the demo says to arguments that cannot work: one line, before anything is started."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT


def refusal(*arguments: str) -> str:
    command = [sys.executable, str(ROOT / "scripts" / "demo.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr.splitlines()[-1]


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


@pytest.mark.parametrize("option", ["--image", "--video", "--model-dir"])
def test_a_path_where_nothing_is(option: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    last_line = refusal(option, missing, "--output", str(tmp_path / "output"))
    assert f"{option}: {missing} is not a" in last_line


def test_a_port_that_is_taken(taken_port: int, tmp_path: Path) -> None:
    """Another server there would have answered /ping for ours."""
    last_line = refusal("--port", str(taken_port), "--output", str(tmp_path))
    assert f"--port: {taken_port}" in last_line
    assert "in use" in last_line


def test_a_port_that_is_none(tmp_path: Path) -> None:
    assert "--port: 70000" in refusal("--port", "70000", "--output", str(tmp_path))
