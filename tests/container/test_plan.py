"""`/plan` of a real server: what a request would take, without running it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Server, data_url, forget_jobs, running_server
from tests.container.media import png

pytestmark = pytest.mark.model

SMALL = {"inference_type": "text2world", "prompt": "a robot", "num_output_frames": 5, "num_steps": 1}
QUESTION = {"model_mode": "reasoner", "prompt": "What is a robot?", "max_tokens": 2}


def plan(server: Server, **body: Any) -> dict[str, Any]:
    response = server.client.post("/plan", json={**SMALL, "resolution": "64,64", **body})
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    return told


def stages(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {stage["stage"]: stage for stage in told["stages"]}


def test_the_usual_request_of_every_model(server: Server) -> None:
    plans = server.client.get("/plan").json()["plans"]
    assert [each["model"] for each in plans] == ["predict2.5", "reason2"]
    predict, reason = plans
    assert {"encode_text", "denoise", "decode"} <= stages(predict).keys()
    assert "generate" in stages(reason)
    for each in plans:
        assert {row["placement"] for row in each["parts"]} <= {"resident", "swapped", "streamed", "disk"}
        assert each["peak_bytes"] == max(stage["peak_bytes"] for stage in each["stages"])
        assert each["peak_bytes"] <= each["machine"]["device_bytes"]
        assert (each["offload"], each["decode"]) == ("auto", "exact")


def test_one_model_s(server: Server) -> None:
    (only,) = server.client.get("/plan", params={"model": "reason2"}).json()["plans"]
    assert only["model"] == "reason2"
    refused = server.client.get("/plan", params={"model": "m" * 5000})
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "unknown_model")
    assert len(refused.content) < 2048


def test_a_table_for_a_person(server: Server) -> None:
    text = {"Accept": "text/plain"}
    every = server.client.get("/plan", headers=text)
    assert every.headers["content-type"] == "text/plain; charset=utf-8"
    assert every.text.startswith("predict2.5, its usual request:\n")
    assert "reason2, its usual request:" in every.text
    one = server.client.post("/plan", json={**SMALL, "resolution": "64,64"}, headers=text)
    assert one.text.startswith("predict2.5, text2world:\n")
    assert "denoise" in one.text
    assert server.client.get("/plan", headers={"Accept": "image/png"}).status_code == 406


def test_a_larger_request_takes_more(server: Server) -> None:
    small, large = plan(server), plan(server, num_output_frames=13, resolution="128,128")
    assert (small["model"], small["task"]) == ("predict2.5", "text2world")
    for name in ("denoise", "decode"):
        assert stages(small)[name]["working_bytes"] < stages(large)[name]["working_bytes"]
    assert plan(server, num_steps=30)["seconds"] > small["seconds"]


def test_media_are_looked_at_and_nothing_is_left_or_run(server: Server) -> None:
    folder = server.log_path.parent
    before, jobs = set(folder.iterdir()), server.client.get("/metrics").text.split("# HELP cosmos_stage_seconds")[0]
    told = plan(server, inference_type="image2world", input_path=data_url(png(), "image/png"))
    assert told["task"] == "image2world"
    assert "encode_media" in stages(told)
    assert set(folder.iterdir()) == before
    assert server.client.get("/metrics").text.split("# HELP cosmos_stage_seconds")[0] == jobs


def test_every_shape_of_a_body_has_its_plan(server: Server) -> None:
    asked = server.client.post("/plan", json=QUESTION).json()
    assert (asked["model"], asked["task"]) == ("reason2", "reasoner")
    chat = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
    assert server.client.post("/plan", json=chat).json()["model"] == "reason2"
    nim = {"prompt": "a robot", "video_params": {"height": 64, "width": 64, "frames_count": 5}}
    assert server.client.post("/plan", json=nim).json()["task"] == "text2world"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({**SMALL, "stepz": 1}, "invalid_field"),
        ([SMALL], "invalid_body"),
        ({"samples": {"one": SMALL}}, "invalid_body"),
        ({**SMALL, "model": "none"}, "unknown_model"),
        ({**SMALL, "inference_type": "image2world", "image": "data:image/png;base64,AAAA"}, "invalid_media"),
    ],
)
def test_what_could_not_run_has_no_plan(server: Server, body: Any, kind: str) -> None:
    response = server.client.post("/plan", json=body)
    assert (response.status_code, response.json()["error"]["type"]) == (400, kind)


def test_the_answer_says_what_the_plan_said(server: Server) -> None:
    prompt = "a robot in a hall that nobody has asked for yet"  # whose embeddings are not there already
    told = plan(server, prompt=prompt)
    answer = server.invoke({**SMALL, "resolution": "64,64", "prompt": prompt}).json()
    placements = {row["part"]: row["placement"] for row in told["parts"]}
    assert answer["plan"].items() <= placements.items()
    assert (answer["offload"], answer["decode"]) == (told["offload"], told["decode"])
    assert (answer["predicted_peak_bytes"], answer["predicted_seconds"]) == (
        told["peak_bytes"],
        pytest.approx(told["seconds"], abs=1e-3),
    )
    # What a stage is done in two parts for is told once; what is done once and kept is not done again.
    peaks = {
        stage["stage"]: stage["peak_bytes"] for stage in sorted(told["stages"], key=lambda stage: stage["peak_bytes"])
    }
    predicted = {stage["stage"]: stage["predicted_peak_bytes"] for stage in answer["stages"]}
    assert {"encode_text", "denoise", "decode", "guard_frames"} <= predicted.keys()
    assert {name: peak for name, peak in predicted.items() if peak is not None}.items() <= peaks.items()


LONG = {"inference_type": "text2world", "prompt": "a robot", "num_output_frames": 77, "num_steps": 35}
SIZE = {"resolution": "704,1280"}


@pytest.fixture(scope="module")
def narrow(tiny_models: Path, shared_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with room for the usual request and little more, and no time for it."""
    shared_server.wait_until_ready()
    peak = plan(shared_server, **LONG, **SIZE)["peak_bytes"]
    limits = {"COSMOS_DEVICE_MEMORY_BYTES": str(peak * 11 // 10), "COSMOS_REQUEST_WINDOW_SECONDS": "1"}
    with running_server(tiny_models / "predict2.5", tmp_path_factory.mktemp("narrow"), **limits) as server:
        server.wait_until_ready()
        yield server


def refused(server: Server, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
    response = server.client.post(path, json={**LONG, **SIZE, **body}, headers={"Accept": "application/json"})
    assert len(response.content) <= 2048
    error: dict[str, Any] = response.json()["error"]
    return response.status_code, error


@pytest.mark.parametrize("path", ["/invocations", "/plan", "/v1/videos"])
def test_what_will_not_fit_is_refused_with_what_would(narrow: Server, path: str) -> None:
    status, error = refused(narrow, path, num_output_frames=125)
    assert (status, error["type"]) == (507, "will_not_fit")
    assert 5 <= error["nearest"]["num_output_frames"] < 125
    assert any("denoise" in line for line in error["plan"])
    if path != "/v1/videos":  # where nobody waits
        status, error = refused(narrow, path, **error["nearest"])  # fits, and takes too long
        assert error["type"] == "over_window"


def test_a_job_that_nobody_waits_for_may_take_its_time(narrow: Server) -> None:
    body = {"prompt": "a robot", "resolution": "240,416", "num_output_frames": 17, "num_steps": 200}
    assert narrow.invoke(body).json()["error"]["type"] == "over_window"
    job = narrow.client.post("/v1/videos", json=body)
    assert job.status_code == 202, job.text
    forget_jobs(narrow)


@pytest.mark.parametrize("path", ["/invocations", "/plan"])
def test_what_takes_too_long_is_refused_with_what_would_not(narrow: Server, path: str) -> None:
    status, error = refused(narrow, path)
    assert (status, error["type"], error["window_seconds"]) == (400, "over_window", 1)
    assert error["predicted_seconds"] > 1
    assert error["nearest"].keys() <= {"num_output_frames", "resolution"}
    nearest = {**LONG, **error["nearest"]}
    planned = narrow.client.post("/plan", json=nearest if "resolution" in nearest else {**nearest, **SIZE})
    assert planned.status_code == 200, planned.text
    assert planned.json()["seconds"] <= 1


def test_a_small_request_is_done_there(narrow: Server) -> None:
    answer = narrow.invoke({**SMALL, "resolution": "64,64"})
    assert answer.status_code == 200, answer.text
    counted = narrow.client.get("/metrics").text
    assert 'cosmos_jobs_total{model="predict2.5",outcome="completed"} 1.0' in counted


def test_what_would_be_done_in_time_alone_is_refused_behind_another(narrow: Server) -> None:
    _, error = refused(narrow, "/plan")
    possible = {**SIZE, **LONG, **error["nearest"]}
    # Jobs that are kept may wait; whoever waits for an answer has them before him.
    for _ in range(3):
        before = narrow.client.post("/v1/videos", json=possible)
        assert before.status_code == 202, before.text
    late = narrow.client.post("/invocations", json=possible)
    assert (late.status_code, late.json()["error"]["type"]) == (429, "wait_over_window")
    told = late.json()["error"]
    assert told["predicted_seconds"] <= 1 < told["waiting_seconds"] + told["predicted_seconds"]
    assert "asynchronous" in told["other_ways"][0]
    assert int(late.headers["Retry-After"]) >= 1
    assert narrow.client.post("/plan", json=possible).status_code == 200  # is of the request alone
    forget_jobs(narrow)
    assert 'outcome="wait_over_window"} 1.0' in narrow.client.get("/metrics").text


def test_the_usual_plan_that_there_is_no_time_for_stands_as_its_refusal(narrow: Server) -> None:
    (only,) = narrow.client.get("/plan").json()["plans"]
    assert (only["model"], only["error"]["type"]) == ("predict2.5", "over_window")
    text = narrow.client.get("/plan", headers={"Accept": "text/plain"}).text
    assert "answers must be there within 1 s" in text
