"""Which container is judged, and the section in every test's name."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conformance.container import Ask, Container
from tests.conformance.sections import SECTIONS, section_of
from tests.conftest import Server

WORDS = {"model": "reason2", "prompt": "Say something.", "max_tokens": 3, "temperature": 0}
TINY = {"prompt": "a robot", "resolution": "64,96", "num_output_frames": 5, "num_steps": 1}
LONG = {"prompt": "a robot", "resolution": "128,192", "num_output_frames": 17, "num_steps": 25}
# What comes back in a header beside a file, as large as it may be.
MUCH = {"name": "n" * 64, "extra": {"shelf": "s" * 1500}}
CHAT = {"model": "", "messages": [{"role": "user", "content": "Say something."}], "max_tokens": 3}
MALFORMED = (Ask(b"{not json"), Ask(b'{"prompt": '))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    number = section_of(list(metafunc.definition.iter_markers()))
    metafunc.parametrize("about", [number], ids=[number], indirect=True)


def pytest_itemcollected(item: pytest.Item) -> None:
    item.user_properties.append(("section", section_of(list(item.iter_markers()))))


@pytest.fixture(autouse=True)
def about(request: pytest.FixtureRequest) -> str:
    """The section. In a batch transform job errors are lines, and nothing is streamed: only the third is asked."""
    if request.config.getoption("batch") and request.param != "3":
        pytest.skip("--batch: only batch transform is asked")
    return str(request.param)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Where another container is judged: what was found, section by section."""
    if config.getoption("url") is None:
        return
    counts: dict[str, Counter[str]] = {number: Counter() for number in SECTIONS}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.getreports(outcome):
            number = dict(getattr(report, "user_properties", [])).get("section")
            if number in counts:
                counts[number][outcome] += 1
    terminalreporter.section("the contract, section by section")
    for number, title in SECTIONS.items():
        found = ", ".join(f"{count} {outcome}" for outcome, count in counts[number].items())
        terminalreporter.write_line(f"{number:5} {title}: {found or 'not run'}")


def is_elsewhere(config: pytest.Config) -> bool:
    return config.getoption("url") is not None


@pytest.fixture
def container(request: pytest.FixtureRequest) -> Iterator[Container]:
    """The one at --url, or the session's own server."""
    config = request.config
    if is_elsewhere(config):
        with httpx2.Client(
            base_url=config.getoption("url"), timeout=config.getoption("seconds"), trust_env=False
        ) as client:
            yield _other(config, client)
    else:
        server: Server = request.getfixturevalue("server")
        yield _own(server.client)


@pytest.fixture
def batch_container(request: pytest.FixtureRequest, container: Container) -> Container:
    """The same in a batch transform job."""
    if not is_elsewhere(request.config):
        return _own(request.getfixturevalue("batch_server").client)
    if not request.config.getoption("batch"):
        pytest.skip("needs a container in a batch transform job: say --batch if it is one")
    return container


@pytest.fixture
def own_server(request: pytest.FixtureRequest) -> Server:
    """A process to look into."""
    skip_elsewhere(request.config)
    server: Server = request.getfixturevalue("server")
    return server


def skip_elsewhere(config: pytest.Config) -> None:
    if is_elsewhere(config):
        pytest.skip("needs to own the process, which stands behind --url")


def _own(client: httpx2.Client) -> Container:
    tiny = json.dumps(TINY).encode()
    return Container(
        client,
        request=_json(WORDS),
        long=_json(LONG),
        file=Ask(json.dumps({**TINY, **MUCH}).encode(), accept="video/mp4"),
        streams=(Ask(tiny, accept="text/event-stream"), Ask(tiny, accept="application/jsonlines")),
        chat=json.dumps(CHAT).encode(),
        bad=(*MALFORMED, Ask(b""), _json({**TINY, "stepz": "s" * 10_000}), _json({**TINY, "x" * 10_000: 1})),
        is_ours=True,
        echo="name",
    )


def _other(config: pytest.Config, client: httpx2.Client) -> Container:
    def content(option: str, default: bytes) -> bytes:
        path = config.getoption(option)
        return default if path is None else Path(path).read_bytes()

    content_type, accept = config.getoption("content_type"), config.getoption("accept")
    request = Ask(content("request", json.dumps(WORDS).encode()), content_type, accept)
    bad = config.getoption("bad_request")
    return Container(
        client,
        request=request,
        long=request,
        file=request,
        streams=(Ask(content("stream_request", request.content), content_type, config.getoption("stream_accept")),),
        chat=content("chat_request", json.dumps(CHAT).encode()),
        bad=MALFORMED if bad is None else (*MALFORMED, Ask(Path(bad).read_bytes(), content_type, accept)),
        is_ours=False,
        echo=config.getoption("echo"),
    )


def _json(value: dict[str, Any]) -> Ask:
    return Ask(json.dumps(value).encode())
