"""Media by address through a real server: fetched where that is allowed, refused where not, never in the log."""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError

from tests.conftest import Server, free_port, running_server
from tests.container.media import clip, png
from tests.media.web import Answer, Web, make_certificate, serving

_SECRET = "X-Amz-Credential=AKIAEXAMPLE&X-Amz-Signature=0123456789abcdef"


@dataclass(frozen=True)
class Place:
    """A server with everything open that can be, and what it may fetch from."""

    server: Server
    web: Web
    inside: Web
    folder: Path
    s3_url: str

    def ask(self, address: str, field: str = "image") -> tuple[int, str]:
        answer = self.server.invoke({"prompt": "x", "max_tokens": 1, field: address})
        return answer.status_code, answer.text


@pytest.fixture(scope="module")
def s3_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    with (tmp_path_factory.mktemp("moto") / "log").open("wb") as log:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        moto = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield port
        finally:
            moto.terminate()
            moto.wait(20)


@pytest.fixture(scope="module")
def place(tiny_models: Path, tmp_path_factory: pytest.TempPathFactory, s3_port: int) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("fetch")
    certificate = make_certificate(folder / "cert.pem", "127.0.0.1")
    (folder / "open").mkdir()
    (folder / "open/a.png").write_bytes(png())
    (folder / "closed.png").write_bytes(png())
    (work := folder / "work").mkdir()
    with serving(certificate=certificate) as web, serving("127.0.0.2") as inside:
        web.answers["/a.png"] = Answer(pieces=(png(),))
        web.answers["/a.mp4"] = Answer(pieces=(clip(folder / "a.mp4"),))
        web.answers["/inward"] = Answer(302, {"Location": f"http://127.0.0.2:{inside.port}/?{_SECRET}"})
        environ = {
            "COSMOS_MEDIA_HOSTS": "127.0.0.1,http://127.0.0.1,http://127.0.0.2,localhost,no-such-host.invalid",
            "COSMOS_MEDIA_PORTS": f"443,{web.port},{inside.port}",
            "COSMOS_MEDIA_NETWORKS": "127.0.0.1/32",
            "COSMOS_MEDIA_DIR": str(folder / "open"),
            "COSMOS_MEDIA_CA_BUNDLE": str(certificate),
            "COSMOS_LOG_LEVEL": "debug",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{s3_port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "not-for-the-log",
            "AWS_REGION": "us-east-1",
            "HTTPS_PROXY": "http://127.0.0.1:1",
        }
        with running_server(tiny_models / "reason2", work, **environ) as server:
            server.wait_until_ready()
            yield Place(server, web, inside, folder, environ["AWS_ENDPOINT_URL"])


def test_pictures_and_videos_from_the_web(place: Place) -> None:
    base = f"https://127.0.0.1:{place.web.port}"
    assert place.ask(f"{base}/a.png?{_SECRET}")[0] == 200
    assert place.ask(f"{base}/a.mp4?{_SECRET}", "video")[0] == 200
    status, told = place.ask(f"{base}/missing?{_SECRET}")
    assert (status, "answers 404" in told) == (400, True)


def test_files_of_the_open_folder(place: Place) -> None:
    assert place.ask(f"file://{place.folder}/open/a.png")[0] == 200
    status, told = place.ask(f"file://{place.folder}/closed.png")
    assert (status, "COSMOS_MEDIA_DIR" in told) == (400, True)


def test_objects_of_s3(place: Place) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=place.s3_url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(proxies={}),
    )
    deadline = time.monotonic() + 60
    while True:
        try:
            client.create_bucket(Bucket="media")
            break
        except EndpointConnectionError:
            assert time.monotonic() < deadline
    client.put_object(Bucket="media", Key="in/a.png", Body=png())
    client.close()
    assert place.ask("s3://media/in/a.png")[0] == 200
    status, told = place.ask("s3://media/in/b.png")
    assert (status, "no such object" in told) == (400, True)


def test_nothing_leads_inside_and_nothing_hangs(place: Place) -> None:
    for address in (
        f"https://127.0.0.1:{place.web.port}/inward",
        f"http://127.0.0.2:{place.inside.port}/",
        f"https://localhost:{place.inside.port}/",
        "https://no-such-host.invalid/a.png",
        "http://169.254.169.254/latest/meta-data/",
    ):
        status, told = place.ask(address)
        assert status == 400, told
        assert "field" in told
    assert place.inside.seen == []


def test_no_signature_and_no_secret_is_in_the_log(place: Place) -> None:
    for address in (f"https://evil.test/a?{_SECRET}", f"https://127.0.0.1:{place.web.port}/inward?{_SECRET}"):
        _, told = place.ask(address)
        assert "Signature" not in told
    assert "Signature" not in place.server.log
    assert "AKIAEXAMPLE" not in place.server.log
    assert "not-for-the-log" not in place.server.log


def test_the_model_process_has_no_credentials(place: Place) -> None:
    environ = Path(f"/proc/{place.server.model_pid()}/environ").read_bytes()
    assert b"AWS_" not in environ
