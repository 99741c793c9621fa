"""The short-lived process that fetches what clients refer to: `python -m cosmos_handler.media.fetch`.

It has the network and the role's credentials and opens nothing that it fetches; the process that decodes has neither.
One request comes on standard input, one line of JSON goes out: an empty object, or the reason of a Refusal.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cosmos_handler.media.address import FileAddress, WebAddress, read_address
from cosmos_handler.media.bounds import restrict_this_process
from cosmos_handler.media.refusal import Refusal
from cosmos_handler.media.rules import FetchRules


@dataclass(frozen=True)
class FetchRequest:
    """Write what lies at `address` to `output`, at most `max_bytes` of it."""

    address: str
    output: str
    max_bytes: int
    rules: FetchRules

    def to_json(self) -> str:
        """One line for the process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "FetchRequest":
        """What to_json made."""
        fields: dict[str, Any] = json.loads(text)
        rules: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields["rules"].items()
        }
        return cls(fields["address"], fields["output"], fields["max_bytes"], FetchRules(**rules))


def fetch_to_file(request: FetchRequest) -> None:
    """Fetch in this process. Raises Refusal."""
    place, output, rules = read_address(request.address, request.rules), Path(request.output), request.rules
    # Only the library that is needed: boto3 costs a quarter of a second.
    if isinstance(place, WebAddress):
        from cosmos_handler.media.fetch_web import fetch_web

        fetch_web(place, output, rules, max_bytes=request.max_bytes)
    elif isinstance(place, FileAddress):
        from cosmos_handler.media.fetch_file import fetch_file

        fetch_file(place, output, rules, max_bytes=request.max_bytes)
    else:
        from cosmos_handler.media.fetch_s3 import fetch_s3

        fetch_s3(place, output, rules, max_bytes=request.max_bytes)


def main() -> None:
    """Answer the one request. A fault of ours ends in a traceback and no answer."""
    request = FetchRequest.from_json(sys.stdin.read())
    restrict_this_process(
        seconds=request.rules.fetch_seconds, memory_bytes=request.rules.memory_bytes, file_bytes=request.max_bytes
    )
    answer: dict[str, Any] = {}
    try:
        fetch_to_file(request)
    except Refusal as refusal:
        answer = {"error": refusal.reason, "problem": refusal.problem}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
