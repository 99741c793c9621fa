"""Messages in, events out: a thread listens, so that a cancel is heard in the middle of a run."""

import logging
import os
import queue
import threading
from multiprocessing.connection import Connection

import torch
from pydantic import BaseModel

from cosmos_handler.errors import SetupError
from cosmos_handler.messages.wire import (
    Cancel,
    Cancelled,
    Done,
    Failed,
    Fatal,
    Run,
    RunTogether,
    Setup,
    Shutdown,
    decode_to_worker,
    encode,
)
from cosmos_handler.redaction import remember, texts_in
from cosmos_handler.worker.session import Session

log = logging.getLogger(__name__)


class Loop:
    """One job after the other, until told to end."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._sending = threading.Lock()
        self._inbox: queue.SimpleQueue[Setup | Run | RunTogether] = queue.SimpleQueue()
        self._cancelled: set[str] = set()
        self._ended: set[str] = set()
        self._session: Session | None = None

    def run(self) -> None:
        """Work until the process ends: the listening thread ends it, or a set-up that failed."""
        threading.Thread(target=self._listen, name="pipe", daemon=True).start()
        while True:
            message = self._inbox.get()
            try:
                self._handle(message)
            except SetupError as error:
                self.send(Fatal(problem=str(error)))
                return
            except Exception as error:
                log.exception("unexpected fault")
                if isinstance(message, Setup):
                    self.send(Fatal(problem="the models could not be set up; the log above has the reason"))
                    return
                self._fail(message)
                if isinstance(error, torch.AcceleratorError):
                    return  # every later call on this device would fail too; a new process gets a clean one

    def send(self, message: BaseModel) -> None:
        """Tell the serving process."""
        if isinstance(message, Done | Failed | Cancelled):
            self._ended.add(message.job_id)
        with self._sending:
            self._pipe.send_bytes(encode(message))

    def _handle(self, message: Setup | Run | RunTogether) -> None:
        if isinstance(message, Setup):
            self._session = Session(message, send=self.send)
        elif self._session is None:
            raise RuntimeError("a Run came before the Setup: this is a bug")
        else:
            runs, self._ended = _runs(message), set()
            for run in runs:
                remember(text for text in texts_in(run.task.model_dump()) if not text.startswith(run.folder))
            # Earlier jobs have ended: a cancel that came too late for them is moot.
            self._cancelled &= {run.job_id for run in runs}
            self._session.run_together(runs, is_cancelled=lambda job_id: job_id in self._cancelled)

    def _fail(self, message: Run | RunTogether) -> None:
        """End the job that a fault came up in, or all those that it did; the others are begun anew."""
        left = [run for run in _runs(message) if run.job_id not in self._ended]
        present = None if self._session is None else self._session.present
        faulty = [run for run in left if run.job_id == present] or left
        for run in faulty:
            self.send(Failed(job_id=run.job_id, reason="internal", problem="an internal fault; the log has it"))
        if others := tuple(run for run in left if run not in faulty):
            self._inbox.put(RunTogether(runs=others))

    def _listen(self) -> None:
        while True:
            try:
                message = decode_to_worker(self._pipe.recv_bytes())
            except (EOFError, OSError):
                os._exit(0)  # the serving process is gone: nobody waits for what runs here
            except ValueError:
                log.exception("the serving process said something unreadable")
                os._exit(1)  # deaf, this process would keep its job and its memory for ever; a new one takes its place
            if isinstance(message, Cancel):
                self._cancelled.add(message.job_id)
            elif isinstance(message, Shutdown):
                os._exit(0)
            else:
                self._inbox.put(message)


def _runs(message: Run | RunTogether) -> tuple[Run, ...]:
    return message.runs if isinstance(message, RunTogether) else (message,)
