"""The wall: what the front makes of a decoding process that crashes, hangs, lies or never ends.

In place of Python a script is started, which does what only a damaged or a taken-over process would do.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cosmos_handler.errors import CosmosError, DecoderFailed, MediaError, TooLarge
from cosmos_handler.media.clip import MediaFile
from cosmos_handler.media.decoding import decode
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.media.wanted import WantedImage

ROOT = Path(__file__).parents[2]
ANSWER = {
    "kind": "image",
    "num_frames": 1,
    "height": 2,
    "width": 2,
    "source_fps": None,
    "source_num_frames": 1,
    "indices": [0],
}


class Decoder:
    """Starts `decode` with a script in the place of Python."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.output = folder / "out.npy"
        self._source = folder / "source"
        self._source.write_bytes(b"anything")
        self._script = folder / "python"
        monkeypatch.setattr(sys, "executable", str(self._script))

    async def run(self, script: str, limits: MediaLimits) -> MediaFile:
        self._script.write_text(f"#!/bin/sh\n{script}\n")
        self._script.chmod(0o755)
        return await decode(self._source, self.output, WantedImage(), field="image", limits=limits)

    def failure(self, script: str, *, timeout_seconds: float = 20) -> CosmosError:
        with pytest.raises(CosmosError) as caught:
            asyncio.run(self.run(script, MediaLimits(decode_timeout_seconds=timeout_seconds)))
        assert "image" in str(caught.value)
        return caught.value


@pytest.fixture
def decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Decoder:
    return Decoder(tmp_path, monkeypatch)


@pytest.mark.parametrize("name", ["SEGV", "ABRT", "BUS", "ILL"])
def test_a_crash_is_the_medium_s_fault(decoder: Decoder, name: str) -> None:
    error = decoder.failure(f"cat > /dev/null; ulimit -c 0; kill -{name} $$")
    assert type(error) is MediaError
    assert "process crashed on it" in str(error)


@pytest.mark.parametrize("name", ["XCPU", "KILL", "ALRM"])
def test_an_end_by_a_limit_is_a_matter_of_size(decoder: Decoder, name: str) -> None:
    error = decoder.failure(f"cat > /dev/null; ulimit -c 0; kill -{name} $$")
    assert type(error) is TooLarge
    assert "more time or memory" in str(error)


def test_a_traceback_is_our_fault_and_stays_in_the_log(decoder: Decoder, caplog: pytest.LogCaptureFixture) -> None:
    error = decoder.failure("cat > /dev/null; echo 'Traceback: secret' >&2; exit 1")
    assert type(error) is DecoderFailed
    assert "secret" not in str(error)
    assert "Traceback: secret" in caplog.text


def test_an_end_before_the_request_is_read_is_our_fault(decoder: Decoder) -> None:
    assert type(decoder.failure("exit 3")) is DecoderFailed


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "hello",
        "[]",
        '{"error": "other", "problem": "?"}',
        '{"kind": "image"}',
        json.dumps({**ANSWER, "path": "/etc/passwd"}),
        "[" * 100_000,
    ],
)
def test_an_answer_that_is_none_is_our_fault(decoder: Decoder, answer: str, tmp_path: Path) -> None:
    (tmp_path / "answer").write_text(answer)
    error = decoder.failure(f"cat > /dev/null; cat {tmp_path}/answer; echo")
    assert type(error) is DecoderFailed


def test_an_answer_without_end_does_not_fill_the_memory(decoder: Decoder) -> None:
    error = decoder.failure("cat > /dev/null; exec cat /dev/zero", timeout_seconds=0.5)
    assert isinstance(error, TooLarge | DecoderFailed)


def test_complaints_without_end_do_not_block_the_answer(decoder: Decoder) -> None:
    answer = json.dumps({**ANSWER, "path": str(decoder.output)})
    script = f"cat > /dev/null; head -c 1000000 /dev/zero >&2; echo '{answer}'"
    found = asyncio.run(decoder.run(script, MediaLimits(decode_timeout_seconds=20)))
    assert (found.height, found.width) == (2, 2)


def test_the_environment_holds_no_secret(decoder: Decoder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    monkeypatch.setenv("HF_TOKEN", "a-secret")
    decoder.failure(f"cat > /dev/null; env > {tmp_path}/environment; exit 1")
    names = {line.split("=")[0] for line in (tmp_path / "environment").read_text().splitlines()}
    # The shell adds the last three.
    assert names - {"PWD", "SHLVL", "_"} == {"PATH", "PYTHONPATH", "OPENBLAS_NUM_THREADS"}


def test_the_real_process_is_bounded() -> None:
    code = (
        "import resource as r, signal; from cosmos_handler.media.bounds import restrict_this_process; "
        "restrict_this_process(seconds=1.5, memory_bytes=2**31, file_bytes=10_000, threads=3); "
        "kinds = (r.RLIMIT_AS, r.RLIMIT_CPU, r.RLIMIT_FSIZE, r.RLIMIT_CORE, r.RLIMIT_NOFILE); "
        "print(*(r.getrlimit(kind)[0] for kind in kinds), signal.alarm(0))"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    memory, cpu_seconds, file_bytes, core, open_files, alarm_seconds = (int(number) for number in shown.split())
    assert (memory, cpu_seconds, file_bytes, core, open_files, alarm_seconds) == (2**31, 6, 10_000, 0, 64, 7)


@pytest.mark.parametrize("cancel", [True, False])
def test_no_process_outlives_the_call(decoder: Decoder, cancel: bool, tmp_path: Path) -> None:
    pid_path, partial = tmp_path / "pid", tmp_path / "out.npy.partial"
    script = f"echo half > {partial}; echo $$ > {pid_path}.new; mv {pid_path}.new {pid_path}; exec sleep 60"

    async def scenario() -> None:
        task = asyncio.create_task(decoder.run(script, MediaLimits(decode_timeout_seconds=60 if cancel else 1)))
        while not pid_path.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.01)
        os.kill(int(pid_path.read_text()), 0)
        if cancel:
            task.cancel()
        with pytest.raises(asyncio.CancelledError if cancel else TooLarge):
            await task

    began = time.monotonic()
    asyncio.run(scenario())
    assert time.monotonic() - began < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_path.read_text()), 0)
    assert not partial.exists()
