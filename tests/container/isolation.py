"""A real server without a network, as with SageMaker's network isolation, and a watch over what it tries to reach."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_CLONE_NEWNET = 0x40000000
_SHUT_IN = Path(__file__).with_name("shut_in.py")
_WATCHED = "trace=connect,sendto,sendmsg,sendmmsg"
# Of a line of strace: an address of the internet's families, whoever is asked there. Sockets of this machine have none.
_ADDRESS = re.compile(r'htons\((\d+)\), (?:sin_addr=inet_addr\(|[^"]*inet_pton\(AF_INET6, )"([^"]+)"')


def _runs(*command: str) -> bool:
    return shutil.which(command[0]) is not None and subprocess.run(command, capture_output=True).returncode == 0


def shut_in(mounts: Mapping[str, Path], trace: Path | None = None) -> list[str]:
    """What to start a server under. trace: where strace writes what any of its processes tries to reach.

    Skips the test where this machine does not let us.
    """
    if os.geteuid() != 0 or not _runs("unshare", "--net", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"):
        pytest.skip("namespaces of one's own need root, and a machine that gives them")
    places = [word for place, folder in mounts.items() for word in ("--at", f"{place}={folder}")]
    command = ["unshare", "--net", "--mount", sys.executable, str(_SHUT_IN), *places]
    if trace is None:
        return command
    # -D: it is our child's child, so that our child is the server
    watch = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-s", "0", "-e", _WATCHED, "-o"]
    if not _runs(*watch, os.devnull, "true"):
        pytest.skip("needs strace")
    return [*watch, str(trace), *command]


@contextmanager
def inside(pid: int) -> Iterator[Callable[..., Any]]:
    """A way to call a function in the network of a process."""

    def enter() -> None:
        with Path(f"/proc/{pid}/ns/net").open() as network:
            if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")

    # A network belongs to a thread: the test's own stays where it is.
    with ThreadPoolExecutor(1, initializer=enter) as thread:
        yield lambda function, *arguments: thread.submit(function, *arguments).result()


def reached_for(trace: Path) -> set[tuple[str, int]]:
    """The addresses and ports that were tried, of whatever network: a name is looked up at one, too."""
    return {(address, int(port)) for port, address in _ADDRESS.findall(trace.read_text())}
