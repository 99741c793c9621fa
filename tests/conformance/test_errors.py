"""Errors: a real status, and what is wrong within the 2,048 characters that the caller sees."""

import json

import pytest

from tests.conformance.container import Container, is_refusal, says
from tests.conformance.sections import section

pytestmark = [pytest.mark.model, section("1.6")]

SEEN_CHARACTERS = 2048


def test_a_bad_request_has_a_real_status(container: Container) -> None:
    for bad in container.bad:
        assert is_refusal(response := container.invoke(bad)), says(response)


def test_what_is_wrong_is_within_what_the_caller_sees(container: Container) -> None:
    for bad in container.bad:
        response = container.invoke(bad)
        text = response.content.decode("utf-8")  # fails where it is no text
        assert any(character.isalpha() for character in text), says(response)
        assert len(text) <= SEEN_CHARACTERS, says(response)
        if response.headers["content-type"].startswith("application/json"):
            json.loads(text)


def test_a_bad_request_of_a_caller_who_wants_a_file_is_told_in_words(container: Container) -> None:
    for bad in container.bad:
        response = container.invoke(bad, Accept=container.file.accept)
        assert is_refusal(response), says(response)
        assert response.content.decode("utf-8").strip()


def test_nothing_that_the_platform_asks_leads_elsewhere(container: Container) -> None:
    """It follows no redirect."""
    asked = [("GET", "/ping"), ("POST", "/ping"), ("GET", "/execution-parameters"), ("GET", "/metrics")]
    if container.is_ours:
        asked += [("POST", path) for path in ("/invocations/", "/ping/", "/no/such/route", "/")]
    for method, path in asked:
        response = container.client.request(method, path)
        assert not response.is_redirect, says(response)
        assert response.status_code < 500, says(response)
    assert not container.invoke().is_redirect


def test_a_method_that_is_none_of_the_contract_is_refused(container: Container) -> None:
    if not container.is_ours:
        pytest.skip("what else it answers is left to it")
    for method in ("GET", "PUT", "DELETE"):
        assert is_refusal(response := container.client.request(method, "/invocations")), says(response)


def test_it_serves_on_after_errors(container: Container) -> None:
    for bad in container.bad:
        container.invoke(bad)
    response = container.invoke()
    assert response.status_code == 200, says(response)
