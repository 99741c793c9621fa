"""From a request to a task: numbers held against the chosen checkpoint first, then media brought in and decoded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal

from cosmos_handler.artifacts.checkpoint import Checkpoint, GenerationLimits
from cosmos_handler.errors import InvalidField
from cosmos_handler.media.clip import MediaFile
from cosmos_handler.media.decoding import decode
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.media.sniff import media_kind
from cosmos_handler.media.sources import read_reference
from cosmos_handler.media.wanted import LastFrames, SampledFrames, Wanted, WantedImage
from cosmos_handler.messages import Answer, Generate, Piece, Task, Turn
from cosmos_handler.schemas.generation import GenerationRequest, InferenceType
from cosmos_handler.schemas.invocation import Invocation
from cosmos_handler.schemas.reasoning import ChatMessage, ChatRequest, ImagePiece, ReasoningRequest, Sampling, TextPiece

Encoding = Literal["mp4", "npz"]

# NVIDIA's 720p, which "resolution": "none" stands for.
_DEFAULT_HEIGHT, _DEFAULT_WIDTH = 704, 1280
# The reasoner's own words for itself when the caller has none; its task prompts go to the user's turn.
_DEFAULT_SYSTEM_PROMPT = "You are a helpful assistant."


@dataclass(frozen=True)
class Inbox:
    """Where a job's media come from and go to."""

    folder: Path
    uploads: Mapping[str, bytes]
    limits: MediaLimits
    numbers: Iterator[int]

    @classmethod
    def of(cls, invocation: Invocation, folder: Path, limits: MediaLimits) -> "Inbox":
        """The inbox of one request."""
        return cls(folder, invocation.uploads, limits, count())

    async def bring(self, reference: str, wanted: Mapping[str, Wanted], *, field: str) -> MediaFile:
        """One medium, decoded: what is wanted of it, by what it is ("image", "video").

        Raises MediaError, TooLarge or InvalidField naming the field.
        """
        data = self.uploads.get(reference)
        if data is None:
            data = read_reference(reference, field=field, limits=self.limits)
        # A medium of the wrong kind goes on as the other one: the decoder knows the sentence for it.
        plan = wanted.get(media_kind(data) or "") or next(iter(wanted.values()))
        number = next(self.numbers)
        source = self.folder / f"input-{number}"
        source.write_bytes(data)
        try:
            return await decode(source, self.folder / f"input-{number}.npy", plan, field=field, limits=self.limits)
        finally:
            source.unlink(missing_ok=True)


async def build_task(invocation: Invocation, checkpoint: Checkpoint, inbox: Inbox, encoding: Encoding) -> Task:
    """The task that a request means on this checkpoint. Raises RequestError."""
    request = invocation.request
    if isinstance(request, GenerationRequest):
        return await _generation(invocation, request, checkpoint, inbox, encoding)
    if isinstance(request, ReasoningRequest):
        return await _reasoning(invocation, request, inbox)
    return await _chat(request, inbox)


def inference_type(invocation: Invocation, request: GenerationRequest) -> InferenceType:
    """text2world, image2world or video2world, as said or as the media say. Raises InvalidField."""
    if request.inference_type is not None:
        kind = request.inference_type
    elif request.input_path is not None:
        raise InvalidField(
            "inference_type",
            f"is needed with {invocation.written('input_path')}",
            allowed="image2world or video2world",
        )
    else:
        kind = "image2world" if request.image else "video2world" if request.video else "text2world"
    wrong = {"text2world": ("input_path", "image", "video"), "image2world": ("video",), "video2world": ("image",)}[kind]
    for name in wrong:
        if getattr(request, name) is not None:
            raise InvalidField(invocation.written(name), f"does not go with {kind}", allowed="leave it out")
    return kind


async def _generation(
    invocation: Invocation, request: GenerationRequest, checkpoint: Checkpoint, inbox: Inbox, encoding: Encoding
) -> Generate:
    limits = checkpoint.generation
    if limits is None:
        raise AssertionError(f"{checkpoint.name} makes videos but has no limits: this is a bug")
    kind = inference_type(invocation, request)
    height, width = _size(invocation, request, limits)
    if request.num_output_frames > limits.max_frames:
        raise InvalidField(
            invocation.written("num_output_frames"),
            f"is {request.num_output_frames}, more than {checkpoint.name} can make",
            allowed=f"1 to {limits.max_frames}",
        )
    latent_frames = _latent_conditional_frames(invocation, request, kind)
    media = await _conditioning(invocation, request, kind, latent_frames, inbox)
    return Generate(
        inference_type=kind,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        media=media,
        num_latent_conditional_frames=latent_frames,
        seed=request.seed,
        guidance=request.guidance,
        num_steps=request.num_steps,
        num_frames=_makeable(request.num_output_frames, limits),
        num_output_frames=request.num_output_frames,
        height=height,
        width=width,
        fps=request.fps,
        encoding=encoding,
    )


