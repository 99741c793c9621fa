#!/usr/bin/env python3
"""Send NVIDIA's input files to an endpoint: one job for each sample in them, and its result into a folder.

The files are what NVIDIA's command lines read: a JSON object, a list, JSON lines, or the first release's "samples" by
name. Images, videos and texts that they name are sent along, each as a multipart part under the very name that stands
in the file: a path is looked for beside the file and then by its file name in --media; an address only in --media,
unless --fetch is given.
"""

import argparse
import base64
import importlib.util
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
_VENV = ROOT / ".venv"
if importlib.util.find_spec("httpx2") is None and (_VENV / "bin" / "python").is_file() and Path(sys.prefix) != _VENV:
    os.execv(_VENV / "bin" / "python", [str(_VENV / "bin" / "python"), *sys.argv])  # noqa: S606 - the same, in the venv

import httpx2  # noqa: E402 - after the path is set, like our own

from cosmos_handler.errors import RequestError  # noqa: E402
from cosmos_handler.schemas.samples import expand  # noqa: E402
from cosmos_handler.schemas.unfolding import NVIDIAS_NEGATIVE_PROMPT  # noqa: E402

_EPILOG = """\
examples:
  scripts/invoke.py image2world.json
  scripts/invoke.py jobs.jsonl --out results --set num_steps=10 --set resolution=480,832
  scripts/invoke.py v2v.json --media ~/clips            # robot_pouring.mp4 of an address in the file lies there

what is written, for a job called NAME (or FILE-1, FILE-2, ... where it has no name):
  NAME.mp4, NAME.png or NAME.txt   the result
                                   (none where the answer says that it is stored in S3)
  NAME.json                        job id, seed, model, sizes, seconds, or the error
The exit status is 0 when every job was completed, 1 when one failed, 2 when nothing could be sent.
"""
# Fields whose value names a file, in every family's files; `url` stands inside chat messages.
_NAMES_A_FILE = re.compile(r".*_(path|file)|image|video|visual_input|input_(reference|control|video)|url", re.DOTALL)
_ENDINGS = {"video/mp4": ".mp4", "image/png": ".png"}
_NOT_IN_FILE_NAMES = re.compile(r"[^\w.+-]+")
_MAX_RETRY_SECONDS = 60


class Problem(Exception):
    """A job that cannot be sent or was not completed; the message is for the person at the terminal."""


@dataclass(frozen=True)
class Job:
    """One job of a file."""

    label: str
    body: dict[str, Any]
    folder: Path


