"""One table, with a row for every class that can be raised."""

import asyncio
import json
from collections.abc import Iterator

import pytest
from starlette.requests import Request

from cosmos_handler import errors
from cosmos_handler.api.errors import TABLE, handle_unexpected, response_for

ABSTRACT = {errors.RequestError, errors.Unavailable, errors.SetupError}


def tree(root: type[errors.CosmosError]) -> Iterator[type[errors.CosmosError]]:
    for child in root.__subclasses__():
        yield child
        yield from tree(child)


def test_every_class_has_its_row() -> None:
    assert set(tree(errors.CosmosError)) - ABSTRACT == set(TABLE)


def test_every_class_is_drawn_in_the_tree() -> None:
    drawing = errors.__doc__ or ""
    assert [each.__name__ for each in tree(errors.CosmosError) if f"── {each.__name__} " not in drawing + " "] == []


@pytest.mark.parametrize("kind", [kind for kind in TABLE if issubclass(kind, errors.RequestError)])
def test_what_the_client_can_mend_is_a_4xx(kind: type[errors.CosmosError]) -> None:
    assert 400 <= TABLE[kind].status < 500
    assert TABLE[kind].status != 422


def test_a_field_is_named_with_what_is_allowed() -> None:
    response = response_for(errors.InvalidField("seed", "is -1", allowed="0 to 9"), job_id="job-1")
    error = json.loads(bytes(response.body))["error"]
    assert response.status_code == 400
    assert error == {
        "type": "invalid_field",
        "message": "seed: is -1 (allowed: 0 to 9)",
        "field": "seed",
        "allowed": "0 to 9",
        "job_id": "job-1",
    }
    assert response.headers["x-cosmos-job-id"] == "job-1"


def test_unavailable_says_when_to_come_back() -> None:
    response = response_for(errors.BacklogFull("full", retry_after_seconds=7))
    assert response.status_code == 429
    assert response.headers["retry-after"] == "7"


def test_what_will_not_fit_says_first_what_would() -> None:
    table = "\n".join(f"  part {number:<3} of the plan, which is long   12.34  streamed" for number in range(100))
    error = errors.WillNotFit("it takes 30 GiB of 24", table=table, nearest={"num_output_frames": 61})
    response = response_for(error)
    body = bytes(response.body)
    assert response.status_code == 507
    assert len(body) <= 2048  # what SageMaker passes on
    told = json.loads(body)["error"]
    assert list(told) == ["type", "message", "nearest", "plan"]
    assert (told["type"], told["message"], told["nearest"]) == (
        "will_not_fit",
        "it takes 30 GiB of 24",
        {"num_output_frames": 61},
    )
    assert len(told["plan"]) > 20
    assert told["plan"] == table.splitlines()[: len(told["plan"])]


def test_what_will_not_fit_at_any_size() -> None:
    response = response_for(errors.WillNotFit("p" * 5000, table="ü" * 9000, nearest={}), job_id="job-1")
    assert len(bytes(response.body)) <= 2048
    told = json.loads(bytes(response.body))["error"]
    assert (told["nearest"], told["plan"], told["job_id"]) == (None, [], "job-1")


def test_what_takes_too_long_says_how_long() -> None:
    error = errors.OverWindow(
        "it takes 900 s", nearest={"height": 480, "width": 832}, predicted_seconds=900.04, window_seconds=60
    )
    response = response_for(error)
    assert response.status_code == 400
    told = json.loads(bytes(response.body))["error"]
    assert "asynchronous inference" in told.pop("other_ways")[0]
    assert told == {
        "type": "over_window",
        "message": "it takes 900 s",
        "nearest": {"height": 480, "width": 832},
        "predicted_seconds": 900.0,
        "window_seconds": 60,
    }


def test_what_would_wait_too_long_says_how_long_and_when_to_come_again() -> None:
    error = errors.WaitOverWindow("it waits", waiting_seconds=41.26, predicted_seconds=30, window_seconds=60)
    response = response_for(error)
    assert (response.status_code, response.headers["retry-after"]) == (429, "12")
    told = json.loads(bytes(response.body))["error"]
    assert "asynchronous inference" in told.pop("other_ways")[0]
    assert told == {
        "type": "wait_over_window",
        "message": "it waits",
        "waiting_seconds": 41.3,
        "predicted_seconds": 30,
        "window_seconds": 60,
    }


def test_what_is_meant_for_the_deployer_is_not_told() -> None:
    assert b"/opt/ml" not in bytes(response_for(errors.CheckpointError("/opt/ml/model is empty")).body)


def test_what_the_client_wrote_does_not_come_back_at_any_length() -> None:
    field, value = "k" * 10**6, "v" * 10**6
    body = bytes(response_for(errors.InvalidField(field, f"is {value}", allowed=value)).body)
    assert len(body) < 2048  # what SageMaker passes on
    error = json.loads(body)["error"]
    assert error["field"] == "k" * 199 + "…"
    assert error["message"].startswith(f"{error['field']}: is vvv")


def test_half_a_character_in_a_name_can_be_answered() -> None:
    body = bytes(response_for(errors.InvalidField("\ud800", "is given twice")).body)
    assert json.loads(body)["error"]["field"] == "\\ud800"


@pytest.mark.parametrize("state", [{"job_id": "job-7"}, {}])
def test_a_fault_of_ours_has_an_id_that_the_log_knows(state: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    request = Request({"type": "http", "path": "/invocations", "headers": [], "state": state})
    response = asyncio.run(handle_unexpected(request, OSError("/nowhere/secret")))
    error = json.loads(bytes(response.body))["error"]
    assert response.status_code == 500
    assert error["job_id"] == state.get("job_id", error["job_id"]) == response.headers["x-cosmos-job-id"]
    assert f"in job {error['job_id']}" in caplog.text
    assert "secret" not in str(error)
