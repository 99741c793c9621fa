"""What the suite is told of a container that is not this project's own."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """For `pytest tests/conformance --url ADDRESS`; without --url this project's own servers are started."""
    group = parser.getgroup("conformance", "the container that tests/conformance judges")
    group.addoption("--url", help="its address, such as http://localhost:8080")
    group.addoption("--request", metavar="FILE", help="a body that it can serve; by default a question to a reasoner")
    group.addoption("--content-type", default="application/json", help="of that body [application/json]")
    group.addoption("--accept", default="application/json", help="what is asked for with it [application/json]")
    group.addoption(
        "--bad-request", metavar="FILE", help="a body of that type that it must refuse, beside malformed JSON"
    )
    group.addoption("--stream-request", metavar="FILE", help="a body that it answers as a stream; by default the other")
    group.addoption("--stream-accept", default="text/event-stream", help="for a stream [text/event-stream]")
    group.addoption("--chat-request", metavar="FILE", help="a body for /v1/chat/completions, its model left empty")
    group.addoption(
        "--batch", action="store_true", help="it is in a batch transform job: only that is asked, in JSON Lines"
    )
    group.addoption("--echo", metavar="FIELD", help="a field of the request that its answer repeats, to see the order")
    group.addoption(
        "--concurrent", type=int, default=4, help="calls at once that must be served, as the endpoint sets [4]"
    )
    group.addoption("--seconds", type=float, default=60.0, help="an answer may take this long [60]")
