"""Stand-ins at real seams: checkpoints without weights, tasks without media, a model process without a model."""

import sys
from dataclasses import replace
from pathlib import Path

from cosmos_handler.artifacts.checkpoint import Checkpoint, GenerationLimits, Part
from cosmos_handler.artifacts.guardrail import GuardrailWish
from cosmos_handler.artifacts.source import ModelSource
from cosmos_handler.engine.backlog import Backlog
from cosmos_handler.engine.engine import Engine
from cosmos_handler.engine.job import Job
from cosmos_handler.engine.options import EngineOptions
from cosmos_handler.engine.pool import Pool
from cosmos_handler.media.limits import MediaLimits
from cosmos_handler.memory.catalogue import catalogue_models
from cosmos_handler.memory.usual import usual_task
from cosmos_handler.messages.machine import Machine
from cosmos_handler.messages.results import Report, TextOutput, Verdict
from cosmos_handler.messages.tasks import Answer, Continue, Generate, Piece, Turn
from cosmos_handler.messages.wire import Done

FAKE_WORKER = (sys.executable, str(Path(__file__).parent / "fake_worker.py"))

PREDICT = Checkpoint(
    name="predict",
    aliases=("video-maker",),
    path="/nowhere/predict",
    family="predict2.5",
    tasks=("text2world", "image2world", "video2world"),
    revision="files-0123456789ab",
    parts=(Part("transformer", "transformer", ("transformer/model.safetensors",), 1000, "bfloat16"),),
    generation=GenerationLimits(max_frames=509, max_height=1920, max_width=1920, temporal_factor=4, size_multiple=16),
    context_tokens=None,
)
COSMOS3 = Checkpoint(
    name="omni",
    aliases=(),
    path="/nowhere/omni",
    family="cosmos3",
    tasks=("text2image", "text2video", "image2video", "video2video", "reasoner"),
    revision="files-89abcdef0123",
    parts=(
        Part("transformer", "transformer", ("transformer/model.safetensors",), 1000, "bfloat16"),
        Part("tokenizer", "vae", ("vae/model.safetensors",), 100, "bfloat16"),
        Part("vision_encoder", "vision_encoder", ("vision_encoder/model.safetensors",), 100, "bfloat16"),
    ),
    generation=GenerationLimits(max_frames=400, max_height=1360, max_width=1360, temporal_factor=4, size_multiple=16),
    context_tokens=262_144,
)
TRANSFER = Checkpoint(
    name="transfer",
    aliases=(),
    path="/nowhere/transfer",
    family="transfer2.5",
    tasks=("transfer",),
    revision="files-456789abcdef",
    parts=(
        Part("transformer", "transformer", ("transformer/model.safetensors",), 1000, "bfloat16"),
        Part("control_edge", "controlnet/edge", ("controlnet/edge/model.safetensors",), 100, "bfloat16"),
        Part("control_vis", "controlnet/blur", ("controlnet/blur/model.safetensors",), 100, "bfloat16"),
        Part("control_depth", "controlnet/depth", ("controlnet/depth/model.safetensors",), 100, "bfloat16"),
    ),
    generation=GenerationLimits(max_frames=125, max_height=1920, max_width=1920, temporal_factor=4, size_multiple=16),
    context_tokens=None,
)
# NVIDIA's 4B and 5B in what requests depend on: the latter reads text, and has the diffusion decoder.
CONTINUE = Checkpoint(
    name="continue",
    aliases=(),
    path="/nowhere/continue",
    family="autoregressive",
    tasks=("image2world", "video2world"),
    revision="files-23456789abcd",
    parts=(
        Part(
            "ar_model",
            ".",
            ("model.pt",),
            1000,
            "bfloat16",
            config={"num_hidden_layers": 16, "context_width": None, "latent_shape": [5, 40, 64]},
        ),
        Part("tokenizer", "tokenizer", ("tokenizer/model.safetensors",), 100, "bfloat16"),
    ),
    generation=GenerationLimits(max_frames=33, max_height=640, max_width=1024, temporal_factor=8, size_multiple=16),
    context_tokens=None,
)
CONTINUE_PROMPTED = replace(
    CONTINUE,
    name="prompted",
    parts=(
        Part("text_encoder", "text_encoder", ("text_encoder/model.safetensors",), 500, "bfloat16"),
        replace(CONTINUE.parts[0], config={**CONTINUE.parts[0].config, "context_width": 1024}),
        CONTINUE.parts[1],
        Part("diffusion_decoder", "diffusion_decoder", ("diffusion_decoder/model.safetensors",), 900, "bfloat16"),
        Part("decoder_tokenizer", "decoder_tokenizer", ("decoder_tokenizer/model.safetensors",), 90, "bfloat16"),
    ),
)
REASON = Checkpoint(
    name="reason",
    aliases=(),
    path="/nowhere/reason",
    family="reason2",
    tasks=("reasoner",),
    revision="files-ba9876543210",
    parts=(Part("model", ".", ("model.safetensors",), 1000, "bfloat16"),),
    generation=None,
    context_tokens=4096,
)

