"""The document says of every route what there is."""

from pathlib import Path
from typing import Any

from fastapi.routing import APIRoute

from cosmos_handler.api.app import create_app
from cosmos_handler.api.errors import TABLE
from cosmos_handler.api.intake import BodyLimits
from cosmos_handler.api.openapi import _SETUP, document
from cosmos_handler.api.own_jobs import OwnJobs
from cosmos_handler.api.surroundings import Surroundings
from cosmos_handler.engine.backlog import Backlog
from cosmos_handler.engine.jobstore import JobStore, KeepLimits
from cosmos_handler.engine.repeats import Repeats
from tests.fakes import IdleEngine


def test_it_has_every_route_and_no_other(tmp_path: Path) -> None:
    engine = IdleEngine(Backlog(1), tmp_path)
    limits = KeepLimits(60, 10**6)
    app: Any = create_app(
        engine,
        OwnJobs(engine, JobStore(engine, limits)),
        Repeats(JobStore(engine, limits)),
        BodyLimits(10, 10, 10),
        Surroundings(tmp_path),
    )._app._app
    served = {
        (route.path.replace(":path", ""), method.lower())
        for router in app.routes
        for route in getattr(getattr(router, "original_router", None), "routes", [router])
        if isinstance(route, APIRoute)
        for method in route.methods
    }
    listed = {(path, method) for path, operations in document()["paths"].items() for method in operations}
    assert served == listed


def test_a_job_may_end_in_every_row_of_the_table() -> None:
    responses = document()["paths"]["/invocations"]["post"]["responses"]
    for kind, row in TABLE.items():
        if kind not in _SETUP and row.type not in ("unknown_job", "not_done"):
            assert row.type in responses[str(row.status)]["description"]


def test_every_name_of_a_field_is_in_its_schema() -> None:
    schemas = document()["components"]["schemas"]
    assert {"num_steps", "steps", "size", "resolution", "image"} <= schemas["Predict"]["properties"].keys()
    assert "prompt" in schemas["Predict"]["required"]
    assert schemas["Predict"]["additionalProperties"] is False