def main(argv: list[str] | None = None) -> int:
    """Send everything; the exit status."""
    options = _parser().parse_args(argv)
    try:
        jobs = [job for file in options.files for job in read_jobs(file, dict(options.set))]
    except Problem as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    labels = _distinct([job.label for job in jobs])
    failed = 0
    here = urlsplit(options.url).hostname in ("localhost", "127.0.0.1", "::1")
    # A local server is never behind the proxy that the environment names. Between two events there are seconds.
    with httpx2.Client(timeout=httpx2.Timeout(60, write=600), trust_env=not here) as client:
        for number, (label, job) in enumerate(zip(labels, jobs, strict=True), 1):
            show = _Line(f"[{number}/{len(jobs)}] {label}")
            try:
                answer = send(client, options, job, show)
                path = write_result(options.out, label, answer)
                show.end(f"-> {path}")
            except (Problem, httpx2.HTTPError, OSError) as problem:
                failed += 1
                (options.out / f"{label}.json").write_text(json.dumps({"error": str(problem)}, indent=2) + "\n")
                show.end(f"failed: {problem}")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="NVIDIA's JSON or JSON lines (.jsonl)")
    parser.add_argument("--url", default="http://127.0.0.1:8080/invocations", help="the endpoint [%(default)s]")
    parser.add_argument(
        "--api-key", default=os.environ.get("COSMOS_API_KEY"), metavar="KEY",
        help="the key that the server asks for [COSMOS_API_KEY of the environment]",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("outputs"), help="folder for the results [%(default)s]")
    parser.add_argument(
        "--media", type=Path, action="append", default=[], help="folder with the files that are named; may be repeated"
    )
    parser.add_argument("--fetch", action="store_true", help="download addresses that --media does not have")
    parser.add_argument(
        "--set", type=_setting, action="append", default=[], metavar="FIELD=VALUE",
        help="put this into every job, JSON or else text; may be repeated",
    )  # fmt: skip
    return parser


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def read_jobs(file: Path, settings: dict[str, Any]) -> list[Job]:
    """The jobs of a file. Raises Problem."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        lines = [line for line in text.splitlines() if line.strip()]
        content = [json.loads(line) for line in lines] if file.suffix == ".jsonl" else json.loads(text)
        bodies = expand(content if isinstance(content, dict | list) else [content])
    except (OSError, ValueError, RequestError) as error:
        raise Problem(f"{file}: {error}") from None
    jobs = []
    for number, body in enumerate(bodies, 1):
        if isinstance(body, RequestError):
            raise Problem(f"{file}: {body}")
        alone = file.stem if len(bodies) == 1 else f"{file.stem}-{number}"
        jobs.append(Job(str(body.get("name") or alone), {**body, **settings}, file.parent))
    return jobs


def send(client: httpx2.Client, options: argparse.Namespace, job: Job, show: "_Line") -> dict[str, Any]:
    """Send one job and follow it to its end; the answer. Raises Problem."""
    parts: list[tuple[str, Any]] = [("request", ("request.json", json.dumps(job.body).encode(), "application/json"))]
    for name in dict.fromkeys(named_files(job.body)):
        data = find(client, name, job.folder, options)
        if data is not None:
            parts.append((name, (Path(urlsplit(name).path).name or "file", data, "application/octet-stream")))
    headers = {"Accept": "text/event-stream"}
    if options.api_key:  # to the endpoint alone, and not to the addresses that --fetch asks
        headers["Authorization"] = f"Bearer {options.api_key}"
    while True:
        with client.stream("POST", options.url, files=parts, headers=headers) as response:
            if response.status_code == 200:
                return follow(events(response), show)
            response.read()
        wait = response.headers.get("retry-after", "")
        if response.status_code not in (429, 503) or not wait.isdecimal():
            raise Problem(_told(response))
        show.put(f"the server is busy, asking again in {wait} s")
        time.sleep(min(int(wait), _MAX_RETRY_SECONDS))


def named_files(value: Any, key: str = "") -> Iterator[str]:
    """Every text in a body that stands where a file is named, unless it holds the file itself."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name != "extra":  # the caller's own, which means nothing to the server
                yield from named_files(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from named_files(each, key)
    elif isinstance(value, str) and _NAMES_A_FILE.fullmatch(key) and "." in value and not value.startswith("data:"):
        yield value


def find(client: httpx2.Client, name: str, folder: Path, options: argparse.Namespace) -> bytes | None:
    """The bytes of a file that a job names; None where the server is to find them. Raises Problem."""
    is_address = "://" in name
    places = [] if is_address else [folder / name]
    places += [media / Path(urlsplit(name).path).name for media in options.media]
    for place in places:
        if place.is_file():
            return place.read_bytes()
    if Path(name).name == NVIDIAS_NEGATIVE_PROMPT:
        return None  # the server has it, as NVIDIA's framework has
    if not is_address:
        raise Problem(f"{name} is neither beside the file nor in --media")
    if not options.fetch:
        return None
    fetched = client.get(name, follow_redirects=True)
    if fetched.status_code != 200:
        raise Problem(f"{name} answered {fetched.status_code}")
    return fetched.content


def events(response: httpx2.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    """The named events of a stream."""
    name = ""
    for line in response.iter_lines():
        key, _, value = line.partition(": ")
        if key == "event":
            name = value
        elif key == "data" and value != "[DONE]":
            yield name, json.loads(value)


def follow(happenings: Iterator[tuple[str, dict[str, Any]]], show: "_Line") -> dict[str, Any]:
    """Show what happens until the result. Raises Problem."""
    stage, began = "", time.monotonic()
    for name, data in happenings:
        if name == "result":
            return data
        if name == "error":
            raise Problem(f"{data['error']['message']} ({data['error'].get('job_id', 'no job')})")
        if name == "accepted":
            show.put(f"waits at {data['model']}")
        elif name == "progress":
            if data["stage"] != stage:
                stage, began = data["stage"], time.monotonic()
            step, steps = data["step"], data["num_steps"]
            left = (time.monotonic() - began) / step * (steps - step) if step else 0
            show.put(stage + (f" {step}/{steps}" if steps else "") + (f", {left:.0f} s left" if left >= 1 else ""))
    raise Problem("the connection ended before the result")


def write_result(out: Path, label: str, answer: dict[str, Any]) -> Path | str:
    """The result in one file, what is known of it in another; the path of the first, or where in S3 the result is."""
    facts = {key: value for key, value in answer.items() if key not in ("video", "image")}
    (out / f"{label}.json").write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    if "s3_uri" in answer:
        return str(answer["s3_uri"])
    medium = answer.get("video") or answer.get("image")
    path = out / (label + (_ENDINGS[answer["media_type"]] if medium else ".txt"))
    path.write_bytes(base64.b64decode(medium) if medium else answer["text"].encode() + b"\n")
    return path


def _told(response: httpx2.Response) -> str:
    try:
        return f"{response.status_code}: {response.json()['error']['message']}"
    except (ValueError, KeyError, TypeError):
        return f"{response.status_code}: {response.text[:300]}"


def _distinct(labels: list[str]) -> list[str]:
    """As file names, no two the same."""
    names: list[str] = []
    for label in labels:
        name = stem = _NOT_IN_FILE_NAMES.sub("_", label).lstrip(".") or "job"
        number = 1
        while name in names:
            number += 1
            name = f"{stem}-{number}"
        names.append(name)
    return names


class _Line:
    """One line for one job: rewritten on a terminal, and only its beginning of each stage elsewhere."""

    def __init__(self, head: str) -> None:
        self._head = head
        self._stage = ""

    def put(self, text: str) -> None:
        """What happens now."""
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{self._head}: {text}")
            sys.stderr.flush()
        elif text.split(" ")[0] != self._stage:
            self._stage = text.split(" ")[0]
            sys.stderr.write(f"{self._head}: {text}\n")

    def end(self, text: str) -> None:
        """How it ended."""
        sys.stderr.write(f"\r\x1b[K{self._head}: {text}\n" if sys.stderr.isatty() else f"{self._head}: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
