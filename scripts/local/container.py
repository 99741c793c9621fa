"""An image in place of ./serve: started and stopped as the platform does, by docker or podman."""

import argparse
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_RUNTIMES = ("docker", "podman")
_STOP_SECONDS = 30  # the platform's time between SIGTERM and SIGKILL
_MODEL = "/opt/ml/model"
_CHANNELS = "/opt/ml/additional-model-data-sources"


class ContainerError(Exception):
    """What is wrong with the wish, in one sentence."""


@dataclass(frozen=True)
class Wish:
    """A container as it was asked for."""

    image: str
    runtime: str  # the path of the program
    mounts: tuple[tuple[Path, str], ...]  # a folder here, and where it lies in the container
    environment: tuple[str, ...]  # NAME=VALUE; a NAME alone has the value that it has here
    gpus: str | None
    network: str


def add_options(parser: argparse.ArgumentParser) -> None:
    """The part of the command line that is about containers."""
    group = parser.add_argument_group("a container in place of ./serve")
    group.add_argument("--container", metavar="IMAGE", help="start this image, with nothing of this environment")
    group.add_argument("--container-runtime", metavar="PROGRAM", help="by default docker, else podman")
    group.add_argument("--container-model-dir", metavar="DIR", help=f"what lies in {_MODEL} (COSMOS_MODEL_DIR)")
    group.add_argument(
        "--container-channel", metavar="NAME=DIR", action="append", default=[], help=f"what lies in {_CHANNELS}/NAME"
    )
    group.add_argument(
        "--container-env", metavar="NAME[=VALUE]", action="append", default=[], help="without a value, the one here"
    )
    group.add_argument("--container-gpus", metavar="WHICH", help="all, or what the runtime calls one; by default none")
    group.add_argument(
        "--container-network",
        choices=["bridge", "host"],
        default="bridge",
        help="bridge: its port is published on 127.0.0.1; host: it also reaches what listens there (bridge)",
    )


def wish_of(options: argparse.Namespace) -> Wish | None:
    """What the command line asks for; None without --container. Raises ContainerError."""
    asked = (options.container_runtime, options.container_model_dir, options.container_channel, options.container_env)
    if not options.container:
        if any((*asked, options.container_gpus)):
            raise ContainerError("the options --container-… go with --container")
        return None
    if options.url:
        raise ContainerError("--container starts a server, --url takes one that runs: give one of them")
    return Wish(
        image=options.container,
        runtime=_runtime(options.container_runtime),
        mounts=tuple(_mounts(options.container_model_dir or os.environ.get("COSMOS_MODEL_DIR"), options)),
        environment=tuple(map(_variable, options.container_env)),
        gpus=options.container_gpus,
        network=options.container_network,
    )


def _runtime(named: str | None) -> str:
    for name in (named,) if named else _RUNTIMES:
        if found := shutil.which(name):
            return found
    lacking = f"{named} is" if named else "neither docker nor podman is"
    raise ContainerError(f"--container: {lacking} on the PATH")


def _mounts(model_dir: str | None, options: argparse.Namespace) -> Iterator[tuple[Path, str]]:
    if model_dir:
        yield _folder(model_dir, "--container-model-dir"), _MODEL
    for channel in options.container_channel:
        name, _, folder = channel.partition("=")
        if not folder or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ContainerError(f"--container-channel: {channel} is not NAME=DIR")
        yield _folder(folder, "--container-channel"), f"{_CHANNELS}/{name}"


def _folder(path: str, option: str) -> Path:
    folder = Path(path).absolute()
    if not folder.is_dir():
        raise ContainerError(f"{option}: {path} is not a folder")
    if "," in str(folder):
        raise ContainerError(f"{option}: {path} has a comma, which --mount of the runtime does not take")
    return folder


def _variable(text: str) -> str:
    name, given, _ = text.partition("=")
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ContainerError(f"--container-env: {name or text} is no name of a variable")
    if not given and name not in os.environ:
        raise ContainerError(f"--container-env: {name} is not set here; give NAME=VALUE")
    return text


class Container(subprocess.Popen[bytes]):
    """The runtime's `run`, in the foreground: its output is the container's, and so is its exit code."""

    def __init__(self, wish: Wish, port: int, environ: Mapping[str, str]) -> None:
        self._runtime = wish.runtime
        self._name = f"cosmos-endpoint-{secrets.token_hex(4)}"
        command = [self._runtime, "run", *run_arguments(wish, self._name, port, environ)]
        super().__init__(command, start_new_session=True)  # else Ctrl-C would reach the container past `stop`

    def terminate(self) -> None:
        """SIGTERM to the container, and SIGKILL after 30 seconds. Returns when it has ended."""
        if self.poll() is not None:
            return
        stop = [self._runtime, "stop", "-t", str(_STOP_SECONDS), self._name]
        if subprocess.run(stop, stdout=subprocess.DEVNULL).returncode != 0:
            super().terminate()  # there is no container yet: its image is being fetched


def run_arguments(wish: Wish, name: str, port: int, environ: Mapping[str, str]) -> Sequence[str]:
    """Those of `run`. No --init: serve is process 1, as on the platform."""
    place = ["--network", "host"] if wish.network == "host" else ["--publish", f"127.0.0.1:{port}:{port}"]
    mounts = [f"type=bind,source={folder},target={target},readonly" for folder, target in wish.mounts]
    variables = [*wish.environment, *(f"{name}={value}" for name, value in environ.items())]
    return [
        *("--rm", "--name", name, *place),
        *(["--gpus", wish.gpus] if wish.gpus else []),
        *(word for mount in mounts for word in ("--mount", mount)),
        *(word for variable in variables for word in ("--env", variable)),
        *(wish.image, "serve"),
    ]
