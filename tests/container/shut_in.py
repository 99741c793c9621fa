"""Becomes a command in a network with nothing but itself, and with model data mounted as SageMaker mounts them.

Started under `unshare --net --mount`: python shut_in.py [--at PLACE=FOLDER]… COMMAND…
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

_SIOCSIFFLAGS = 0x8914
_UP_AND_RUNNING = 0x1 | 0x40
_OPT = Path("/opt")


def main(argv: list[str]) -> None:
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _UP_AND_RUNNING))
    places: dict[Path, str] = {}
    while argv[0] == "--at":
        place, _, folder = argv[1].partition("=")
        places[Path(place)] = folder
        argv = argv[2:]
    _replace_opt()
    for at, folder in places.items():
        at.mkdir(parents=True)
        _mount("--bind", folder, str(at))
        _mount("-o", "remount,bind,ro", str(at))
    os.execvp(argv[0], argv)  # noqa: S606 - the test's own command


def _replace_opt() -> None:
    """An /opt that holds what it held, and in which folders can be made without making them on this machine."""
    stage = Path(tempfile.mkdtemp(prefix="opt-"))
    _mount("-t", "tmpfs", "tmpfs", str(stage))
    for entry in _OPT.iterdir():
        if entry.is_dir() and entry.name != "ml":
            (stage / entry.name).mkdir()
            _mount("--rbind", str(entry), str(stage / entry.name))
    _mount("--rbind", str(stage), str(_OPT))


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)  # noqa: S607 - the machine's own


if __name__ == "__main__":
    main(sys.argv[1:])
