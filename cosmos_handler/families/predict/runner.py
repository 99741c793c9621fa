"""Predict 2.5 in stages over diffusers' own pipeline: encode text, denoise to latents, decode, frames to uint8."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import Cosmos2_5_PredictBasePipeline
from numpy.typing import NDArray
from PIL import Image

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.families.adapters import Adapters
from cosmos_handler.families.base import Context, Family, Frames
from cosmos_handler.families.pipeline import PARTS, pipeline_over, prompt_embeddings, uint8_frames
from cosmos_handler.memory.components import PartClass
from cosmos_handler.memory.place import PlacedParts
from cosmos_handler.messages.tasks import Generate


class Predict25(Family):
    """text2world, image2world and video2world with one checkpoint."""

    PART_CLASSES: ClassVar[Mapping[str, PartClass]] = PARTS

    def __init__(self, checkpoint: Checkpoint, parts: PlacedParts) -> None:
        self._pipeline = pipeline_over(Cosmos2_5_PredictBasePipeline, checkpoint, parts)
        self._adapters = Adapters(self._pipeline, checkpoint)

    @torch.no_grad()
    def run(self, task: Generate, context: Context) -> Frames:
        """The video of a task: uint8 frames, as many as its chunks make."""
        embeds = prompt_embeddings(self._pipeline, task, context)  # the same in every chunk
        with self._adapters.switched_on(task.lora, task.lora_scale):
            return self._frames(task, context, embeds)

    def _frames(self, task: Generate, context: Context, embeds: Mapping[str, Any]) -> Frames:
        chunks: list[NDArray[np.uint8]] = []
        for number in range(task.num_chunks):
            start = _handed_on(chunks[-1], task.chunk_overlap) if chunks else _conditioning(task)
            steps_before = number * task.num_steps
            num_steps = task.num_chunks * task.num_steps
            with context.stage("denoise", ("transformer", "tokenizer"), num_steps=num_steps, from_step=steps_before):
                latents = self._denoise(task, context, embeds, start, number)
            with context.stage("decode", ("tokenizer",)):
                frames = self._decode(latents)
            if len(frames) != task.num_frames:
                raise AssertionError(f"the decoder made {len(frames)} frames of {task.num_frames}: this is a bug")
            chunks.append(frames)
        whole = np.concatenate([chunks[0], *(chunk[task.chunk_overlap :] for chunk in chunks[1:])])
        return Frames(whole, num_output_frames=task.num_output_frames, fps=task.fps)

    def _denoise(
        self, task: Generate, context: Context, embeds: Mapping[str, Any], start: Mapping[str, Any], number: int
    ) -> torch.Tensor:
        """The latents of one chunk. start: what it goes on from, as the pipeline's arguments."""

        def after_step(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            # Raising is the way out: the pipeline's own interrupt would skip the steps and still decode.
            context.step(number * task.num_steps + index + 1, task.num_chunks * task.num_steps)
            return {}

        result = self._pipeline(
            **start,
            **embeds,
            height=task.height,
            width=task.width,
            num_frames=task.num_frames,
            num_inference_steps=task.num_steps,
            guidance_scale=task.guidance,
            # A CPU generator gives the same noise on every device. Each chunk has a seed of its own, as at NVIDIA.
            generator=torch.Generator("cpu").manual_seed(task.seed + number),
            output_type="latent",
            callback_on_step_end=after_step,
        )
        latents: torch.Tensor = result.frames
        return latents

    def _decode(self, latents: torch.Tensor) -> NDArray[np.uint8]:
        """Latents [1, C, t, h, w] to frames [T, H, W, 3], as the pipeline does it."""
        pipeline = self._pipeline
        mean = pipeline.latents_mean.to(latents.device, latents.dtype)
        std = pipeline.latents_std.to(latents.device, latents.dtype)  # this one holds reciprocals
        return uint8_frames(pipeline.vae.decode((latents / std + mean).to(pipeline.vae.dtype), return_dict=False)[0])


def _conditioning(task: Generate) -> Mapping[str, Any]:
    """What the video goes on from, as the pipeline's arguments."""
    if task.media is None:
        return {}
    frames = task.media.frames()
    if task.inference_type == "image2world":
        return {"image": _at_size(frames[0], task.height, task.width)}
    return _video(frames, task.num_latent_conditional_frames)


def _handed_on(chunk: NDArray[np.uint8], overlap: int) -> Mapping[str, Any]:
    """The end of a chunk as the beginning of the next: one latent frame, and another for each four frames more."""
    return _video(chunk[-overlap:], 1 + (overlap - 1) // 4)


def _video(frames: NDArray[np.uint8], latent_frames: int) -> Mapping[str, Any]:
    return {"video": [Image.fromarray(frame) for frame in frames], "num_latent_conditional_frames": latent_frames}


def _at_size(frame: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The frame at the video's size, as the pipeline would resize it: by nearest pixel.

    The pipeline makes a whole clip of the source's size first, which for a photograph takes more than ten gigabytes.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float()
    resized = torch.nn.functional.interpolate(pixels, size=(height, width))
    array: NDArray[np.uint8] = resized[0].permute(1, 2, 0).to(torch.uint8).numpy()
    return array
