"""The stages of the autoregressive models of Cosmos 1.0: a video token by token, decoded by diffusion."""

from collections.abc import Mapping
from dataclasses import replace

from cosmos_handler.artifacts.checkpoint import Part
from cosmos_handler.memory.making import Networks, Wanted, making_stages
from cosmos_handler.memory.shapes.language import Language
from cosmos_handler.memory.sheet import StageSheet

# Their tokens are 8 frames of 16 x 16 pixels; of 33 frames 9 are given.
_TOKEN_FRAMES, _TOKEN_PIXELS, _GIVEN_FRAMES = 8, 16, 9


def autoregressive_stages(wanted: Wanted, owner: str, parts: Mapping[str, Part]) -> tuple[StageSheet, ...]:
    """The stages between the guardrails."""
    decoder = parts["diffusion_decoder"]
    networks = Networks(owner, decoder, parts["tokenizer"], parts.get("text_encoder"))
    of_decoder = {stage.name: stage for stage in making_stages(wanted, networks)}
    model = parts["ar_model"]
    speaker = Language.from_config(model.config, model.dtype)
    per_frame = (wanted.height // _TOKEN_PIXELS) * (wanted.width // _TOKEN_PIXELS)
    given = per_frame * ((_GIVEN_FRAMES - 1) // _TOKEN_FRAMES + 1)
    made = per_frame * ((wanted.num_frames - 1) // _TOKEN_FRAMES + 1) - given
    generate = StageSheet(
        "generate",
        (f"{owner}/{model.name}",),
        max(speaker.read_bytes(given), speaker.speak_bytes(given + made)),
        speaker.read_work(given) + speaker.speak_work(given, made),
        num_forwards=1 + made,
    )
    before = [of_decoder[name] for name in ("encode_text", "encode_media") if name in of_decoder]
    return (*before, generate, replace(of_decoder["denoise"], name="diffusion_decode"), of_decoder["decode"])
