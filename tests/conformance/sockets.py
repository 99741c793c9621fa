"""What a process has open towards the outside."""

from pathlib import Path

_LISTENING = "0A"


def open_ports(pid: int) -> set[tuple[str, int]]:
    """Protocol and port of every socket on which it listens; none of one that has ended, which has no sockets."""
    try:
        return _open_ports(pid)
    except OSError:
        return set()


def _open_ports(pid: int) -> set[tuple[str, int]]:
    links = (entry.readlink().name for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink())
    inodes = {name.removeprefix("socket:[").removesuffix("]") for name in links if name.startswith("socket:[")}
    ports = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for row in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = row.split()
            is_open = fields[3] == _LISTENING or table.startswith("udp")
            if is_open and fields[9] in inodes:
                ports.add((table, int(fields[1].rpartition(":")[2], 16)))
    return ports
