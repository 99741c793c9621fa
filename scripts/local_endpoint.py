"""SageMaker's front door on a desk: real-time, streaming and OpenAI calls, with the platform's limits and errors.

Starts ./serve as the platform does, or takes a server that already runs (--url), and then answers at --port:
    boto3.client("sagemaker-runtime", endpoint_url="http://127.0.0.1:8081")   invoke_endpoint, ..._with_response_stream
    OpenAI(base_url="http://127.0.0.1:8081/endpoints/any/openai/v1")
SIGTERM or SIGINT ends both; serve gets 30 seconds, and its exit code is passed on.
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx2
import uvicorn

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from scripts.local.door import Limits, make_door  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal comes; the exit code is that of serve."""
    options = parse(arguments)
    limits = Limits(options.answer_seconds, options.stream_seconds, options.payload_bytes)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # uvicorn raises it anew, which would end us before serve
    if options.url:
        with contextlib.suppress(KeyboardInterrupt):
            answer_at(options.port, options.url, limits)
        return 0
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(ROOT / "serve"), "serve"]
    # A session of its own: Ctrl-C must reach serve as the SIGTERM that the platform sends, once.
    process = subprocess.Popen(command, env=os.environ | {"SAGEMAKER_BIND_TO_PORT": str(port)}, start_new_session=True)
    failed = False
    try:
        if failed := not wait_until_ready(process, url, options.startup_seconds):
            print("serve did not become ready.", file=sys.stderr)
        else:
            answer_at(options.port, url, limits)
    except KeyboardInterrupt:
        print("Stopping.", file=sys.stderr)
    finally:
        code = stop(process)
    return code or int(failed)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a server that already runs, e.g. http://127.0.0.1:8080")
    parser.add_argument("--port", type=int, default=8081, help="where to answer (default 8081)")
    parser.add_argument("--startup-seconds", type=float, default=480, help="how long /ping may take to answer 200")
    parser.add_argument("--answer-seconds", type=float, default=Limits.answer_seconds, help="for an answer (60)")
    parser.add_argument("--stream-seconds", type=float, default=Limits.stream_seconds, help="for a stream (480)")
    parser.add_argument("--payload-bytes", type=int, default=Limits.payload_bytes, help="of a body (26214400)")
    return parser.parse_args(arguments)


def answer_at(port: int, url: str, limits: Limits) -> None:
    """Run the door until a signal comes."""
    uvicorn.run(make_door(url, limits), host="127.0.0.1", port=port, log_level="warning")


def wait_until_ready(process: subprocess.Popen[bytes], url: str, seconds: float) -> bool:
    """Whether /ping answered 200 in time."""
    deadline = time.monotonic() + seconds
    with httpx2.Client(trust_env=False, timeout=2) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if client.get(url + "/ping").status_code == 200:
                    return True
            except httpx2.TransportError:
                pass  # not listening yet
            time.sleep(0.2)
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
