"""One model process as the serving process sees it: started by name, spoken to through a pipe, noticed when it dies."""

import asyncio
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from pydantic import BaseModel

import cosmos_handler
from cosmos_handler.messages.wire import FromWorker, encode
from cosmos_handler.messages.wire import decode_from_worker as decode

log = logging.getLogger(__name__)

WORKER = (sys.executable, "-m", "cosmos_handler.worker")


class Child:
    """A started process. `inbox` yields its messages and, once, None when it has ended.

    inherited: descriptors that it gets under the same numbers.
    """

    def __init__(
        self, command: tuple[str, ...], environment: Mapping[str, str], *, inherited: Iterable[int] = ()
    ) -> None:
        self.inbox: asyncio.Queue[FromWorker | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._sending = asyncio.Lock()
        self._pipe, theirs = Pipe(duplex=True)
        try:
            self._process = subprocess.Popen(
                (*command, str(theirs.fileno())),
                env=_with_package(environment),
                pass_fds=(theirs.fileno(), *inherited),
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in a terminal is for the server, which lets the running job end
            )
        finally:
            theirs.close()  # else the pipe would never show that the other end is gone
        threading.Thread(target=self._read, args=(self._pipe,), name=f"child-{self.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def send(self, message: BaseModel) -> bool:
        """Hand a message over; False when the process has gone."""
        async with self._sending:  # keeps a cancel behind the run that it cancels
            try:
                await asyncio.to_thread(self._pipe.send_bytes, encode(message))
            except OSError:
                return False
        return True

    def kill(self) -> None:
        """End the process at once; harmless when it has ended."""
        self._process.kill()

    async def wait(self) -> str:
        """Wait until it has ended and is reaped; how it ended, in words."""
        code = await asyncio.to_thread(self._process.wait)
        self._pipe.close()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def _read(self, pipe: Connection) -> None:
        while True:
            try:
                message = decode(pipe.recv_bytes())
            except (EOFError, OSError):
                break
            except ValueError:
                log.exception("process %d sent something unreadable; ending it", self.pid)
                self.kill()
                break
            self._deliver(message)
        self._deliver(None)

    def _deliver(self, message: FromWorker | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self.inbox.put_nowait, message)
        except RuntimeError:  # the loop is closed: nobody is left to tell
            log.debug("process %d spoke after the end", self.pid)


def _with_package(environment: Mapping[str, str]) -> dict[str, str]:
    root = str(Path(cosmos_handler.__file__).parents[1])
    rest = environment.get("PYTHONPATH")
    return {**environment, "PYTHONPATH": f"{root}:{rest}" if rest else root}
