"""A hub that does not answer costs a bounded time, whatever it is that hangs, and then one line or the cache."""

import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cosmos_handler.artifacts.locate import locate
from cosmos_handler.artifacts.source import ModelSource
from cosmos_handler.errors import CheckpointError
from tests.artifacts.hub import COMMIT, Hub, serving
from tests.artifacts.miniature import write_reasoner

pytestmark = pytest.mark.usefixtures("own_environment")

MODEL_ID = "org/model"
SECONDS = 0.5


class HalfSilent(Hub):
    """It answers the first question, and no other."""

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        if "/revision/" in path:
            self.may_send.clear()
            self.may_send.wait(60)
        return super().answer(path)


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of one who takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def source_of(cache: Path, endpoint: str) -> ModelSource:
    return ModelSource(
        folder=None,
        hub_model_id=MODEL_ID,
        hub_revision=None,
        token=None,
        offline=False,
        hub_seconds=SECONDS,
        cache_dir=cache,
        endpoint=endpoint,
    )


def fault_of(source: ModelSource) -> str:
    with pytest.raises(CheckpointError) as caught:
        locate(source)
    said = str(caught.value)
    assert "\n" not in said
    return said


def test_one_who_never_answers(tmp_path: Path, silent: str) -> None:
    said = fault_of(source_of(tmp_path, silent))
    assert said.startswith("org/model (revision main) cannot be fetched: the hub did not answer within 0.5 s")
    assert "COSMOS_HUB_SECONDS" in said
    assert said.endswith("put its files into /opt/ml/model and unset HF_MODEL_ID")


def test_a_proxy_that_never_answers(tmp_path: Path, silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", silent)
    said = fault_of(source_of(tmp_path, "https://hub.test"))
    assert "the hub did not answer within 0.5 s" in said or "the hub cannot be reached" in said


def test_a_name_that_no_resolver_answers_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        answered.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        assert "the hub did not answer within 0.5 s" in fault_of(source_of(tmp_path, "http://hub.test"))
    finally:
        answered.set()


def test_one_who_falls_silent_after_the_first_answer(tmp_path: Path) -> None:
    with serving(HalfSilent(MODEL_ID, "main", {"config.json": b"{}"})) as hub:
        said = fault_of(source_of(tmp_path, hub.endpoint))
    assert "cannot be fetched: the hub cannot be reached (ReadTimeout). Without internet" in said


def test_what_the_cache_holds_whole_is_served_all_the_same(
    tmp_path: Path, silent: str, caplog: pytest.LogCaptureFixture
) -> None:
    repository = tmp_path / "models--org--model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    snapshot = write_reasoner(repository / "snapshots" / COMMIT)
    located = locate(source_of(tmp_path, silent))
    assert (located.folder, located.revision) == (snapshot, COMMIT)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "did not answer within 0.5 s" in warning
    assert "what the hub's cache on this machine holds" in warning
