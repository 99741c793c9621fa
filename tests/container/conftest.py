"""A server with Cosmos 3, which the tests of its two halves share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Server, make_tiny, running_server


@pytest.fixture(scope="session")
def omni_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny Cosmos 3, whole."""
    return make_tiny("cosmos3", tmp_path_factory.mktemp("omni") / "cosmos3")


@pytest.fixture(scope="session")
def omni_server(omni_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with it for the whole session."""
    with running_server(omni_folder, tmp_path_factory.mktemp("omni-server")) as running:
        running.wait_until_ready()
        yield running
