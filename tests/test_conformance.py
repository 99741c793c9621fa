"""The conformance suite itself: every section has a test, and fails where a container breaks what it says."""

import importlib
import json
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance.sections import NOT_THE_CONTAINERS, SECTIONS
from tests.conftest import ROOT, free_port

SUITE = ROOT / "tests" / "conformance"
CONTRACT = ROOT.parent / "shared" / "reference" / "sagemaker-contract.md"
# Whoever stands behind an address cannot be looked into.
OWN = {"1.1", "1.3", "1.8", "1.9"}


def sections_of(path: Path) -> set[str]:
    module = importlib.import_module(f"tests.conformance.{path.stem}")
    marks = getattr(module, "pytestmark", [])
    marked = [marks] if isinstance(marks, pytest.MarkDecorator) else marks
    own = [each for name, function in vars(module).items() if name.startswith("test_") for each in marks_of(function)]
    return {str(mark.args[0]) for mark in [*(each.mark for each in marked), *own] if mark.name == "section"}


def marks_of(function: object) -> list[pytest.Mark]:
    return list(getattr(function, "pytestmark", []))


def test_every_section_has_a_test() -> None:
    tested = set().union(*(sections_of(path) for path in SUITE.glob("test_*.py")))
    assert tested == SECTIONS.keys()


def test_every_section_of_the_contract_is_known() -> None:
    if not CONTRACT.exists():
        pytest.skip("the contract is not beside the checkout")
    written = re.findall(r"^(?:### (1\.\d+|2\.\d+)|## (3)\.?) ", CONTRACT.read_text(), re.MULTILINE)
    assert {"".join(each) for each in written} == SECTIONS.keys() | NOT_THE_CONTAINERS.keys()


@contextmanager
def stub(*wrong: str) -> Iterator[str]:
    """Its address."""
    port = free_port()
    process = subprocess.Popen([sys.executable, str(SUITE / "stub.py"), str(port), *wrong])
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@dataclass(frozen=True)
class Verdict:
    """sections: outcomes and how many, of each."""

    code: int
    sections: dict[str, dict[str, int]]
    shown: str

    def having(self, outcome: str) -> set[str]:
        return {number for number, counts in self.sections.items() if counts.get(outcome)}


def judge(address: str, folder: Path, *more: str) -> Verdict:
    """What the README's command says of a container."""
    found = re.search(r"pytest (tests/conformance --url .*?)`", (ROOT / "README.md").read_text())
    assert found
    (folder / "body.json").write_text(json.dumps({"text": "hello"}))
    arguments = found[1].replace("http://host:port", address).replace("body.json", str(folder / "body.json"))
    command = [sys.executable, "-m", "pytest", *shlex.split(arguments), *more, "--tb=line", "-p", "no:cacheprovider"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    rows = re.findall(r"^(\S+) +[^:\n]+(?:: [^:\n]+)?: ((?:\d+ \w+(?:, )?)+)$", shown.stdout, re.MULTILINE)
    told = {number: {word: int(count) for count, word in re.findall(r"(\d+) (\w+)", said)} for number, said in rows}
    return Verdict(shown.returncode, told, shown.stdout)


@pytest.mark.parametrize(("job", "asked"), [([], SECTIONS.keys() - OWN), (["--batch", "--echo", "id"], {"3"})])
def test_a_container_of_others_that_keeps_the_contract_passes(tmp_path: Path, job: list[str], asked: set[str]) -> None:
    with stub() as address:
        verdict = judge(address, tmp_path, *job)
    assert verdict.code == 0, verdict.shown[-6000:]
    assert verdict.having("passed") == asked
    assert "needs to own the process" in verdict.shown or job


@pytest.mark.parametrize(("job", "asked"), [([], SECTIONS.keys() - OWN), (["--batch", "--echo", "id"], {"3"})])
def test_one_that_breaks_it_fails_in_every_section(tmp_path: Path, job: list[str], asked: set[str]) -> None:
    with stub("wrong") as address:
        verdict = judge(address, tmp_path, *job)
    assert verdict.code == 1, verdict.shown[-6000:]
    assert verdict.having("failed") == asked
