"""The short-lived process that stores a result in S3: `python -m cosmos_handler.media.store`.

It has the network and the role's credentials. One request comes on standard input, one line of JSON goes out: what was
stored, or what S3 said against it.
"""

import json
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

from cosmos_handler.media.bounds import restrict_this_process
from cosmos_handler.media.store_request import NotStored, StoreRequest

_MAX_FILE_BYTES = 2**20  # it writes none but what boto3 may keep of the role's credentials


def main() -> None:
    """Answer the one request. A fault of ours ends in a traceback and no answer."""
    request = StoreRequest.from_json(sys.stdin.read())
    restrict_this_process(
        seconds=request.seconds,
        memory_bytes=request.rules.memory_bytes,
        file_bytes=_MAX_FILE_BYTES,
        threads=request.rules.threads,
    )
    signal.signal(signal.SIGALRM, _too_late)  # so that parts which are there already are taken back
    from cosmos_handler.media.store_s3 import store, try_out  # boto3, which the server itself never imports

    answer: dict[str, Any] = {}
    try:
        answer = try_out(request) if request.path is None else store(request)
    except NotStored as error:
        answer = {"fault": error.fault, "problem": error.problem}
    sys.stdout.write(json.dumps(answer) + "\n")


def _too_late(number: int, frame: FrameType | None) -> NoReturn:
    raise NotStored("server", "it takes too long")


if __name__ == "__main__":
    main()
