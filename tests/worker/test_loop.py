"""What the model process does with words that are none of its own."""

import os
import subprocess
import sys
from multiprocessing import Pipe
from pathlib import Path

from cosmos_handler.artifacts.guardrail import NO_GUARDRAILS
from cosmos_handler.engine.child import WORKER
from cosmos_handler.messages.wire import Failed, Ready, Setup, decode_from_worker, encode
from tests.fakes import REASON, job

BROKEN_DEVICE = """
import sys, torch
from multiprocessing.connection import Connection
from cosmos_handler.messages.wire import Ready
from cosmos_handler.worker import loop

class Broken:
    def __init__(self, setup, *, send):
        send(Ready(device="cuda", plan=""))
    def run(self, message, *, is_cancelled):
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

loop.Session = Broken
loop.Loop(Connection(int(sys.argv[1]))).run()
"""
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


def test_a_process_whose_device_is_broken_ends_after_the_job() -> None:
    ours, theirs = Pipe()
    command = (sys.executable, "-c", BROKEN_DEVICE, str(theirs.fileno()))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, pass_fds=(theirs.fileno(),), env=environment) as process:
        theirs.close()
        ours.send_bytes(encode(Setup(checkpoints=(REASON,), guardrails=NO_GUARDRAILS, device="cuda", cpu_threads=1)))
        assert isinstance(decode_from_worker(ours.recv_bytes()), Ready)
        ours.send_bytes(encode(job().message()))
        failed = decode_from_worker(ours.recv_bytes())
        assert isinstance(failed, Failed)
        assert failed.reason == "internal"
        try:
            process.wait(60)
        finally:
            process.kill()
