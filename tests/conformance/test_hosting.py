"""The process as the platform starts and stops it."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path

import pytest

from tests.conformance.conftest import LONG, TINY, skip_elsewhere
from tests.conformance.container import says
from tests.conformance.hosted import DEFAULT_PORT, Hosted, hosted
from tests.conformance.sections import section
from tests.conformance.sockets import open_ports

pytestmark = pytest.mark.model

KILL_SECONDS = 30.0
# A job of more than the time that it is given.
OUTLASTING = {**LONG, "resolution": "256,384", "num_output_frames": 77, "num_steps": 200}


@pytest.fixture(scope="module")
def folders(
    pytestconfig: pytest.Config, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A model, and apart from it the text encoder that it lacks."""
    skip_elsewhere(pytestconfig)
    tiny_native: Path = request.getfixturevalue("tiny_native")
    folder = tmp_path_factory.mktemp("platform")
    shutil.copytree(tiny_native, folder / "model", ignore=shutil.ignore_patterns("text_encoder"))
    shutil.copytree(tiny_native / "text_encoder", folder / "channel")
    return folder / "model", folder / "channel"


@pytest.fixture(scope="module")
def platform(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted]:
    with hosted(*folders, tmp_path_factory.mktemp("hosted")) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture
def isolated(platform: Hosted) -> Hosted:
    if not platform.is_isolated:
        pytest.skip("this machine gives no namespaces (unshare as root, an interpreter outside /opt)")
    return platform


def picture(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file's size and time."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))}


@section("1.2")
def test_ping_is_no_success_until_it_can_serve_and_one_from_then_on(platform: Hosted) -> None:
    *before, first = platform.statuses
    assert first == 200
    assert set(before) == {503}
    again = [platform.ask("GET", "/ping").result().status_code for _ in range(20)]
    assert set(again) == {200}


@section("1.1")
def test_the_word_serve_starts_it_as_process_1(isolated: Hosted) -> None:
    command = Path(f"/proc/{isolated.pid}/cmdline").read_bytes().split(b"\0")
    assert command[-2] == b"serve"
    status = Path(f"/proc/{isolated.pid}/status").read_text()
    assert f"NSpid:\t{isolated.pid}\t1\n" in status


@section("1.2")
def test_8080_is_the_port_and_further_ones_are_in_the_safe_range(isolated: Hosted) -> None:
    pids = {isolated.pid, *isolated.children()}
    ports = {port for pid in pids for _, port in open_ports(pid)}
    assert DEFAULT_PORT in ports
    assert all(23000 <= port <= 23999 for port in ports - {DEFAULT_PORT})


@section("1.8")
def test_a_request_is_served_from_folders_that_cannot_be_written(isolated: Hosted, folders: tuple[Path, Path]) -> None:
    """What the model lacks comes from a channel; and there is no network, on which anything would wait."""
    before = [picture(folder) for folder in folders]
    answer = isolated.ask("POST", "/invocations", body=TINY).result()
    assert answer.status_code == 200, says(answer)
    mounts = Path(f"/proc/{isolated.pid}/mountinfo").read_text().splitlines()
    mounted = {fields[4]: fields[5].split(",") for fields in map(str.split, mounts)}
    assert "ro" in mounted["/opt/ml/model"]
    assert "ro" in mounted["/opt/ml/additional-model-data-sources/text_encoder"]
    assert [picture(folder) for folder in folders] == before


@section("1.8")
def test_nothing_is_written_where_the_model_lies(platform: Hosted, folders: tuple[Path, Path]) -> None:
    before = [picture(folder) for folder in folders]
    assert platform.ask("POST", "/invocations", body=TINY, accept="video/mp4").result().status_code == 200
    assert [picture(folder) for folder in folders] == before


@section("1.9")
def test_variables_of_other_containers_do_no_harm(platform: Hosted) -> None:
    """All those seen in the field are set; what is said to be JSON by default is."""
    environment = Path(f"/proc/{platform.pid}/environ").read_bytes()
    assert b"SAGEMAKER_PROGRAM=" in environment
    answer = platform.ask("POST", "/invocations", body=TINY, accept="*/*").result()
    assert answer.status_code == 200, says(answer)


@section("1.1")
def test_orphans_are_waited_for(isolated: Hosted) -> None:
    """Process 1 inherits them; those that nobody waits for stay zombies until no process can be started any more."""
    assert isolated.orphans
    deadline = time.monotonic() + 30
    while isolated.orphans & isolated.children():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@section("1.1")
def test_a_job_in_the_middle_has_its_time_and_the_process_ends_within_30_seconds(platform: Hosted) -> None:
    """The last one of this server."""
    call = platform.ask("POST", "/invocations", body=OUTLASTING)
    wait([call], timeout=1)
    assert not call.done()
    began = time.monotonic()
    os.kill(platform.pid, signal.SIGTERM)
    assert platform.process.wait(KILL_SECONDS) == 0
    assert time.monotonic() - began < KILL_SECONDS
    answer = call.result()
    assert answer.status_code == 200 or answer.status_code >= 500, says(answer)
    assert int(answer.headers["content-length"]) == len(answer.content)