# NVIDIA's 4B with all that plans are made of.
_CODES = catalogue_models()["Cosmos-Predict1-4B"].checkpoint
assert _CODES is not None
CODES = _CODES

CARD = Machine(
    name="a card",
    device_bytes=24 * 2**30,
    host_bytes=64 * 2**30,
    link_bytes_per_second=2.5e10,
    disk_bytes_per_second=1e9,
    memory_bytes_per_second=1e12,
    linear_flops_per_second=1e14,
    attention_flops_per_second=5e13,
)

REPORT = Report(
    model="predict",
    revision="files-0123456789ab",
    seed=0,
    device="cpu",
    plan={"transformer": "resident"},
    stage_seconds={"denoise": 1.0},
    peak_device_bytes=1,
    guardrails=(Verdict(check="blocklist", state="passed", detail="the prompt", seconds=0.01),),
)


class IdleEngine(Engine):
    """An engine with a model and nobody to run its jobs, which keep their files in the folder."""

    checkpoints = (REASON,)

    def __init__(self, backlog: Backlog, folder: Path) -> None:
        source = ModelSource(folder=folder, hub_model_id=None, hub_revision=None, token=None, offline=True)
        options = EngineOptions(
            source=source,
            media_limits=MediaLimits(),
            guardrails=GuardrailWish(checks=()),
            work_dir=folder,
            owner="0a1b2c3d",
        )
        pool = Pool([], backlog, environment={}, cpu_threads=1)
        super().__init__(options, backlog=backlog, pool=pool, on_failure=lambda: None)


def question(prompt: str) -> Answer:
    """A task in words."""
    return Answer(
        turns=(Turn(role="user", pieces=(Piece(text=prompt),)),),
        max_tokens=8,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        repetition_penalty=None,
        seed=0,
    )


def video_task(**changes: object) -> Generate:
    """A task for a video."""
    values: dict[str, object] = {
        "inference_type": "text2world",
        "prompt": "a robot",
        "negative_prompt": None,
        "media": None,
        "num_latent_conditional_frames": 0,
        "seed": 0,
        "guidance": 7.0,
        "num_steps": 2,
        "num_frames": 5,
        "num_output_frames": 5,
        "height": 64,
        "width": 64,
        "fps": 16.0,
        "encoding": "mp4",
    }
    return Generate.model_validate(values | changes)


def continuing(prompt: str = "", *, job_id: str = "job-1", **changes: object) -> Job:
    """A job for NVIDIA's 4B of tokens, which a fake worker understands and which can be made with others."""
    task = usual_task(CODES)
    assert isinstance(task, Continue)
    task = Continue.model_validate(task.model_dump() | {"prompt": prompt} | changes)
    return Job(job_id, model=CODES.name, task=task, folder=Path("/nowhere"))


def job(prompt: str = "hello", *, job_id: str = "job-1", folder: Path = Path("/nowhere")) -> Job:
    """A job that a fake worker understands."""
    return Job(job_id, model="reason", task=question(prompt), folder=folder)


def done(job_id: str = "job-1", text: str = "an answer") -> Done:
    """A result."""
    output = TextOutput(text=text, reasoning=None, finish_reason="stop", prompt_tokens=1, completion_tokens=2)
    return Done(job_id=job_id, output=output, report=REPORT)
