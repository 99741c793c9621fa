"""Results in S3 through the real server: instead of base64, beside the file itself, for lists and for kept jobs."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conftest import ROOT, Server, running_server
from tests.container.stream import events_in
from tests.container.test_videos import create, wait_until
from tests.s3 import S3, running_s3

pytestmark = pytest.mark.model

ASK = {"prompt": "A robot.", "resolution": "64,96", "num_output_frames": 5, "num_steps": 1, "seed": 7}


@dataclass(frozen=True)
class Place:
    """A server whose results go to the bucket "results" unless requests name "named"."""

    server: Server
    s3: S3
    key: str

    def ask(self, accept: str = "application/json", **fields: Any) -> httpx2.Response:
        return self.server.invoke({**ASK, **fields}, accept)


@pytest.fixture(scope="module")
def place(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("store")
    (work := folder / "work").mkdir()
    with running_s3(folder, "results", "named", "closed") as s3:
        key = s3.client("kms").create_key()["KeyMetadata"]["Arn"]
        environ = {
            "COSMOS_OUTPUT_S3_URI": "s3://results/all/",
            "COSMOS_OUTPUT_BUCKETS": "named,missing",
            "COSMOS_OUTPUT_KMS_KEY_ID": key,
            "COSMOS_LOG_LEVEL": "debug",
            **s3.environment,
        }
        with running_server(tiny_models / "predict2.5", work, **environ) as server:
            server.wait_until_ready()
            yield Place(server, s3, key)


def test_json_has_the_place_and_the_link_instead_of_the_video(place: Place) -> None:
    answer = place.ask(output_s3_uri="s3://named/a/b.mp4", presign_seconds=600, name="mine").json()
    assert answer["s3_uri"] == "s3://named/a/b.mp4"
    assert "video" not in answer
    assert (answer["media_type"], answer["name"], answer["url_expires_seconds"]) == ("video/mp4", "mine", 600)
    assert "store" in answer["stage_seconds"]
    found = place.s3.object(answer["s3_uri"])
    assert (found["SSEKMSKeyId"], found["ContentType"]) == (place.key, "video/mp4")
    assert found["Metadata"] == {"cosmos-job-id": answer["job_id"], "sha256": answer["sha256"]}
    data = found["Body"].read()
    assert len(data) == answer["size_bytes"]
    assert httpx2.get(answer["url"], trust_env=False).content == data
    assert "X-Amz-Signature" not in place.server.log


def test_files_are_answered_as_before_and_stored_under_the_prefix(place: Place) -> None:
    for accept, suffix in (("video/mp4", ".mp4"), ("application/x-npz", ".npz")):
        answer = place.ask(accept, presign_seconds=60)
        assert (answer.status_code, answer.headers["content-type"]) == (200, accept)
        told = json.loads(answer.headers["x-cosmos-result"])
        assert told["s3_uri"] == f"s3://results/all/{answer.headers['x-cosmos-job-id']}{suffix}"
        assert place.s3.object(told["s3_uri"])["Body"].read() == answer.content


def test_streams_lists_and_kept_jobs_say_where_it_is(place: Place) -> None:
    body = {**ASK, "output_s3_uri": "s3://named/list/"}
    headers = {"Accept": "text/event-stream"}
    with place.server.client.stream("POST", "/invocations", json=body, headers=headers) as response:
        heard = list(events_in(response))
    assert "store" in [data["stage"] for name, data in heard if name == "progress"]
    (told,) = [data for name, data in heard if name == "result"]
    assert told["s3_uri"] == f"s3://named/list/{told['job_id']}.mp4"
    several = place.server.client.post("/invocations", json=[body, body]).json()
    kept = create(place.server, {**body, "presign_seconds": 60})
    shown = wait_until(place.server, kept["id"], "completed")["cosmos"]
    for each in (*several, shown):
        assert place.s3.object(each["s3_uri"])["ContentLength"] == each["size_bytes"]
    assert len({each["s3_uri"] for each in (told, *several, shown)}) == 4
    assert shown["url"].startswith("http")


def test_no_job_of_a_list_replaces_the_result_of_another(place: Place) -> None:
    bodies = [{**ASK, "output_s3_uri": f"s3://named/twice/{name}"} for name in ("a.mp4", "", "a.mp4", "b.mp4", "")]
    told = place.server.client.post("/invocations", json=bodies).json()
    assert [("error" in each) for each in told] == [False, False, True, False, False]
    assert told[2]["error"]["field"] == "output_s3_uri"
    assert "is the object of job 1 of this list as well" in told[2]["error"]["message"]
    assert place.s3.object("s3://named/twice/a.mp4")["ContentLength"] == told[0]["size_bytes"]


def test_the_script_says_where_it_is(place: Place, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(ASK))
    command = [sys.executable, str(ROOT / "scripts" / "invoke.py"), "a.json", "--out", str(tmp_path / "out")]
    command += ["--url", f"{place.server.client.base_url}/invocations"]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stderr
    told = json.loads((tmp_path / "out" / "a.json").read_text())
    assert told["s3_uri"] in shown
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("fields", "status", "problem"),
    [
        ({"output_s3_uri": "s3://closed/"}, 400, "the bucket closed, which is not allowed (COSMOS_OUTPUT_BUCKETS)"),
        ({"output_s3_uri": "s3://missing/"}, 400, "S3 has no such bucket"),
        ({"output_s3_uri": "s3://named/a.png"}, 400, "does not end in .mp4"),
        ({"output_s3_uri": "https://named/a.mp4"}, 400, "is no address of S3"),
        ({"output_s3_uri": 5}, 400, "output_s3_uri"),
    ],
)
def test_refusals_before_any_work(place: Place, fields: dict[str, Any], status: int, problem: str) -> None:
    before = place.server.log.count(" accepted for ")
    answer = place.ask(**fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["field"]) == (status, "output_s3_uri")
    assert problem in error["message"]
    assert place.server.log.count(" accepted for ") == before


def test_what_s3_does_not_take_fails_the_job_and_not_the_next(place: Place) -> None:
    """The bucket goes away while the job runs."""
    client = place.s3.client()
    client.create_bucket(Bucket="missing")
    body = {**ASK, "num_steps": 40, "num_output_frames": 9, "output_s3_uri": "s3://missing/"}
    kept = create(place.server, body)
    assert place.s3.begun("missing") == []
    client.delete_bucket(Bucket="missing")
    ended = wait_until(place.server, kept["id"], "failed")
    assert ended["error"]["code"] == "store_failed"
    assert "no such bucket" in ended["error"]["message"]
    assert place.ask().status_code == 200
