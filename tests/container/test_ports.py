"""What the real server opens towards the outside: one port, whatever its processes do."""

from pathlib import Path

from tests.conftest import Server

_LISTENING = "0A"


def sockets_of(pid: int) -> set[str]:
    """The inodes of a process's sockets."""
    links = (entry.readlink().name for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink())
    return {name.removeprefix("socket:[").removesuffix("]") for name in links if name.startswith("socket:[")}


def test_nothing_but_the_one_port_is_open(server: Server) -> None:
    body = {"prompt": "a robot", "resolution": "64,64", "num_output_frames": 1, "num_steps": 1}
    assert server.invoke(body).status_code == 200
    ours = sockets_of(server.process.pid) | sockets_of(server.model_pid())
    ports = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = row.split()
            is_open = fields[3] == _LISTENING or table.startswith("udp")
            if is_open and fields[9] in ours:
                ports.add((table, int(fields[1].rpartition(":")[2], 16)))
    assert ports == {("tcp", server.client.base_url.port)}