def _makeable(num_frames: int, limits: GenerationLimits) -> int:
    """The next count that the VAE can make: 4k+1."""
    factor = limits.temporal_factor
    return -(-(num_frames - 1) // factor) * factor + 1


def _size(invocation: Invocation, request: GenerationRequest, limits: GenerationLimits) -> tuple[int, int]:
    if (request.height is None) != (request.width is None):
        missing = "height" if request.height is None else "width"
        raise InvalidField(missing, "is needed when the other side is given")
    if request.height is not None and request.resolution is not None:
        raise InvalidField("height", f"cannot be given together with {invocation.written('resolution')}")
    if request.resolution is not None:
        name = invocation.written("resolution")
        height, width = (int(side) for side in request.resolution.split(","))
    elif request.height is not None and request.width is not None:
        name, height, width = "", request.height, request.width
    else:
        return min(_DEFAULT_HEIGHT, limits.max_height), min(_DEFAULT_WIDTH, limits.max_width)
    step = limits.size_multiple
    for side, length, most in (("height", height, limits.max_height), ("width", width, limits.max_width)):
        if length % step or not step <= length <= most:
            raise InvalidField(
                name or side, f"has a {side} of {length}", allowed=f"multiples of {step}, {step} to {most}"
            )
    return height, width


def _latent_conditional_frames(invocation: Invocation, request: GenerationRequest, kind: InferenceType) -> int:
    possible = {"text2world": (0,), "image2world": (1,), "video2world": (2, 1)}[kind]
    if request.num_input_frames is None:
        return possible[0]
    if request.num_input_frames not in possible:
        words = " or ".join(str(number) for number in sorted(possible))
        raise InvalidField(
            invocation.written("num_input_frames"), f"is {request.num_input_frames} with {kind}", allowed=words
        )
    return request.num_input_frames


async def _conditioning(
    invocation: Invocation, request: GenerationRequest, kind: InferenceType, latent_frames: int, inbox: Inbox
) -> MediaFile | None:
    if kind == "text2world":
        return None
    name = "image" if kind == "image2world" else "video"
    reference = getattr(request, name) or request.input_path
    if not reference:
        raise InvalidField("input_path", f"is needed for {kind}", allowed=f"the {name} to continue from")
    written = name if getattr(request, name) else invocation.written("input_path")
    # The pipeline conditions on the end of a clip: one frame, then four for each further latent frame.
    wanted = WantedImage() if name == "image" else LastFrames(count=4 * (latent_frames - 1) + 1)
    return await inbox.bring(reference, {name: wanted}, field=written)


async def _reasoning(invocation: Invocation, request: ReasoningRequest, inbox: Inbox) -> Answer:
    pieces = []
    name = next((name for name in ("image", "video", "input_path") if getattr(request, name) is not None), None)
    if name is not None:
        written = invocation.written(name)
        media = await inbox.bring(getattr(request, name), _seen(name, request.fps), field=written)
        pieces.append(Piece(media=media, field=written))
    pieces.append(Piece(text=request.prompt))
    turns = [_system(request.system_prompt), Turn(role="user", pieces=tuple(pieces))]
    return _answer(request, turns, do_sample=request.do_sample)


async def _chat(request: ChatRequest, inbox: Inbox) -> Answer:
    turns = [] if request.messages[0].role == "system" else [_system(None)]
    if request.messages[-1].role != "user":
        raise InvalidField(f"messages.{len(request.messages) - 1}.role", "is not the user's", allowed="user at the end")
    for number, message in enumerate(request.messages):
        turns.append(await _turn(message, f"messages.{number}.content", request.fps, inbox))
    return _answer(request, turns, do_sample=None)


async def _turn(message: ChatMessage, field: str, fps: float, inbox: Inbox) -> Turn:
    if isinstance(message.content, str):
        return Turn(role=message.role, pieces=(Piece(text=message.content, field=field),))
    pieces = []
    for number, piece in enumerate(message.content):
        name = f"{field}.{number}.{piece.type}"
        if isinstance(piece, TextPiece):
            pieces.append(Piece(text=piece.text, field=name))
        elif message.role == "system":
            raise InvalidField(name, "stands in the system message", allowed="media in the user's messages")
        else:
            kind, url = (
                ("image", piece.image_url.url) if isinstance(piece, ImagePiece) else ("video", piece.video_url.url)
            )
            pieces.append(Piece(media=await inbox.bring(url, _seen(kind, fps), field=name), field=name))
    # Cosmos reasoners are trained with the media before the words.
    pieces.sort(key=lambda piece: piece.media is None)
    return Turn(role=message.role, pieces=tuple(pieces))


def _seen(name: str, fps: float) -> Mapping[str, Wanted]:
    """What to take of a medium, by what it turns out to be."""
    image: Mapping[str, Wanted] = {"image": WantedImage()}
    video: Mapping[str, Wanted] = {"video": SampledFrames(fps=fps)}
    return {"image": image, "video": video}.get(name, {**image, **video})


def _system(text: str | None) -> Turn:
    return Turn(role="system", pieces=(Piece(text=_DEFAULT_SYSTEM_PROMPT if text is None else text),))


def _answer(request: Sampling, turns: list[Turn], *, do_sample: bool | None) -> Answer:
    greedy = request.temperature == 0
    if greedy and do_sample:
        raise InvalidField("do_sample", "asks for sampling and temperature 0 forbids it", allowed="one of the two")
    if do_sample is None and (greedy or request.temperature or request.top_p or request.top_k):
        do_sample = not greedy  # naming a way to draw asks for drawing
    return Answer(
        turns=tuple(turns),
        max_tokens=request.max_tokens,
        do_sample=do_sample,
        temperature=None if greedy else request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        repetition_penalty=request.repetition_penalty,
        seed=request.seed,
    )
