"""/metrics, which the platform scrapes from the same port unless it is told not to."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conformance.container import Container, in_background, says
from tests.conformance.sections import section

pytestmark = [pytest.mark.model, section("1.14")]


def scrape(container: Container) -> list[str]:
    """The names of the families."""
    response = container.client.get("/metrics")
    if not container.is_ours and response.status_code == 404:
        pytest.skip("this container has no metrics, which is left to it")
    assert response.status_code == 200, says(response)
    assert response.headers["content-type"].startswith("text/plain")
    assert int(response.headers["content-length"]) == len(response.content)
    return [family.name for family in text_string_to_metric_families(response.text) if family.samples]


def test_prometheus_can_read_them(container: Container) -> None:
    container.invoke()
    names = scrape(container)
    assert names
    assert len(set(names)) == len(names)


def test_they_are_there_while_a_request_is_served(container: Container) -> None:
    with in_background(container, container.long):
        assert scrape(container)
