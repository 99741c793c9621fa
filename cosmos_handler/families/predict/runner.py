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
from cosmos_handler.families.vae import BlankEncodings, StagedVae, decode_in_pieces, put_into, standing_in
from cosmos_handler.memory.components import PartClass
from cosmos_handler.memory.place import PlacedParts
from cosmos_handler.messages.tasks import Generate


class Predict25(Family):
    """text2world, image2world and video2world with one checkpoint."""

    PART_CLASSES: ClassVar[Mapping[str, PartClass]] = PARTS

    def __init__(self, checkpoint: Checkpoint, parts: PlacedParts) -> None:
        self._pipeline = pipeline_over(Cosmos2_5_PredictBasePipeline, checkpoint, parts)
        self._adapters = Adapters(self._pipeline, checkpoint)
        self._blanks = BlankEncodings()
        self._model = checkpoint.name

    @torch.no_grad()
    def run(self, task: Generate, context: Context) -> Frames:
        """The video of a task: uint8 frames, as many as its chunks make."""
        embeds = prompt_embeddings(self._pipeline, task, context, model=self._model)  # the same in every chunk
        with self._adapters.switched_on(task.lora, task.lora_scale):
            return self._frames(task, context, embeds)

    def _frames(self, task: Generate, context: Context, embeds: Mapping[str, Any]) -> Frames:
        fresh = task.num_frames - task.chunk_overlap  # what every chunk but the first adds
        whole = np.empty((task.num_frames + (task.num_chunks - 1) * fresh, task.height, task.width, 3), dtype=np.uint8)
        start = _conditioning(task)
        for number in range(task.num_chunks):
            latents = self._denoise(task, context, embeds, start, number)
            chunk = whole[number * fresh :][: task.num_frames]
            shown = chunk[: task.chunk_overlap].copy() if number else chunk[:0]
            self._decode(latents, chunk, context)
            start = _handed_on(chunk[-task.chunk_overlap :].copy())
            chunk[: len(shown)] = shown  # as the chunk before has them
        return Frames(whole, num_output_frames=task.num_output_frames, fps=task.fps)

    def _denoise(
        self, task: Generate, context: Context, embeds: Mapping[str, Any], start: Mapping[str, Any], number: int
    ) -> torch.Tensor:
        """The latents of one chunk. start: what it goes on from, as the pipeline's arguments."""
        steps_before, num_steps = number * task.num_steps, task.num_chunks * task.num_steps

        def after_step(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            # Raising is the way out: the pipeline's own interrupt would skip the steps and still decode.
            context.step(steps_before + index + 1, num_steps)
            return {}

        with (
            standing_in(self._pipeline, StagedVae(context.parts["tokenizer"], context, self._blanks)),
            context.stage("denoise", ("transformer",), lazily=True, num_steps=num_steps, from_step=steps_before),
        ):
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

    def _decode(self, latents: torch.Tensor, frames: NDArray[np.uint8], context: Context) -> None:
        """Latents [1, C, t, h, w] into frames [T, H, W, 3], as the pipeline does it."""
        pipeline = self._pipeline
        mean = pipeline.latents_mean.to(latents.device, latents.dtype)
        std = pipeline.latents_std.to(latents.device, latents.dtype)  # this one holds reciprocals
        num_made = decode_in_pieces(
            pipeline.vae,
            (latents / std + mean).to(pipeline.vae.dtype),
            context,
            lambda first, piece: put_into(frames, first, uint8_frames(piece)),
        )
        if num_made != len(frames):
            raise AssertionError(f"the decoder made {num_made} frames of {len(frames)}: this is a bug")


def _conditioning(task: Generate) -> Mapping[str, Any]:
    """What the video goes on from, as the pipeline's arguments."""
    if task.media is None:
        return {}
    frames = task.media.frames()
    if task.inference_type == "image2world":
        return {"image": _at_size(frames[0], task.height, task.width)}
    return _video(frames, task.num_latent_conditional_frames)


def _handed_on(ending: NDArray[np.uint8]) -> Mapping[str, Any]:
    """The end of a chunk as the beginning of the next: one latent frame, and another for each four frames more."""
    return _video(ending, 1 + (len(ending) - 1) // 4)


def _video(frames: NDArray[np.uint8], latent_frames: int) -> Mapping[str, Any]:
    return {"video": [Image.fromarray(frame) for frame in frames], "num_latent_conditional_frames": latent_frames}


def _at_size(frame: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The frame at the video's size, as the pipeline would resize it: by nearest pixel.

    The pipeline makes a whole clip of the source's size first, which for a photograph takes more than ten gigabytes.
    """
    pixels = torch.from_numpy(np.array(frame)).permute(2, 0, 1)[None].float()
    resized = torch.nn.functional.interpolate(pixels, size=(height, width))
    array: NDArray[np.uint8] = resized[0].permute(1, 2, 0).to(torch.uint8).numpy()
    return array
