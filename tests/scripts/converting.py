"""What the tests of the converters have in common: running one as its user does."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.conftest import ROOT

Run = Callable[..., subprocess.CompletedProcess[str]]


def runner(name: str) -> Run:
    """A function that runs the script of that name with its arguments."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    return run


def check_refusals(run: Run, cases: Iterable[tuple[tuple[object, ...], str]], unwritten: Path) -> None:
    """Each of them is told in words, and nothing is written where it would have been."""
    for arguments, said in cases:
        done = run(*arguments)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
        assert said in done.stderr
    assert not unwritten.exists()
