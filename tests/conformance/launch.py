"""Inside new namespaces: what the platform puts around a container, then the command in place of this process.

    python launch.py MODEL_DIR CHANNEL=DIR COMMAND...

Its model folder and its channel are where the platform has them, and cannot be written to; there is no network but the
loopback; the command is process 1.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def main(model_dir: str, channel: str, *command: str) -> None:
    loopback_up()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/opt"], check=True)  # noqa: S607
    name, _, folder = channel.partition("=")
    read_only(model_dir, Path("/opt/ml/model"))
    read_only(folder, Path("/opt/ml/additional-model-data-sources", name))
    os.execv(command[0], command)  # noqa: S606


def loopback_up() -> None:
    with socket.socket() as any_socket:
        asked = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | _IFF_UP))


def read_only(source: str, target: Path) -> None:
    target.mkdir(parents=True)
    subprocess.run(["mount", "--bind", source, target], check=True)  # noqa: S607
    subprocess.run(["mount", "-o", "remount,bind,ro", target], check=True)  # noqa: S607


if __name__ == "__main__":
    main(*sys.argv[1:])
