"""Orphans that come to us: a real process that inherits them, and children of its own whose ends are not taken."""

import subprocess
import sys

SCRIPT = """
import asyncio, ctypes, os, subprocess, sys
from pathlib import Path
from cosmos_handler.engine.reaping import reap_orphans

PR_SET_CHILD_SUBREAPER = 36

async def main():
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    reaping = asyncio.create_task(reap_orphans(look_seconds=0.2))
    orphan = int(subprocess.check_output(["sh", "-c", "sleep 0.1 >/dev/null 2>&1 & echo $!"]))
    own = [subprocess.Popen([sys.executable, "-c", f"raise SystemExit({code})"]) for code in (3, 4)]
    codes = [await asyncio.to_thread(each.wait) for each in own]
    other = await asyncio.create_subprocess_exec("sh", "-c", "exit 5")
    codes.append(await other.wait())
    was_there = Path(f"/proc/{orphan}").exists()
    async with asyncio.timeout(20):
        while Path(f"/proc/{orphan}").exists():
            await asyncio.sleep(0.05)
    print(codes, was_there, reaping.done())

asyncio.run(main())
"""


def test_orphans_are_waited_for_and_nobody_elses_children() -> None:
    shown = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True)
    assert shown.stdout.split("] ")[0] + "]" == "[3, 4, 5]"
    assert shown.stdout.rstrip().endswith("False")  # it goes on
