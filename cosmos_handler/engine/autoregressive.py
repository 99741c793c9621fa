"""From a request to an autoregressive model to its task: numbers held against the checkpoint first, then the medium."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cosmos_handler.artifacts.checkpoint import Checkpoint, GenerationLimits
from cosmos_handler.artifacts.defaults import GenerationDefaults, Size, generation_defaults, given
from cosmos_handler.artifacts.drawing_defaults import Decoder, decoders, drawing_defaults, reads_text
from cosmos_handler.engine.chunking import MAX_LONG_FRAMES, Chunks, hold_frames, makeable
from cosmos_handler.engine.conditioning import conditioning
from cosmos_handler.engine.inbox import Inbox
from cosmos_handler.engine.limits import limits_of, sides, size_of
from cosmos_handler.errors import InvalidField
from cosmos_handler.media.wanted import LastFrames, Wanted, WantedImage
from cosmos_handler.messages.tasks import Continue, Encoding
from cosmos_handler.schemas.autoregressive import ContinueRequest
from cosmos_handler.schemas.invocation import Invocation


@dataclass(frozen=True)
class _Kind:
    """A task: the medium it goes on from, and how many frames of it can be taken, the usual number first."""

    name: Literal["image2world", "video2world"]
    medium: Literal["image", "video"]
    frames: tuple[int, ...]


_KINDS = {
    "image2world": _Kind("image2world", "image", (1,)),
    "video2world": _Kind("video2world", "video", (9, 1)),
}


async def continue_task(
    invocation: Invocation, request: ContinueRequest, checkpoint: Checkpoint, inbox: Inbox, encoding: Encoding
) -> Continue:
    """The task for an autoregressive model. Raises RequestError."""
    limits = limits_of(checkpoint)
    kind = _KINDS[invocation.task]
    defaults = generation_defaults(checkpoint.family, invocation.task)
    drawing = drawing_defaults(checkpoint)
    size = _size(invocation, request, limits)
    prompt = _prompt(invocation, request, checkpoint)
    input_frames = _input_frames(invocation, request, kind, limits)
    num_output_frames = given(request.num_output_frames, min(defaults.num_frames, limits.max_frames))
    chunks = _chunks(invocation, defaults, limits, input_frames, num_output_frames)
    decoder = _decoder(invocation, request, checkpoint) or drawing.decoder
    num_steps, guidance = _decoding(invocation, request, decoder, defaults)
    wanted = _wanted(kind, input_frames)
    media = await conditioning(invocation, request, inbox, task=kind.name, either="input_path", wanted=wanted)
    return Continue(
        inference_type=kind.name,
        prompt=prompt,
        negative_prompt=None,
        media=media,
        num_input_frames=input_frames,
        temperature=given(request.temperature, drawing.temperature),
        top_p=given(request.top_p, drawing.top_p),
        decoder=decoder,
        seed=given(request.seed, defaults.seed),
        guidance=guidance,
        num_steps=num_steps,
        num_frames=chunks.num_frames,
        num_chunks=chunks.count,
        chunk_overlap=chunks.overlap,
        num_output_frames=num_output_frames,
        height=size.height,
        width=size.width,
        fps=given(request.fps, defaults.fps),
        encoding=encoding,
    )


def _size(invocation: Invocation, request: ContinueRequest, limits: GenerationLimits) -> Size:
    """The one size that there is."""
    own = Size(limits.max_height, limits.max_width)
    size = sides(invocation, request, instead_of=("resolution",))
    if size is not None:
        for side, length, only in (("height", size.height, own.height), ("width", size.width, own.width)):
            if length != only:
                problem = f"is {length}, and {invocation.model.name} makes one size"
                raise InvalidField(invocation.written(side), problem, allowed=f"{only}")
    elif request.resolution is not None and size_of(request.resolution) != own:
        problem = f'is "{request.resolution}", and {invocation.model.name} makes one size'
        raise InvalidField(invocation.written("resolution"), problem, allowed=f'"{own.height},{own.width}"')
    return own


def _prompt(invocation: Invocation, request: ContinueRequest, checkpoint: Checkpoint) -> str:
    """ "" where there is none."""
    if request.prompt and not reads_text(checkpoint):
        problem = f"is given, and {checkpoint.name} reads none"
        raise InvalidField(invocation.written("prompt"), problem, allowed="leave it out")
    return request.prompt or ""


def _input_frames(invocation: Invocation, request: ContinueRequest, kind: _Kind, limits: GenerationLimits) -> int:
    """How many frames are gone on from, of which a model of short videos can take fewer."""
    possible = [frames for frames in kind.frames if frames < limits.max_frames]
    asked = given(request.num_input_frames, possible[0])
    if asked not in possible:
        words = " or ".join(str(frames) for frames in sorted(possible))
        raise InvalidField(invocation.written("num_input_frames"), f"is {asked} with {kind.name}", allowed=words)
    return asked


def _chunks(
    invocation: Invocation, defaults: GenerationDefaults, limits: GenerationLimits, input_frames: int, asked: int
) -> Chunks:
    """The pieces that a video is made in: as few frames as do, or as often as it takes the most that can be made."""
    name = invocation.written("num_output_frames")
    if asked <= input_frames:
        # There would be nothing in it but what it goes on from.
        problem = f"is {asked}, and the first {input_frames} are those that the video goes on from"
        raise InvalidField(name, problem, allowed=f"{input_frames + 1} or more")
    overlap = given(defaults.chunk_overlap, 0)
    if asked <= limits.max_frames:
        return Chunks(makeable(asked, limits), 1, overlap)
    hold_frames(invocation, asked, MAX_LONG_FRAMES if overlap < limits.max_frames else limits.max_frames)
    # Every chunk is made whole, and what is over of the last one is dropped.
    further = asked - limits.max_frames
    return Chunks(limits.max_frames, 1 - (-further // (limits.max_frames - overlap)), overlap)


def _decoder(invocation: Invocation, request: ContinueRequest, checkpoint: Checkpoint) -> Decoder | None:
    """The decoder that is asked for; None where none is."""
    asked, field = request.decoder, "decoder"
    if request.disable_diffusion_decoder is not None:
        if asked is not None:
            problem = f"says the same as {invocation.written('decoder')}, which is given too"
            raise InvalidField(invocation.written("disable_diffusion_decoder"), problem, allowed="one of the two")
        field = "disable_diffusion_decoder"
        asked = "tokenizer" if request.disable_diffusion_decoder else "diffusion"
    if asked is not None and asked not in decoders(checkpoint):
        problem = f"asks for the diffusion decoder, which {checkpoint.name} lacks"
        allowed = "tokenizer" if field == "decoder" else "true"
        raise InvalidField(invocation.written(field), problem, allowed=allowed)
    return asked


def _decoding(
    invocation: Invocation, request: ContinueRequest, decoder: Decoder, defaults: GenerationDefaults
) -> tuple[int, float]:
    """Steps and guidance of the diffusion decoder; none of either where it is not used."""
    if decoder == "diffusion":
        return given(request.num_steps, defaults.num_steps), given(request.guidance, defaults.guidance)
    for name in ("num_steps", "guidance"):
        if getattr(request, name) is not None:
            problem = "is for the diffusion decoder, and the tokenizer decodes this video"
            raise InvalidField(invocation.written(name), problem, allowed="leave it out")
    return 0, 0.0


def _wanted(kind: _Kind, input_frames: int) -> Mapping[str, Wanted]:
    """What the video goes on from: the end of a clip."""
    return {kind.medium: WantedImage() if kind.medium == "image" else LastFrames(count=input_frames)}
