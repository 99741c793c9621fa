"""What the model process does with words that are none of its own."""

import os
import subprocess
from multiprocessing import Pipe
from pathlib import Path

from cosmos_handler.engine.child import WORKER

ROOT = Path(__file__).parents[2]


def test_a_process_that_can_no_longer_hear_ends() -> None:
    ours, theirs = Pipe()
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = (*WORKER, str(theirs.fileno()))
    process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), env=environment, stderr=subprocess.PIPE)
    try:
        theirs.close()
        ours.send_bytes(b'{"type": "run", "job_id": "what a secret"}')
        _, complaints = process.communicate(timeout=120)
        assert process.returncode == 1
        assert b"unreadable" in complaints
        assert b"secret" not in complaints
    finally:
        process.kill()
        process.wait()
