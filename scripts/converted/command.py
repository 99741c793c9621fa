"""What every conversion does as a command: it finds torch, tells refusals in words, and says how long it took."""

import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cosmos_handler.errors import CheckpointError
from scripts.converted.folder import run_again_in_venv


def run_conversion(command: str, destination: Path, convert: Callable[[], None]) -> int:
    """Convert, and return the exit status: 0, or 1 where that raised CheckpointError.

    command: the name of the script, which begins anew in the project's environment where this one has no torch.
    """
    if importlib.util.find_spec("torch") is None:
        run_again_in_venv(command)
    began = time.monotonic()
    try:
        convert()
    except CheckpointError as error:
        print(f"{command.removesuffix('.py')}: {error}", file=sys.stderr)
        return 1
    print(f"done in {time.monotonic() - began:.1f} s: {destination}")
    return 0
