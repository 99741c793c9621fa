"""The OpenAPI document against the real server: no 500, no status and no media type that it does not list."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from cosmos_handler.api.openapi import document
from tests.conftest import Server, forget_jobs

OPERATIONS = {
    operation.label: operation
    for operation in (found.ok() for found in schemathesis.openapi.from_dict(document()).get_all_operations())
}
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
# What makes a job small, under every name it has. A value that is refused anyhow stays as it is.
_FRAMES = ("num_output_frames", "num_frames", "seconds", "max_frames", "video_length")
_SMALL: dict[tuple[str, ...], Any] = {
    ("num_steps", "steps", "num_inference_steps"): 1,
    _FRAMES: 1,
    ("resolution", "size", "height", "width"): "64,64",
    ("max_tokens", "max_new_tokens", "max_completion_tokens"): 2,
}


@pytest.fixture(scope="module")
def server(shared_server: Server) -> Iterator[Server]:
    shared_server.wait_until_ready()
    yield shared_server
    forget_jobs(shared_server)


def small(body: Any) -> Any:
    """The same body, for a job that takes no time."""
    if isinstance(body, list):
        return [small(each) for each in body[:2]]
    if not isinstance(body, dict) or "samples" in body:
        return body
    body = dict(body)
    asks = "messages" in body or body.get("inference_type") == "reasoner"
    for names, value in _SMALL.items():
        there = next((name for name in names if name in body), None)
        if there is None and asks == ("max_tokens" in names):
            body[names[0]] = value
        elif there is not None and (isinstance(body[there], int | float) and body[there] > 2):
            body[there] = value
    return body


@pytest.mark.parametrize(
    ("label", "mode"),
    [
        *((label, GenerationMode.POSITIVE) for label in OPERATIONS),
        *((label, GenerationMode.NEGATIVE) for label, each in OPERATIONS.items() if each.body or each.query),
    ],
)
def test_every_answer_is_one_that_the_document_lists(server: Server, label: str, mode: GenerationMode) -> None:
    operation = OPERATIONS[label]

    @given(operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=80 if operation.body else 10, deadline=None, derandomize=True, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def ask(case: schemathesis.Case) -> None:
        case.body = small(case.body)
        case.call_and_validate(base_url=str(server.client.base_url), checks=CHECKS, timeout=60)

    ask()


def test_no_method_is_answered_that_is_not_listed(server: Server) -> None:
    for path, operations in document()["paths"].items():
        for method in {"get", "put", "post", "delete", "patch"} - operations.keys():
            response = server.client.request(method, path.replace("{", "").replace("}", ""))
            assert (response.status_code, response.headers["content-type"]) == (405, "application/json"), (method, path)
