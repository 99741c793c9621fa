"""A batch transform job on a desk: one input file in pieces through the container, the answers as one output file."""

import gzip
import io
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx2

_STRATEGIES = {
    "MULTI_RECORD": "MultiRecord",
    "SINGLE_RECORD": "SingleRecord",
    "MultiRecord": "MultiRecord",
    "SingleRecord": "SingleRecord",
}
_MB = 2**20


class BatchFailed(Exception):
    """The file is given up, and nothing of it is written."""


@dataclass(frozen=True)
class Job:
    """As in CreateTransformJob; None where the container, and then the platform, decides."""

    compression_type: str = "None"
    split_type: str = "Line"
    assemble_with: str = "Line"
    content_type: str = "application/jsonlines"
    accept: str = "application/jsonlines"
    strategy: str | None = None
    max_payload_mb: int | None = None
    max_concurrent: int | None = None
    max_retries: int = 3
    timeout_seconds: float = 600


def parameters(job: Job, told: dict[str, Any]) -> tuple[str, int, int]:
    """Strategy, MaxPayloadInMB and concurrency: the request's, else the container's, else the platform's."""
    strategy = job.strategy or _STRATEGIES[str(told.get("BatchStrategy", "MULTI_RECORD"))]
    payload_mb = told.get("MaxPayloadInMB", 6) if job.max_payload_mb is None else job.max_payload_mb
    concurrent = job.max_concurrent or told.get("MaxConcurrentTransforms", 1)
    if not 0 <= payload_mb <= 100 or payload_mb * concurrent > 100:
        raise BatchFailed(f"MaxPayloadInMB {payload_mb} times MaxConcurrentTransforms {concurrent} is more than 100")
    return strategy, payload_mb, concurrent


def bodies(data: bytes, *, split_type: str, strategy: str, payload_mb: int) -> Iterator[bytes]:
    """The requests that a file is split into. Raises BatchFailed for a record that is larger than a payload may be."""
    most = payload_mb * _MB or len(data) + 1  # 0: no limit
    if split_type == "None":
        if len(data) > most:
            raise BatchFailed(f"the file has {len(data)} bytes, MaxPayloadInMB is {payload_mb}")
        yield data
        return
    gathered: list[bytes] = []
    size = 0
    for record in io.BytesIO(data):  # up to each \n, with it: AWS's own local mode sends it too
        if len(record) > most:
            raise BatchFailed(f"a record has {len(record)} bytes, MaxPayloadInMB is {payload_mb}")
        if gathered and (strategy == "SingleRecord" or size + len(record) > most):
            yield b"".join(gathered)
            gathered, size = [], 0
        gathered.append(record)
        size += len(record)
    if gathered:
        yield b"".join(gathered)


def unpacked(job: Job, data: bytes) -> bytes:
    """What the file holds; the answers are not packed again. Raises BatchFailed."""
    if job.compression_type == "None":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise BatchFailed(f"the file is not whole gzip: {error}") from None


def transform(container: httpx2.Client, job: Job, data: bytes) -> bytes:
    """What the output file holds. Raises BatchFailed."""
    answer = container.get("/execution-parameters")
    told = answer.json() if answer.status_code == 200 else {}
    strategy, payload_mb, concurrent = parameters(job, told)
    pieces = bodies(unpacked(job, data), split_type=job.split_type, strategy=strategy, payload_mb=payload_mb)
    with ThreadPoolExecutor(concurrent) as pool:
        answers = list(pool.map(lambda body: _sent(container, job, body, chunked=payload_mb == 0), pieces))
    return b"".join(each + b"\n" if job.assemble_with == "Line" else each for each in answers)


def _sent(container: httpx2.Client, job: Job, body: bytes, *, chunked: bool) -> bytes:
    """One answer; asked again as often as the platform does."""
    headers = {"Content-Type": job.content_type, "Accept": job.accept}
    problem = ""
    for attempt in range(job.max_retries + 1):
        if attempt:
            time.sleep(min(2.0**attempt, 10) / 4)
        try:
            content = iter([body]) if chunked else body
            answer = container.post("/invocations", content=content, headers=headers, timeout=job.timeout_seconds)
        except httpx2.TransportError as error:
            problem = f"no answer: {error}"
            continue
        if answer.status_code == 200:
            return answer.content
        problem = f"{answer.status_code}: {answer.text[:500]}"
        if answer.status_code < 500 and answer.status_code != 429:
            break
    raise BatchFailed(f"a request failed ({problem})")
