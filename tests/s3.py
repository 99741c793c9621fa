"""S3 by its real protocol: moto's server in a process of its own."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError

from tests.conftest import ROOT, free_port


@dataclass(frozen=True)
class S3:
    """A running one. environment: leads to it."""

    environment: dict[str, str]

    def client(self, service: str = "s3") -> Any:
        return boto3.client(
            service,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(proxies={}),
        )

    def object(self, uri: str) -> Any:
        """The answer to a GET of it."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.client().get_object(Bucket=bucket, Key=key)

    def keys(self, bucket: str) -> list[str]:
        return [each["Key"] for each in self.client().list_objects_v2(Bucket=bucket).get("Contents", ())]

    def begun(self, bucket: str) -> list[Any]:
        """The uploads that nobody finished or took back."""
        found: list[Any] = self.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        return found


def _leading_to(port: int) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "not-for-the-log",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@contextmanager
def refusing_s3(code: str, *methods: str) -> Iterator[dict[str, str]]:
    """What refuses those methods with that code, and begins any upload; the environment that leads to it."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = f"<Error><Code>{code}</Code><Message>secret</Message></Error>"
            if self.command not in methods:
                body = "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
            self.send_response(403 if self.command in methods else 200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", '"0"')
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_PUT = do_DELETE = do_HEAD = _answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield _leading_to(server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def running_s3(folder: Path, *buckets: str, module: str = "moto.server") -> Iterator[S3]:
    """moto's server with these buckets; with tests.moto_server it has SageMaker's newer instances too."""
    port = free_port()
    environment = _leading_to(port)
    with (folder / "moto.log").open("wb") as log:
        command = [sys.executable, "-m", module, "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)
        try:
            s3 = S3(environment)
            deadline = time.monotonic() + 60
            for bucket in buckets:
                while True:
                    try:
                        s3.client().create_bucket(Bucket=bucket)
                        break
                    except EndpointConnectionError:
                        assert time.monotonic() < deadline
                        time.sleep(0.2)
            yield s3
        finally:
            server.terminate()
            server.wait(20)
