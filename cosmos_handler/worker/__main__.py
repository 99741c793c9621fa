"""Started by name with the file descriptor of its pipe: `python -m cosmos_handler.worker FD`."""

import os
import sys
from multiprocessing.connection import Connection

from cosmos_handler.telemetry import configure_logging


def main() -> None:
    """Serve until the pipe ends or a Shutdown comes."""
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)  # else a grandchild would keep the pipe open after our death
    configure_logging("INFO", process=f"model[{os.getpid()}]")
    # Not before: the libraries behind it keep hold of standard error as they find it.
    from cosmos_handler.worker.loop import Loop

    Loop(Connection(descriptor)).run()


if __name__ == "__main__":
    main()
