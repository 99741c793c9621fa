"""What a short-lived process may take of the machine: bounds that it sets on itself before it sees what is foreign."""

import math
import resource
import signal

# After the time-out the process is killed from outside; should nobody be left to do it, it ends by itself.
_GRACE_SECONDS = 5
# Its own modules, three pipes, the files it reads and writes, a connection.
_MAX_OPEN_FILES = 64


def restrict_this_process(*, seconds: float, memory_bytes: int, file_bytes: int, threads: int = 1) -> None:
    """Bound memory, processor time, size of files, open files and life of this process, for good.

    threads: how many cores it may keep busy. It leaves no core dump.
    """
    whole_seconds = math.ceil(seconds)
    cpu_seconds = whole_seconds * threads
    restrict_memory(memory_bytes)
    _restrict(resource.RLIMIT_CPU, cpu_seconds, hard=cpu_seconds + _GRACE_SECONDS)
    _restrict(resource.RLIMIT_FSIZE, file_bytes)
    signal.alarm(whole_seconds + _GRACE_SECONDS)


def restrict_memory(memory_bytes: int) -> None:
    """The same for one that lives as long as the server: memory and open files. It leaves no core dump."""
    _restrict(resource.RLIMIT_AS, memory_bytes)
    _restrict(resource.RLIMIT_NOFILE, _MAX_OPEN_FILES)
    _restrict(resource.RLIMIT_CORE, 0)


def _restrict(kind: int, soft: int, *, hard: int | None = None) -> None:
    hard = soft if hard is None else hard
    _, ceiling = resource.getrlimit(kind)
    if ceiling != resource.RLIM_INFINITY:  # already restricted, and only root may raise it
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(kind, (soft, hard))
