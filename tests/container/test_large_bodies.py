"""Large bodies over the real server: they go to the disk piece by piece, and are gone once they were answered."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.conformance.large import medium
from tests.conftest import Server, running_server
from tests.container.media import png

SIZE_BYTES = 40 * 10**6
PIECE = bytes(2**20)
HEAD = next(medium(SIZE_BYTES))
FIELDS = {"inference_type": "reasoner", "model": "reason2", "prompt": "What moves?", "max_tokens": 2}


@pytest.fixture(scope="module")
def roomy(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose memory for bodies is less than one large body."""
    limits = {"COSMOS_MAX_JSON_BYTES": "1000000", "COSMOS_MAX_BODIES_BYTES": "20000000"}
    with running_server(tiny_models, tmp_path_factory.mktemp("large"), **limits) as server:
        server.wait_until_ready()
        yield server


def spooled(server: Server) -> list[str]:
    return [path.name for path in server.log_path.parent.iterdir() if path.name.startswith(("spool-", "job-"))]


def await_nothing_spooled(server: Server) -> None:
    """The answer comes before its body is removed."""
    deadline = time.monotonic() + 30
    while spooled(server) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert spooled(server) == []


def test_a_medium_takes_nothing_of_the_memory_for_bodies(roomy: Server) -> None:
    headers = {"Content-Type": "video/mp4", "X-Amzn-SageMaker-Custom-Attributes": json.dumps(FIELDS)}
    response = roomy.client.post("/invocations", content=medium(SIZE_BYTES), headers=headers)
    error = response.json()["error"]
    # All of it was there, and went as far as the decoder, which finds nothing in it.
    assert (response.status_code, error["type"], error["field"]) == (400, "invalid_media", "video"), error
    await_nothing_spooled(roomy)


def test_json_has_a_limit_of_its_own(roomy: Server) -> None:
    large = json.dumps({**FIELDS, "prompt": "x" * 10**6}).encode()
    files = {"request": ("request.json", large, "application/json")}
    for response in (
        roomy.client.post("/invocations", content=large, headers={"Content-Type": "application/json"}),
        roomy.client.post("/invocations", content=large, headers={"Content-Type": "application/jsonlines"}),
        roomy.client.post("/invocations", files=files),
    ):
        assert (response.status_code, response.json()["error"]["type"]) == (413, "too_large")
        assert "1000000" in response.json()["error"]["message"]
    await_nothing_spooled(roomy)


def test_a_picture_is_a_body(roomy: Server) -> None:
    query = {**FIELDS, "max_tokens": "2"}
    headers = {"Content-Type": "application/octet-stream"}
    response = roomy.client.post("/invocations", params=query, content=png(), headers=headers)
    assert response.status_code == 200, response.text
    assert response.json()["model"] == "reason2"


def test_a_job_that_outlives_its_request_has_its_medium(roomy: Server) -> None:
    """With a picture that is large enough to lie on the disk: what comes after its end is not looked at."""
    picture = png() + bytes(10**5)
    data = {"model": "predict2.5", "prompt": "a robot", "size": "64x64", "num_steps": "1", "num_output_frames": "5"}
    created = roomy.client.post("/v1/videos", data=data, files={"input_reference": ("a.png", picture, "image/png")})
    assert created.status_code == 202, created.text
    job_id = created.json()["id"]
    deadline = time.monotonic() + 60
    while roomy.client.get(f"/v1/videos/{job_id}").json()["status"] not in ("completed", "failed"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert roomy.client.get(f"/v1/videos/{job_id}").json()["status"] == "completed"
    (folder,) = (path for path in roomy.log_path.parent.iterdir() if path.name.startswith("job-"))
    assert len(list(folder.iterdir())) == 1  # the result
    roomy.client.delete(f"/v1/videos/{job_id}")
    await_nothing_spooled(roomy)


def test_whoever_hangs_up_leaves_nothing(roomy: Server) -> None:
    def some() -> Iterator[bytes]:
        yield from (HEAD, *[PIECE] * 8)
        raise httpx2.ReadError("enough")

    with pytest.raises(httpx2.ReadError, match="enough"):
        roomy.client.post("/invocations", content=some(), headers={"Content-Type": "video/mp4"})
    await_nothing_spooled(roomy)
    assert "unexpected fault" not in roomy.log
