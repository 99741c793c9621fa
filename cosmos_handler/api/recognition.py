"""Which face a body on `/invocations` is meant for: each is known by its shape."""

from cosmos_handler.api.answer import Face, face_of
from cosmos_handler.api.body import Body
from cosmos_handler.api.images import IMAGES, is_image_body, understand_image
from cosmos_handler.api.nim import NIM
from cosmos_handler.api.understanding import understand, understand_picture
from cosmos_handler.engine.engine import Engine
from cosmos_handler.schemas.invocation import Invocation


def understand_one(engine: Engine, body: Body) -> tuple[Invocation, Face]:
    """What a body with one job means, and whose words the answer has. Raises as understand does."""
    if is_image_body(body.one):
        return understand_image(engine, body), IMAGES
    if "video_params" in body.one:  # NIM's own shape
        return understand_picture(engine, body.one, body.uploads, strict=body.strict), NIM
    invocation = understand(engine, body.one, body.uploads, strict=body.strict)
    return invocation, face_of(invocation)
