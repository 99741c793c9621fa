"""`/v1/models`: what is loaded, in OpenAI's list."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.task_defaults import checkpoint_defaults
from cosmos_handler.engine.engine import Engine
from cosmos_handler.errors import UnknownModel


def models_router(engine: Engine) -> APIRouter:
    """The list, and one of it by name or alias."""
    router = APIRouter(prefix="/v1/models")

    @router.get("")
    async def every() -> Response:
        return JSONResponse({"object": "list", "data": [model_object(each) for each in engine.checkpoints]})

    @router.get("/{name:path}")
    async def one(name: str) -> Response:
        for checkpoint in engine.checkpoints:
            if name in (checkpoint.name, *checkpoint.aliases):
                return JSONResponse(model_object(checkpoint))
        names = ", ".join(checkpoint.name for checkpoint in engine.checkpoints)
        raise UnknownModel("model", f"there is no model {name[:100]!r}", allowed=names)

    return router


def model_object(checkpoint: Checkpoint) -> dict[str, Any]:
    """One model: OpenAI's fields, then ours. `created` is 0: a folder does not say when a model was made.

    defaults: task → what a request means where it says nothing. limits: the largest video, None for a reasoner.
    """
    limits = checkpoint.generation
    shown = {
        "id": checkpoint.name,
        "object": "model",
        "created": 0,
        "owned_by": "nvidia",
        "aliases": list(checkpoint.aliases),
        "family": checkpoint.family,
        "tasks": list(checkpoint.tasks),
        "revision": checkpoint.revision,
        "size_bytes": sum(part.size_bytes for part in checkpoint.parts),
        "context_tokens": checkpoint.context_tokens,
        "limits": asdict(limits) if limits else None,
        "defaults": checkpoint_defaults(checkpoint),
    }
    if checkpoint.controls:
        shown["controls"] = list(checkpoint.controls)
    if checkpoint.loras:
        shown["loras"] = [lora.name for lora in checkpoint.loras]
    return shown
