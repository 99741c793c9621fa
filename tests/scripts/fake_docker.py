#!/usr/bin/env python3
"""What stands for `docker` or `podman` where there is none: `run` starts the real serve in place of an image.

A container has the environment it is given and nothing else, its model folder where it is mounted, and the exit code of
what runs in it. Every call is written down in $FAKE_DOCKER/calls, a line of JSON each.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONTEXT = [{"Name": "default", "Endpoints": {"docker": {"Host": "unix:///var/run/docker.sock"}}}]


def run(arguments: list[str], folder: Path) -> int:
    parser = argparse.ArgumentParser()
    for option in ("--name", "--publish", "--network", "--gpus"):
        parser.add_argument(option)
    for option in ("--env", "--mount"):
        parser.add_argument(option, action="append", default=[])
    parser.add_argument("--rm", action="store_true")
    parser.add_argument("image")
    parser.add_argument("command", nargs="*")
    told = parser.parse_args(arguments)
    if told.image == "nowhere":
        print("Unable to find image 'nowhere:latest' locally", file=sys.stderr)  # noqa: T201
        return 125
    if told.image == "large":  # its layers are still being fetched, and there is no container yet
        time.sleep(60)
    inside = {"PATH": os.environ["PATH"]}
    for each in told.env:
        name, given, value = each.partition("=")
        if given or name in os.environ:
            inside[name] = value if given else os.environ[name]
    for each in told.mount:
        source, target = (each.split(",")[place].partition("=")[2] for place in (1, 2))
        if target == "/opt/ml/model":  # which cannot be mounted without the right to mount
            inside["COSMOS_MODEL_DIR"] = source
        if target.endswith("/guardrails"):
            inside["COSMOS_GUARDRAIL_DIR"] = source
    container = subprocess.Popen([ROOT / told.command[0], *told.command], env=inside, start_new_session=True)
    (folder / told.name).write_text(str(container.pid))
    code = container.wait()
    (folder / told.name).unlink()
    return code if code >= 0 else 128 - code


def stop(arguments: list[str], folder: Path) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("-t", type=float, default=10)
    parser.add_argument("name")
    told = parser.parse_args(arguments)
    file = folder / told.name
    if not file.exists():
        print(f"No such container: {told.name}", file=sys.stderr)  # noqa: T201
        return 1
    pid = int(file.read_text())
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + told.t
    while file.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    if file.exists():
        os.kill(pid, signal.SIGKILL)
    return 0


def main() -> int:
    command, *arguments = sys.argv[1:]
    if command == "context":  # the SDK asks where docker is
        print(json.dumps(CONTEXT))  # noqa: T201
        return 0
    folder = Path(os.environ["FAKE_DOCKER"])
    with (folder / "calls").open("a") as calls:
        calls.write(json.dumps([Path(sys.argv[0]).name, command, *arguments]) + "\n")
    return {"run": run, "stop": stop}[command](arguments, folder)


if __name__ == "__main__":
    sys.exit(main())
