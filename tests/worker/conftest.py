"""A model process without the process; `folder`, a module's own fixture, is what it loads."""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import setup_of


@pytest.fixture(scope="module")
def said() -> list[Any]:
    """What the model process says, the newest last."""
    return []


@pytest.fixture(scope="module")
def session(folder: Path, said: list[Any]) -> Any:
    from cosmos_handler.worker.session import Session

    return Session(setup_of(folder), send=said.append)
