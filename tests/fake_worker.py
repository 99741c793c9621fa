"""A model process without a model: speaks the real messages over the real pipe and does what the prompt says.

Words in the prompt: "slow" takes twenty short steps, "long" thousands of them, "die" ends the process, "stand still"
does nothing for minutes, "bad" and "memory" and "broken" fail, "fault" has all fail that run together,
in the third step.
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
from cosmos_handler.messages.tasks import Continue
from cosmos_handler.messages.wire import (
    Cancel,
    Cancelled,
    Done,
    Failed,
    Fatal,
    Progress,
    Ready,
    Run,
    RunTogether,
    Setup,
    Shutdown,
    Token,
    decode_to_worker,
    encode,
)

cancelled: set[str] = set()


def prompt_of(run: Run) -> str:
    """What a job is told to do."""
    return run.task.prompt if isinstance(run.task, Continue) else run.task.turns[-1].pieces[-1].text or ""


def steps_of(run: Run) -> int:
    """How many steps it takes."""
    prompt = prompt_of(run)
    return 5000 if "long" in prompt else 20 if "slow" in prompt or "fault" in prompt else 1


def refusal(run: Run) -> Failed | None:
    """How it fails before its first step, if it does."""
    for reason, word in (("request", "bad"), ("memory", "memory"), ("internal", "broken")):
        if word in prompt_of(run):
            return Failed(job_id=run.job_id, reason=reason, problem=f"it is {word}", field="prompt", allowed="good")
    return None


def work(pipe: Connection, runs: tuple[Run, ...]) -> None:
    """One job, or several in step with each other, of which each ends by itself."""
    send = lambda message: pipe.send_bytes(encode(message))  # noqa: E731
    left = []
    for run in runs:
        if refused := refusal(run):
            send(refused)
        else:
            left.append(run)
    prompts = " ".join(prompt_of(run) for run in left)
    if "die" in prompts:
        os.kill(os.getpid(), signal.SIGKILL)
    if "stand still" in prompts:
        time.sleep(600)
    step = 0
    while left:
        step += 1
        time.sleep(0.02)
        if "fault" in prompts and step == 3:
            for run in runs:
                send(Failed(job_id=run.job_id, reason="internal", problem="an internal fault"))
            return
        for run in tuple(left):
            send(Progress(job_id=run.job_id, stage="generate", step=step, num_steps=steps_of(run)))
            send(Token(job_id=run.job_id, text=f"word{step} ", reasoning=False))
            if ending := end_of(run, step, batch_size=len(runs)):
                send(ending)
                left.remove(run)


def end_of(run: Run, step: int, *, batch_size: int) -> Cancelled | Done | None:
    """How a job ends after a step, if it does: in its prompt, from its end to its beginning."""
    if run.job_id in cancelled:
        return Cancelled(job_id=run.job_id, stage="generate", step=step)
    if step < steps_of(run):
        return None
    output = TextOutput(
        text=prompt_of(run)[::-1], reasoning=None, finish_reason="stop", prompt_tokens=1, completion_tokens=step
    )
    report = Report(
        model=run.model,
        revision="r",
        seed=run.task.seed,
        device="cpu",
        plan={"model": "resident"},
        stage_seconds={"generate": 0.02 * step},
        peak_device_bytes=None,
        guardrails=(),
        batch_size=batch_size,
    )
    return Done(job_id=run.job_id, output=output, report=report)


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
        elif isinstance(message, Run | RunTogether):
            runs = message.runs if isinstance(message, RunTogether) else (message,)
            threading.Thread(target=work, args=(pipe, runs), daemon=True).start()
        elif isinstance(message, Cancel):
            cancelled.add(message.job_id)
        elif isinstance(message, Shutdown):
            return


if __name__ == "__main__":
    main()
