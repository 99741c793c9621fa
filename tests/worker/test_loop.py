"""What the model process does with words that are none of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from cosmos_handler.artifacts.guardrail import NO_GUARDRAILS
from cosmos_handler.engine.child import WORKER
from cosmos_handler.messages.wire import Cancelled, Failed, Ready, RunTogether, Setup, decode_from_worker, encode
from tests.fakes import REASON, job

# A model process with another session in it.
WITH_SESSION = """
import sys, torch
from multiprocessing.connection import Connection
from cosmos_handler.messages.wire import Cancelled, Ready
from cosmos_handler.worker import loop

class Session:
    present = None
    def __init__(self, setup, *, send):
        self.send = send
        send(Ready(device="cpu", plan=""))
    def run_together(self, messages, *, is_cancelled):
{}

loop.Session = Session
loop.Loop(Connection(int(sys.argv[1]))).run()
"""
BROKEN_DEVICE = """
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
"""
# Answers a job, and has a fault in the second of several, of which it has done the first.
FAULTY = """
        self.present = None
        for number, message in enumerate(messages):
            if len(messages) == 4 and number == 1:
                self.present = message.job_id
                raise OSError("no space left on device")
            self.send(Cancelled(job_id=message.job_id, stage=str(len(messages)), step=0))
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


@contextmanager
def process_with(run_together: str) -> Iterator[tuple[Connection, subprocess.Popen[bytes]]]:
    """The line to a process that is ready, whose session runs jobs so."""
    ours, theirs = Pipe()
    command = (sys.executable, "-c", WITH_SESSION.format(run_together), str(theirs.fileno()))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, pass_fds=(theirs.fileno(),), env=environment) as process:
        theirs.close()
        try:
            ours.send_bytes(encode(Setup(checkpoints=(REASON,), guardrails=NO_GUARDRAILS, device="cpu", cpu_threads=1)))
            assert isinstance(decode_from_worker(ours.recv_bytes()), Ready)
            yield ours, process
        finally:
            process.kill()


def ask_for(line: Connection, count: int) -> list[str]:
    """So many jobs together; their ids."""
    jobs = [job(job_id=f"job-{number}") for number in range(count)]
    line.send_bytes(encode(RunTogether(runs=tuple(each.message() for each in jobs))))
    return [each.id for each in jobs]


def test_a_process_whose_device_is_broken_ends_after_the_job() -> None:
    with process_with(BROKEN_DEVICE) as (line, process):
        for job_id in ask_for(line, 3):  # made together, they fail together
            failed = decode_from_worker(line.recv_bytes())
            assert isinstance(failed, Failed)
            assert (failed.job_id, failed.reason) == (job_id, "internal")
        process.wait(60)


def test_a_fault_that_comes_up_in_one_of_several_costs_that_one() -> None:
    with process_with(FAULTY) as (line, _):
        told = [decode_from_worker(line.recv_bytes()) for _ in ask_for(line, 4)]
        assert [each.job_id for each in told if isinstance(each, Failed)] == ["job-1"]
        done = [(each.job_id, each.stage) for each in told if isinstance(each, Cancelled)]
        assert done == [("job-0", "4"), ("job-2", "2"), ("job-3", "2")]  # the last two begun anew
