"""The list of routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from cosmos_handler.api.chat import chat_router
from cosmos_handler.api.door import Door
from cosmos_handler.api.errors import handle_cosmos_error, handle_http, handle_unexpected
from cosmos_handler.api.forwarded import Forwarded
from cosmos_handler.api.images import images_router
from cosmos_handler.api.intake import BodyLimits
from cosmos_handler.api.jobs import Jobs
from cosmos_handler.api.metrics import metrics_router
from cosmos_handler.api.models import models_router
from cosmos_handler.api.nim import nim_router
from cosmos_handler.api.openapi import openapi_router
from cosmos_handler.api.plan import plan_router
from cosmos_handler.api.sagemaker import sagemaker_router
from cosmos_handler.api.surroundings import Surroundings
from cosmos_handler.api.videos import videos_router
from cosmos_handler.engine.engine import Engine
from cosmos_handler.engine.repeats import Repeats
from cosmos_handler.errors import CosmosError


def create_app(engine: Engine, jobs: Jobs, repeats: Repeats, limits: BodyLimits, around: Surroundings) -> Door:
    """The application; the engine lives as long as it does."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine.start()
        jobs.start()
        yield
        await jobs.close()
        await repeats.close()
        await engine.close()

    app = FastAPI(
        title="Cosmos on SageMaker",
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # the platform follows none: to the caller a 307 would be an error without words
    )
    app.include_router(sagemaker_router(engine, repeats, around))
    app.include_router(chat_router(engine))
    app.include_router(videos_router(engine, jobs))
    app.include_router(images_router(engine))
    app.include_router(nim_router(engine))
    app.include_router(models_router(engine))
    app.include_router(plan_router(engine))
    app.include_router(metrics_router(engine))
    app.include_router(openapi_router())
    app.add_exception_handler(CosmosError, handle_cosmos_error)
    app.add_exception_handler(HTTPException, handle_http)
    app.add_exception_handler(Exception, handle_unexpected)
    forwarded = Forwarded(app, keeps_jobs=jobs.is_shared or not around.is_behind_platform)
    return Door(forwarded, limits, api_key=around.api_key)
