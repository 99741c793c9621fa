"""Time and size of what comes and goes."""

import time

import pytest

from tests.conformance.container import Ask, Container, says
from tests.conformance.sections import section

pytestmark = [pytest.mark.model, section("1.4")]

# What botocore documents as the most, and what the official pages do.
INVOKE_BYTES = 6_291_456
PAGES_BYTES = 25 * 10**6


def test_an_answer_comes_in_time(container: Container, pytestconfig: pytest.Config) -> None:
    began = time.monotonic()
    response = container.invoke()
    assert response.status_code == 200, says(response)
    assert time.monotonic() - began < pytestconfig.getoption("seconds")


@pytest.mark.parametrize("size_bytes", [INVOKE_BYTES, PAGES_BYTES])
def test_a_body_of_the_full_size_is_served(container: Container, size_bytes: int) -> None:
    """Blanks after a JSON text are part of it."""
    if not container.request.is_json:
        pytest.skip("the request is no JSON, which could be made longer")
    padded = Ask(container.request.content.ljust(size_bytes), accept=container.request.accept)
    response = container.invoke(padded)
    assert response.status_code == 200, says(response)


def test_a_body_that_does_not_say_its_length_is_served(container: Container) -> None:
    content, middle = container.request.content, len(container.request.content) // 2
    headers = {"Content-Type": container.request.content_type, "Accept": container.request.accept}
    response = container.client.post(
        "/invocations", content=iter((content[:middle], content[middle:])), headers=headers
    )
    assert response.status_code == 200, says(response)
    assert "content-length" not in response.request.headers
