"""The task of a checkpoint's usual request: what a plan is made for before anybody has asked for anything."""

from cosmos_handler.artifacts.checkpoint import Checkpoint, GenerationLimits
from cosmos_handler.artifacts.defaults import GenerationDefaults, generation_defaults
from cosmos_handler.artifacts.drawing_defaults import drawing_defaults, reads_text
from cosmos_handler.artifacts.reasoning_defaults import reasoning_defaults
from cosmos_handler.media.clip import MediaFile
from cosmos_handler.messages.tasks import Answer, Continue, Generate, Metadata, Omni, Piece, Task, Transfer, Turn

# A reasoner's usual question is about a clip of this size, looked at for ten seconds at NVIDIA's four frames a second.
_CLIP_FRAMES, _CLIP_HEIGHT, _CLIP_WIDTH = 40, 720, 1280
_QUESTION = "What happens in this video, and what should the robot do next?"
# As long as the captions that these models were trained with.
_PROMPT = "A robotic arm picks up a red cube in a bright kitchen and places it into a box beside the sink. " * 12


def usual_task(checkpoint: Checkpoint) -> Task:
    """NVIDIA's defaults for what the checkpoint is there for, no larger than it can make."""
    if checkpoint.generation is None:
        return _answer(checkpoint)
    task = next(task for task in _FIRST if task in checkpoint.tasks)
    defaults = generation_defaults(checkpoint.family, task)
    limits = checkpoint.generation
    num_frames = min(defaults.num_frames, limits.max_frames)
    shared = {
        "prompt": _PROMPT,
        "negative_prompt": defaults.negative_prompt,
        "seed": defaults.seed,
        "guidance": defaults.guidance,
        "num_steps": defaults.num_steps,
        "num_frames": num_frames,
        "num_output_frames": num_frames,
        "height": min(defaults.size.height, limits.max_height),
        "width": min(defaults.size.width, limits.max_width),
        "fps": defaults.fps,
        "encoding": "mp4",
    }
    if checkpoint.family == "autoregressive":
        return _continue(checkpoint, defaults, limits, shared)
    if task == "transfer":
        return _transfer(checkpoint, defaults, limits, shared)
    if task == "text2video":
        return Omni.model_validate(shared | _OMNI | {"shift": defaults.shift})
    return Generate.model_validate(
        shared | {"inference_type": "text2world", "media": None, "num_latent_conditional_frames": 0}
    )


def smallest_task(checkpoint: Checkpoint) -> Task:
    """The least that could be asked of it: what does not fit then never will."""
    task = usual_task(checkpoint)
    limits = checkpoint.generation
    if limits is None:
        return task.model_copy(update={"turns": (Turn(role="user", pieces=(Piece(text=_QUESTION),)),), "max_tokens": 1})
    frames = min(limits.temporal_factor + 1, limits.max_frames)
    if isinstance(task, Continue):  # from an image, at the one size that there is
        image = {"inference_type": "image2world", "num_input_frames": 1, "num_steps": min(task.num_steps, 1)}
        return task.model_copy(update=image | {"num_frames": frames, "num_output_frames": frames})
    update: dict[str, object] = {"height": limits.size_multiple, "width": limits.size_multiple}
    if isinstance(task, Transfer):
        return task.model_copy(update=update | {"num_frames_per_chunk": frames})
    return task.model_copy(update=update | {"num_frames": frames, "num_output_frames": frames})


# Of each checkpoint that makes videos, the task that stands for it. An autoregressive one has the last alone.
_FIRST = ("text2world", "transfer", "text2video", "video2world")
_OMNI = {
    "mode": "text2video",
    "media": None,
    "condition_frames": (),
    "metadata": Metadata(
        duration=None,
        resolution=None,
        negative="none",
        inverse_duration="",
        inverse_resolution="",
        aspect_ratio=None,
    ),
    "use_system_prompt": None,
}


def _continue(
    checkpoint: Checkpoint, defaults: GenerationDefaults, limits: GenerationLimits, shared: dict[str, object]
) -> Continue:
    """The end of a clip gone on from, which of a model of short videos is one frame."""
    drawing = drawing_defaults(checkpoint)
    most_given = defaults.chunk_overlap or 1
    decoding = {} if drawing.decoder == "diffusion" else {"num_steps": 0, "guidance": 0.0}
    return Continue.model_validate(
        shared
        | decoding
        | {
            "inference_type": "video2world",
            "prompt": _PROMPT if reads_text(checkpoint) else "",
            "negative_prompt": None,
            "media": None,
            "num_input_frames": most_given if most_given < limits.max_frames else 1,
            "height": limits.max_height,
            "width": limits.max_width,
            "temperature": drawing.temperature,
            "top_p": drawing.top_p,
            "decoder": drawing.decoder,
        }
    )


def _transfer(
    checkpoint: Checkpoint, defaults: GenerationDefaults, limits: GenerationLimits, shared: dict[str, object]
) -> Transfer:
    return Transfer.model_validate(
        shared
        | {
            "control": checkpoint.controls[0],
            "control_media": None,
            "video": None,
            "preset": "medium",
            "control_weight": 1.0,
            "num_frames_per_chunk": min(defaults.num_frames, limits.max_frames),
            "num_conditional_frames": defaults.chunk_overlap or 0,
            "output_height": shared["height"],
            "output_width": shared["width"],
            "show_control": False,
            "show_input": False,
        }
    )


def _answer(checkpoint: Checkpoint) -> Answer:
    defaults = reasoning_defaults(checkpoint.family, reasoning=False)
    clip = MediaFile(
        kind="video",
        path="",  # there is none: only its size counts
        num_frames=_CLIP_FRAMES,
        height=_CLIP_HEIGHT,
        width=_CLIP_WIDTH,
        source_fps=4.0,
        source_num_frames=_CLIP_FRAMES,
        indices=tuple(range(_CLIP_FRAMES)),
    )
    question = Turn(role="user", pieces=(Piece(media=clip), Piece(text=_QUESTION)))
    return Answer(
        turns=(question,),
        max_tokens=None,
        default_max_tokens=min(defaults.max_tokens, checkpoint.context_tokens or defaults.max_tokens),
        do_sample=None,
        temperature=defaults.temperature,
        top_p=defaults.top_p,
        top_k=defaults.top_k,
        repetition_penalty=defaults.repetition_penalty,
        seed=defaults.seed,
    )
