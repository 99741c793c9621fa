"""diffusers' own ways of offloading, as its documentation has them, over the same weights in the same pinned memory."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers import Cosmos2_5_PredictBasePipeline
from diffusers.hooks import apply_group_offloading

from cosmos_handler.families.pipeline import pipeline_over
from scripts.benching.house import House
from scripts.benching.meters import AllocatorPeak, Clock, settle, timed
from scripts.benching.outcome import Taken
from scripts.benching.predict1 import AllowsAll, text_to_world_pipeline


def _model(pipeline: Any, device: torch.device) -> None:
    pipeline.enable_model_cpu_offload(device=device)


def _sequential(pipeline: Any, device: torch.device) -> None:
    pipeline.enable_sequential_cpu_offload(device=device)


def _group(pipeline: Any, device: torch.device) -> None:
    """The transformer block by block on a stream of its own; the others, which are no rows of blocks, leaf by leaf."""
    on_gpu = device.type == "cuda"  # a CPU has no streams
    apply_group_offloading(
        pipeline.transformer,
        onload_device=device,
        offload_type="block_level",
        num_blocks_per_group=1,
        use_stream=on_gpu,
        non_blocking=on_gpu,
    )
    for other in (pipeline.text_encoder, pipeline.vae):
        apply_group_offloading(other, onload_device=device, offload_type="leaf_level")


RIVALS: Mapping[str, Callable[[Any, torch.device], None]] = {
    "diffusers group": _group,
    "diffusers model": _model,
    "diffusers sequential": _sequential,
}


def measure_rival(house: House, name: str) -> Taken:
    """One run of a stock pipeline, video decoded and on the host. Raises whatever the library does."""
    device, task = house.device, house.subject.task
    pipeline = _pipeline(house)
    RIVALS[name](pipeline, device)
    settle(device)
    clock, peak = Clock(device), AllocatorPeak(device)
    denoise: list[int | None] = []

    def after_step(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        clock.on_progress("denoise", index + 1, task.num_steps)
        if index + 1 == task.num_steps:
            denoise.append(peak.read_bytes())
            peak.reset()
        return {}

    peak.reset()
    began = time.perf_counter()
    run = {"fps": int(task.fps)} if house.subject.checkpoint is None else {}
    seconds = timed(
        lambda: pipeline(
            prompt=task.prompt,
            negative_prompt=task.negative_prompt,
            height=task.height,
            width=task.width,
            num_frames=task.num_frames,
            num_inference_steps=task.num_steps,
            guidance_scale=task.guidance,
            generator=torch.Generator("cpu").manual_seed(task.seed),
            output_type="np",
            callback_on_step_end=after_step,
            **run,
        ),
        device,
    )
    clock.on_progress("done", 0, 0)
    stages = {
        "until decode": (denoise[0], clock.step_ends[-1] - began),
        "decode": (peak.read_bytes(), began + seconds - clock.step_ends[-1]),
    }
    peaks = [most for most, _ in stages.values() if most is not None]
    return Taken(seconds, clock.seconds_per_step(), max(peaks, default=None), clock.driver_bytes, stages)


def _pipeline(house: House) -> Any:
    modules: Any = house.modules()
    if house.subject.checkpoint is None:
        return text_to_world_pipeline(modules)
    pipeline = pipeline_over(Cosmos2_5_PredictBasePipeline, house.subject.checkpoint, modules)
    pipeline.register_modules(safety_checker=AllowsAll())
    return pipeline
