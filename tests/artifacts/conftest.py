"""What the tests of the hub have in common."""

from collections.abc import Iterator

import huggingface_hub
import pytest


@pytest.fixture
def own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The library must not see this machine's proxies or offline switch, nor keep connections from test to test."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    huggingface_hub.close_session()
    yield
    huggingface_hub.close_session()
