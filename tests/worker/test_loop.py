"""What the model process does with words that are none of its own."""

import os
import subprocess
import sys
from multiprocessing import Pipe
from pathlib import Path

from cosmos_handler.artifacts.guardrail import NO_GUARDRAILS
from cosmos_handler.engine.child import WORKER
from cosmos_handler.messages.wire import Cancelled, Failed, Ready, RunTogether, Setup, decode_from_worker, encode
from tests.fakes import REASON, job

BROKEN_DEVICE = """
import sys, torch
from multiprocessing.connection import Connection
from cosmos_handler.messages.wire import Ready
from cosmos_handler.worker import loop

class Broken:
    def __init__(self, setup, *, send):
        self.present = None
        send(Ready(device="cuda", plan=""))
    def run_together(self, messages, *, is_cancelled):
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

loop.Session = Broken
loop.Loop(Connection(int(sys.argv[1]))).run()
"""
# Answers a job, and has a fault in the second of several, of which it has done the first.
FAULTY = """
import sys
from multiprocessing.connection import Connection
from cosmos_handler.messages.wire import Cancelled, Ready
from cosmos_handler.worker import loop

class Faulty:
    def __init__(self, setup, *, send):
        self.send = send
        send(Ready(device="cpu", plan=""))
    def run_together(self, messages, *, is_cancelled):
        self.present = None
        for number, message in enumerate(messages):
            if len(messages) == 4 and number == 1:
                self.present = message.job_id
                raise OSError("no space left on device")
            self.send(Cancelled(job_id=message.job_id, stage=str(len(messages)), step=0))

loop.Session = Faulty
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
        jobs = [job(job_id=f"job-{number}") for number in range(3)]
        ours.send_bytes(encode(RunTogether(runs=tuple(each.message() for each in jobs))))
        for each in jobs:  # made together, they fail together
            failed = decode_from_worker(ours.recv_bytes())
            assert isinstance(failed, Failed)
            assert (failed.job_id, failed.reason) == (each.id, "internal")
        try:
            process.wait(60)
        finally:
            process.kill()


def test_a_fault_that_comes_up_in_one_of_several_costs_that_one() -> None:
    ours, theirs = Pipe()
    command = (sys.executable, "-c", FAULTY, str(theirs.fileno()))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, pass_fds=(theirs.fileno(),), env=environment) as process:
        theirs.close()
        try:
            ours.send_bytes(encode(Setup(checkpoints=(REASON,), guardrails=NO_GUARDRAILS, device="cpu", cpu_threads=1)))
            assert isinstance(decode_from_worker(ours.recv_bytes()), Ready)
            jobs = [job(job_id=f"job-{number}") for number in range(4)]
            ours.send_bytes(encode(RunTogether(runs=tuple(each.message() for each in jobs))))
            told = [decode_from_worker(ours.recv_bytes()) for _ in jobs]
            assert [each.job_id for each in told if isinstance(each, Failed)] == ["job-1"]
            done = [(each.job_id, each.stage) for each in told if isinstance(each, Cancelled)]
            assert done == [("job-0", "4"), ("job-2", "2"), ("job-3", "2")]  # the last two begun anew
        finally:
            process.kill()
            process.wait()
