"""What the platform puts on a request, and what it takes of an answer."""

import pytest

from tests.conformance.container import ATTRIBUTES, INFERENCE_ID, Ask, Container, fresh_id, is_refusal, says
from tests.conformance.sections import section

pytestmark = [pytest.mark.model, section("1.5")]

VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
PASSED_ON = {
    "X-Amzn-SageMaker-Target-Variant": "variant-1",
    "X-Amzn-SageMaker-Target-Container-Hostname": "container-1",
    "X-Amzn-SageMaker-Inference-Component": "component-1",
    "X-Amzn-SageMaker-Enable-Explanations": "`false`",
    "X-Amzn-SageMaker-Prefix-Aware-Id": "prefix-1",
    "X-Amzn-SageMaker-Forwarded-Api": "InvokeEndpoint",
    "X-Amzn-SageMaker-Of-Tomorrow": "unknown",
    "X-Forwarded-For": "192.0.2.1",
}


@pytest.mark.parametrize(
    "attributes",
    ["tenant-17", "key=value,other=value", VISIBLE, "a" * 1024],
    ids=["word", "pairs", "every-character", "1024"],
)
def test_attributes_are_opaque_and_may_come_back(container: Container, attributes: str) -> None:
    response = container.invoke(**{ATTRIBUTES: attributes})
    assert response.status_code == 200, says(response)
    if container.is_ours or ATTRIBUTES in response.headers:
        assert response.headers[ATTRIBUTES] == attributes


def test_attributes_come_back_with_errors_too(container: Container) -> None:
    response = container.invoke(container.bad[0], **{ATTRIBUTES: "tenant-17"})
    assert is_refusal(response), says(response)
    if container.is_ours or ATTRIBUTES in response.headers:
        assert response.headers[ATTRIBUTES] == "tenant-17"


def test_headers_of_the_platform_and_unknown_ones_do_no_harm(container: Container) -> None:
    response = container.invoke(**PASSED_ON)
    assert response.status_code == 200, says(response)


def test_an_inference_id_is_at_most_64_characters(container: Container) -> None:
    response = container.invoke(**{INFERENCE_ID: fresh_id()})
    assert response.status_code == 200, says(response)


def test_the_content_type_may_be_written_in_several_ways(container: Container) -> None:
    if not container.request.is_json:
        pytest.skip("the request is no JSON")
    for spelling in ("application/json; charset=utf-8", "Application/JSON", "application/json;charset=UTF-8"):
        response = container.invoke(**{"Content-Type": spelling})
        assert response.status_code == 200, says(response)


def test_a_body_of_another_type_than_it_says_is_refused(container: Container) -> None:
    wrong = Ask(b"\x89PNG\r\n\x1a\nno picture, and no JSON", "application/json")
    assert is_refusal(response := container.invoke(wrong)), says(response)
    unknown = Ask(b"\x00\x01\x02", "application/x-nobody-knows")
    assert is_refusal(response := container.invoke(unknown)), says(response)


def test_a_byte_order_mark_does_no_harm(container: Container) -> None:
    if not container.request.is_json:
        pytest.skip("the request is no JSON")
    response = container.invoke(Ask(b"\xef\xbb\xbf" + container.request.content, accept=container.request.accept))
    assert response.status_code == 200, says(response)


@pytest.mark.parametrize("accept", ["*/*", "text/x-nobody;q=0.5, */*;q=0.1"])
def test_whoever_takes_anything_gets_something(container: Container, accept: str) -> None:
    response = container.invoke(Accept=accept)
    assert response.status_code == 200, says(response)
    assert response.headers["content-type"]


def test_what_is_asked_for_is_what_comes(container: Container) -> None:
    for ask in (container.request, container.file):
        response = container.invoke(ask)
        assert response.status_code == 200, says(response)
        wanted, got = (value.partition(";")[0].strip() for value in (ask.accept, response.headers["content-type"]))
        assert got == wanted


def test_what_nobody_can_make_is_no_fault_of_the_server(container: Container) -> None:
    response = container.invoke(Accept="model/x-nobody-makes-this")
    assert response.status_code == 200 or is_refusal(response), says(response)


def test_no_session_is_opened_or_closed_unasked(container: Container) -> None:
    answered = container.invoke().headers
    for name in ("New-Session-Id", "Closed-Session-Id", "Session-Id"):
        assert f"X-Amzn-SageMaker-{name}" not in answered
