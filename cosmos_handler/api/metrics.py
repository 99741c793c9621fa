"""`/metrics` for Prometheus."""

from fastapi import APIRouter
from fastapi.responses import Response

from cosmos_handler.engine.engine import Engine
from cosmos_handler.engine.metrics import MEDIA_TYPE


def metrics_router(engine: Engine) -> APIRouter:
    """The one route."""
    router = APIRouter()

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(engine.metrics.text(), headers={"Content-Type": MEDIA_TYPE})

    return router
