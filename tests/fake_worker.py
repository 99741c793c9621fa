"""A model process without a model: speaks the real messages over the real pipe and does what the prompt says.

Words in the prompt: "slow" takes twenty short steps, "long" thousands of them, "die" ends the process, "stand still"
does nothing for minutes, "bad" and "memory" and "broken" fail.
Words in a checkpoint's path: "fatal" and "crash" spoil the start.
"""

import os
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection

from cosmos_handler.messages.machine import Machine, MemoryWish
from cosmos_handler.messages.results import Report, TextOutput
from cosmos_handler.messages.wire import (
    Cancel,
    Cancelled,
    Done,
    Failed,
    Fatal,
    Progress,
    Ready,
    Run,
    Setup,
    Shutdown,
    Token,
    decode_to_worker,
    encode,
)

cancelled: set[str] = set()


def work(pipe: Connection, run: Run) -> None:
    """One job."""
    prompt = run.task.turns[-1].pieces[-1].text or ""
    send = lambda message: pipe.send_bytes(encode(message))  # noqa: E731
    for reason, word in (("request", "bad"), ("memory", "memory"), ("internal", "broken")):
        if word in prompt:
            send(Failed(job_id=run.job_id, reason=reason, problem=f"it is {word}", field="prompt", allowed="good"))
            return
    if "die" in prompt:
        os.kill(os.getpid(), signal.SIGKILL)
    if "stand still" in prompt:
        time.sleep(600)
    steps = 5000 if "long" in prompt else 20 if "slow" in prompt else 1
    for step in range(1, steps + 1):
        time.sleep(0.02)
        send(Progress(job_id=run.job_id, stage="generate", step=step, num_steps=steps))
        send(Token(job_id=run.job_id, text=f"word{step} ", reasoning=False))
        if run.job_id in cancelled:
            send(Cancelled(job_id=run.job_id, stage="generate", step=step))
            return
    output = TextOutput(
        text=prompt[::-1], reasoning=None, finish_reason="stop", prompt_tokens=1, completion_tokens=steps
    )
    report = Report(
        model=run.model,
        revision="r",
        seed=run.task.seed,
        device="cpu",
        plan={"model": "resident"},
        stage_seconds={"generate": 0.02 * steps},
        peak_device_bytes=None,
        guardrails=(),
    )
    send(Done(job_id=run.job_id, output=output, report=report))


def machine(wish: MemoryWish) -> Machine:
    """As large as the deployer says."""
    return Machine(
        name="none",
        device_bytes=wish.device_bytes or 2**40,
        host_bytes=wish.host_bytes or 2**40,
        link_bytes_per_second=1e10,
        disk_bytes_per_second=1e9,
        memory_bytes_per_second=1e11,
        linear_flops_per_second=1e13,
        attention_flops_per_second=1e13,
    )


def main() -> None:
    """Read until the pipe ends."""
    pipe = Connection(int(sys.argv[1]))
    while True:
        try:
            message = decode_to_worker(pipe.recv_bytes())
        except EOFError:
            return
        if isinstance(message, Setup):
            paths = " ".join(checkpoint.path for checkpoint in message.checkpoints)
            if "crash" in paths:
                sys.exit(9)
            ready = Ready(device="cpu", plan="none", machine=machine(message.memory))
            pipe.send_bytes(encode(Fatal(problem="spoilt") if "fatal" in paths else ready))
        elif isinstance(message, Run):
            threading.Thread(target=work, args=(pipe, message), daemon=True).start()
        elif isinstance(message, Cancel):
            cancelled.add(message.job_id)
        elif isinstance(message, Shutdown):
            return


if __name__ == "__main__":
    main()
