"""As process 1 of a container the server inherits orphans; they are waited for here, so that none stays a zombie."""

import asyncio
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

_LOOK_SECONDS = 10.0


async def reap_orphans(*, look_seconds: float = _LOOK_SECONDS) -> None:
    """For ever. A child of our own is waited for the moment it ends: who is dead in two looks running has nobody."""
    dead_before: set[int] = set()
    while True:
        dead = await asyncio.to_thread(_dead_children)
        for pid in dead & dead_before:
            _wait_for(pid)
        dead_before = dead
        await asyncio.sleep(look_seconds)


def _dead_children() -> set[int]:
    dead = set()
    for listed in Path("/proc/self/task").glob("*/children"):
        try:
            pids = listed.read_text().split()
        except OSError:  # the thread has ended
            continue
        for pid in pids:
            try:
                stat = Path(f"/proc/{pid}/stat").read_text()
            except OSError:
                continue
            if stat.rpartition(")")[2].split()[0] == "Z":  # the name before it may hold anything
                dead.add(int(pid))
    return dead


def _wait_for(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # somebody waited for it after all
        return
    log.info("process %d, an orphan, has ended", pid)
