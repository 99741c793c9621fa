"""SageMaker's front door on a desk: real-time, streaming, asynchronous and OpenAI calls, and batch transform jobs.

Starts ./serve as the platform does, or takes a server that already runs (--url), and then answers at --port:
    boto3.client("sagemaker-runtime", endpoint_url="http://127.0.0.1:8081")   invoke_endpoint, ..._with_response_stream,
                                                                              and with --async-output-s3-uri ..._async
    OpenAI(base_url="http://127.0.0.1:8081/endpoints/any/openai/v1")
    LocalSagemakerRuntimeClient({"local": {"serving_port": 8081}})            the SageMaker SDK's, as to a container
SIGTERM or SIGINT ends both; serve gets 30 seconds, and its exit code is passed on, also where it ends by itself. With
--container it is an image that is started in place of ./serve, by docker or podman.

A batch transform job, with --batch-input and --batch-output (files, or s3:// by boto3's environment), starts serve
with SAGEMAKER_BATCH=true, splits, sends, tries again and assembles as the platform does, and ends; 1 where the file was
given up.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx2
import uvicorn
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from scripts.local.batch import BatchFailed, Job, transform  # noqa: E402
from scripts.local.container import Container, ContainerError, add_options, wish_of  # noqa: E402
from scripts.local.door import Limits, make_door  # noqa: E402
from scripts.local.objects import Objects  # noqa: E402
from scripts.local.queue import Destination  # noqa: E402
from scripts.local.watch import exit_code, serve_while  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal comes; the exit code is that of serve."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else it would end us before serve
    if options.batch_input:
        return run_batch(options)
    limits = Limits(options.answer_seconds, options.stream_seconds, options.payload_bytes)
    if options.url:
        with contextlib.suppress(KeyboardInterrupt):
            answer_at(options, options.url, limits, None)
        return 0
    process, url = start(options, {})
    failed = False
    try:
        if not (failed := not wait_until_ready(process, url, options.startup_seconds)):
            answer_at(options, url, limits, process)
    except KeyboardInterrupt:
        print("Stopping.", file=sys.stderr)
    finally:
        code = stop(process)
    return exit_code(code) or int(failed)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a server that already runs, e.g. http://127.0.0.1:8080")
    parser.add_argument("--port", type=int, default=8081, help="where to answer (default 8081)")
    parser.add_argument("--startup-seconds", type=float, default=480, help="how long /ping may take to answer 200")
    parser.add_argument("--answer-seconds", type=float, default=Limits.answer_seconds, help="for an answer (60)")
    parser.add_argument("--stream-seconds", type=float, default=Limits.stream_seconds, help="for a stream (480)")
    parser.add_argument("--payload-bytes", type=int, default=Limits.payload_bytes, help="of a body (26214400)")
    parser.add_argument("--async-output-s3-uri", help="prefix for the answers of asynchronous calls, s3:// or a folder")
    parser.add_argument("--async-failure-s3-uri", help="prefix for their failures (the same, with /failures)")
    parser.add_argument("--max-concurrent-invocations", type=int, default=1, help="of asynchronous calls (1)")
    parser.add_argument("--batch-input", help="a file, or s3://bucket/key")
    parser.add_argument("--batch-output", help="folder or s3:// prefix; the file is named like the input, with .out")
    parser.add_argument("--compression-type", choices=["None", "Gzip"], default="None", help="of the input (None)")
    parser.add_argument("--split-type", choices=["Line", "None"], default="Line")
    parser.add_argument("--assemble-with", choices=["Line", "None"], default="Line")
    parser.add_argument("--strategy", choices=["MultiRecord", "SingleRecord"], help="by default the container's wish")
    parser.add_argument("--max-payload-mb", type=int, help="0 to 100; by default the container's wish")
    parser.add_argument("--max-concurrent-transforms", type=int, help="by default the container's wish")
    parser.add_argument("--content-type", default="application/jsonlines")
    parser.add_argument("--accept", default="application/jsonlines")
    parser.add_argument("--max-retries", type=int, choices=range(4), default=3, help="of one request (3)")
    parser.add_argument("--timeout-seconds", type=float, default=600, help="of one request of a batch (600)")
    add_options(parser)
    options = parser.parse_args(arguments)
    try:
        options.container = wish_of(options)
    except ContainerError as error:
        parser.error(str(error))
    if bool(options.batch_input) != bool(options.batch_output):
        parser.error("--batch-input and --batch-output go together")
    return options


def run_batch(options: argparse.Namespace) -> int:
    """One input file; the exit code is 1 where it was given up, and then nothing is written."""
    job = Job(
        compression_type=options.compression_type,
        split_type=options.split_type,
        assemble_with=options.assemble_with,
        content_type=options.content_type,
        accept=options.accept,
        strategy=options.strategy,
        max_payload_mb=options.max_payload_mb,
        max_concurrent=options.max_concurrent_transforms,
        max_retries=options.max_retries,
        timeout_seconds=options.timeout_seconds,
    )
    said = {
        "SAGEMAKER_BATCH_STRATEGY": options.strategy,
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": options.max_payload_mb,
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": options.max_concurrent_transforms,
    }
    environ = {name: str(value) for name, value in said.items() if value is not None}
    process, url = (None, options.url) if options.url else start(options, {"SAGEMAKER_BATCH": "true", **environ})
    try:
        if process is not None and not wait_until_ready(process, url, options.startup_seconds):
            return 1
        with (
            tempfile.TemporaryDirectory(prefix="local-batch-") as folder,
            httpx2.Client(base_url=url, trust_env=False) as container,
        ):
            source, result = Path(folder, "input"), Path(folder, "output")
            objects = Objects()
            objects.fetch(options.batch_input, source)
            result.write_bytes(transform(container, job, source.read_bytes()))
            target = f"{options.batch_output.rstrip('/')}/{options.batch_input.rpartition('/')[2]}.out"
            objects.store(result, target)
        print(target)
    except (BatchFailed, Boto3Error, BotoCoreError, ClientError, OSError) as failure:
        print(f"The file is given up: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopping: the file is given up.", file=sys.stderr)
        return 1
    finally:
        if process is not None:
            stop(process)
    return 0


def answer_at(options: argparse.Namespace, url: str, limits: Limits, process: subprocess.Popen[bytes] | None) -> None:
    """Run the door until a signal comes, or the process behind it has ended."""
    destination = None
    if output := options.async_output_s3_uri:
        failures = options.async_failure_s3_uri or f"{output.rstrip('/')}/failures"
        destination = Destination(output, failures, options.max_concurrent_invocations)
    door = make_door(url, limits, destination)
    server = uvicorn.Server(uvicorn.Config(door, host="127.0.0.1", port=options.port, log_level="warning"))
    asyncio.run(server.serve() if process is None else serve_while(server, process))
    if not server.started:
        sys.exit(1)  # uvicorn has said why


def start(options: argparse.Namespace, environ: dict[str, str]) -> tuple[subprocess.Popen[bytes], str]:
    """serve as the platform starts it, as a process or in a container, on a free port, and its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    told = environ | {"SAGEMAKER_BIND_TO_PORT": str(port)}
    if options.container:
        return Container(options.container, port, told), url
    # A session of its own: Ctrl-C must reach serve as the SIGTERM that the platform sends, once.
    return subprocess.Popen([str(ROOT / "serve"), "serve"], env=os.environ | told, start_new_session=True), url


def wait_until_ready(process: subprocess.Popen[bytes], url: str, seconds: float) -> bool:
    """Whether /ping answered 200 in time; says so where it did not."""
    deadline = time.monotonic() + seconds
    with httpx2.Client(trust_env=False, timeout=2) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if client.get(url + "/ping").status_code == 200:
                    return True
            except httpx2.TransportError:
                pass  # not listening yet
            time.sleep(0.2)
    print("serve did not become ready.", file=sys.stderr)
    return False


def stop(process: subprocess.Popen[bytes]) -> int:
    """SIGTERM and 30 seconds, as the platform does."""
    process.terminate()
    try:
        return process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


if __name__ == "__main__":
    sys.exit(main())
