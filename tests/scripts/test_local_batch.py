"""Batch transform on a desk: how files are split and assembled, and the real serve behind it."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.local.batch import BatchFailed, Job, bodies, parameters, transform, unpacked
from tests.conftest import ROOT
from tests.container.test_batch import check, records

_RECORD = st.one_of(st.binary(max_size=20), st.sampled_from([b"", b"\r", b"{}\r", "\u2028".encode()]))
# An empty last line is what a newline at the end of the file is.
RECORDS = st.lists(_RECORD.filter(lambda record: b"\n" not in record), min_size=1).filter(lambda lines: lines[-1])


@given(RECORDS, st.booleans())
def test_splitting_loses_and_reorders_nothing(lines: list[bytes], ends_in_newline: bool) -> None:
    data = b"\n".join(lines) + b"\n" * ends_in_newline
    single = list(bodies(data, split_type="Line", strategy="SingleRecord", payload_mb=1))
    assert [record.removesuffix(b"\n") for record in single] == lines
    (many,) = bodies(data, split_type="Line", strategy="MultiRecord", payload_mb=0)
    assert many == b"".join(single) == data
    assert list(bodies(data, split_type="None", strategy="MultiRecord", payload_mb=1)) == [data]


def test_a_file_without_a_record_is_answered_with_none() -> None:
    assert list(bodies(b"", split_type="Line", strategy="MultiRecord", payload_mb=1)) == []
    with httpx2.Client(
        base_url="http://x", transport=httpx2.MockTransport(lambda _: httpx2.Response(404))
    ) as container:
        assert transform(container, Job(), b"") == b""


@pytest.mark.parametrize("data", [b"{}", gzip.compress(b"{}" * 100)[:-9], gzip.compress(b"{}")[:-1] + b"x"])
def test_what_is_no_gzip_gives_up_the_file(data: bytes) -> None:
    with pytest.raises(BatchFailed, match="gzip"):
        unpacked(Job(compression_type="Gzip"), data)


def test_no_body_is_larger_than_a_payload_may_be() -> None:
    lines = [bytes([65 + number]) * 400_000 for number in range(7)]
    found = list(bodies(b"\n".join(lines), split_type="Line", strategy="MultiRecord", payload_mb=1))
    assert all(len(each) <= 2**20 for each in found)
    assert b"".join(found).split(b"\n") == lines
    with pytest.raises(BatchFailed, match="MaxPayloadInMB"):
        list(bodies(b"x" * 2**21, split_type="Line", strategy="MultiRecord", payload_mb=1))


def test_the_request_goes_before_the_container_and_that_before_the_platform() -> None:
    told = {"BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 50, "MaxConcurrentTransforms": 2}
    assert parameters(Job(), {}) == ("MultiRecord", 6, 1)
    assert parameters(Job(), told) == ("SingleRecord", 50, 2)
    assert parameters(Job(strategy="MultiRecord", max_payload_mb=0, max_concurrent=8), told) == ("MultiRecord", 0, 8)
    with pytest.raises(BatchFailed):
        parameters(Job(max_payload_mb=60), told)


def test_a_request_is_tried_again_and_then_gives_up_the_file() -> None:
    tried: list[bytes] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path != "/invocations":
            return httpx2.Response(404)
        tried.append(request.content)
        return httpx2.Response(503 if len(tried) < 3 else 200, content=b"done")

    with httpx2.Client(base_url="http://x", transport=httpx2.MockTransport(answer)) as container:
        assert transform(container, Job(), b"a") == b"done\n"
        assert tried == [b"a"] * 3
        tried.clear()
        with pytest.raises(BatchFailed, match="503"):
            transform(container, Job(max_retries=1), b"a")
        assert len(tried) == 2


@pytest.mark.model
@pytest.mark.parametrize("strategy", ["MultiRecord", "SingleRecord"])
def test_forty_lines_of_which_five_are_bad(tiny_models: Path, tmp_path: Path, strategy: str) -> None:
    asked = records()
    asked[30] = "7"  # as a line of its own, a list is a request of several records
    if strategy == "MultiRecord":  # as it comes from Windows, and cut off
        written, compression = "\r\n".join(asked).encode(), "None"
    else:
        written, compression = gzip.compress(("\n".join(asked) + "\n").encode()), "Gzip"
    (tmp_path / "in.jsonl").write_bytes(written)
    environ = {"COSMOS_MODEL_DIR": str(tiny_models), "COSMOS_CPU_THREADS": "1", "COSMOS_WORK_DIR": str(tmp_path)}
    command = [sys.executable, str(ROOT / "scripts" / "local_endpoint.py"), "--strategy", strategy]
    command += ["--compression-type", compression]
    command += ["--batch-input", str(tmp_path / "in.jsonl"), "--batch-output", str(tmp_path / "out")]
    done = subprocess.run(command, env=os.environ | environ, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    answers = (tmp_path / "out" / "in.jsonl.out").read_bytes().decode()
    assert answers.endswith("\n")
    assert "\r" not in answers
    lines = answers.removesuffix("\n").split("\n")
    assert json.loads(lines[30])["error"]["type"] == "invalid_body"
    check(lines)


def test_an_input_that_is_not_there_is_told_in_a_line(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "local_endpoint.py"), "--url", "http://127.0.0.1:9"]
    command += ["--batch-input", str(tmp_path / "none.jsonl"), "--batch-output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("The file is given up: ")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
