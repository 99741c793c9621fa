"""The helper process that keeps the records of shared jobs in S3: `python -m cosmos_handler.media.shelf`.

It has the network and the role's credentials, and lives as long as the server: the first line on standard input says
which prefix, every further one is a request, and the answers go out as they come, by the number of the request.
"""

import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cosmos_handler.media.bounds import restrict_memory
from cosmos_handler.media.store_rules import StoreRules

THREADS = 8


def main() -> None:
    """Answer until standard input ends."""
    told: dict[str, Any] = json.loads(sys.stdin.readline())
    rules = StoreRules(**{**told["rules"], "buckets": tuple(told["rules"]["buckets"])})
    restrict_memory(rules.memory_bytes)
    from cosmos_handler.media.shelf_s3 import ShelfOfS3  # boto3, which the server itself never imports

    shelf = ShelfOfS3(told["bucket"], told["prefix"], rules)
    writing = threading.Lock()

    def answer(request: dict[str, Any]) -> None:
        said = {"number": request.pop("number"), **shelf.do(**request)}
        with writing:
            sys.stdout.write(json.dumps(said) + "\n")
            sys.stdout.flush()

    with ThreadPoolExecutor(THREADS) as pool:
        for line in sys.stdin:
            pool.submit(answer, json.loads(line)).add_done_callback(_end_with_fault)
        os._exit(0)  # the server is gone: nobody waits for what is still being asked


def _end_with_fault(answered: Any) -> None:
    """A fault of ours must not leave somebody waiting for an answer."""
    if error := answered.exception():
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
