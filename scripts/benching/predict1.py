"""Predict 1 in the stages of the served families, over diffusers' own pipeline. It is measured, and not served."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from diffusers import CosmosTextToWorldPipeline, EDMEulerScheduler

from cosmos_handler.families.base import Context, Frames
from cosmos_handler.families.lean import make_lean
from cosmos_handler.families.pipeline import uint8_frames
from cosmos_handler.families.vae import put_into
from cosmos_handler.memory.components import PartClass
from cosmos_handler.memory.making import TEXT_TOKENS
from cosmos_handler.messages.tasks import Generate

PARTS = {
    "text_encoder": PartClass("transformers", "T5EncoderModel"),
    "transformer": PartClass("diffusers", "CosmosTransformer3DModel"),
    "tokenizer": PartClass("diffusers", "AutoencoderKLCosmos"),
}
_FRAMES_AT_ONCE = 4


class SomeTokens:
    """Stands where a pipeline has T5's tokenizer, whose files are not here: any prompt as long as prompts can be."""

    def __call__(self, texts: list[str], **options: Any) -> Any:
        """The same tokens for every text, and nothing of them padding."""
        ids = torch.arange(TEXT_TOKENS).expand(len(texts), TEXT_TOKENS)
        return SimpleNamespace(input_ids=ids, attention_mask=torch.ones_like(ids))


class AllowsAll:
    """Stands where a pipeline insists on a safety checker, which is no part of what is measured."""

    def to(self, device: Any) -> None:
        """It has nothing to move."""

    def check_text_safety(self, text: str) -> bool:
        """Every text."""
        return True

    def check_video_safety(self, frames: Any) -> Any:
        """Every video, as it is."""
        return frames


def text_to_world_pipeline(modules: Mapping[str, torch.nn.Module]) -> Any:
    """diffusers' pipeline around the three networks, with the scheduler of NVIDIA's checkpoints."""
    make_lean(modules["transformer"])
    scheduler = EDMEulerScheduler(
        sigma_min=0.002,
        sigma_max=80.0,
        sigma_data=0.5,
        sigma_schedule="karras",
        prediction_type="epsilon",
        rho=7.0,
        final_sigmas_type="sigma_min",
    )
    pipeline = CosmosTextToWorldPipeline(
        text_encoder=modules["text_encoder"],
        tokenizer=SomeTokens(),
        transformer=modules["transformer"],
        vae=modules["tokenizer"],
        scheduler=scheduler,
        safety_checker=AllowsAll(),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


class Predict1:
    """text2world. Its VAE decodes a whole video in one pass: the library's tiling flag is never read."""

    def __init__(self, modules: Mapping[str, torch.nn.Module]) -> None:
        self._pipeline = text_to_world_pipeline(modules)

    @torch.no_grad()
    def run(self, task: Generate, context: Context) -> Frames:
        """The video of a task."""
        latents = self._denoise(task, context, self._embeddings(task, context))
        frames = np.empty((task.num_frames, task.height, task.width, 3), dtype=np.uint8)
        with context.stage("decode", ("tokenizer",)):
            pipeline = self._pipeline
            decoded = pipeline.vae.decode(_for_vae(pipeline, latents), return_dict=False)[0]
            for first in range(0, task.num_frames, _FRAMES_AT_ONCE):
                put_into(frames, first, uint8_frames(decoded[:, :, first : first + _FRAMES_AT_ONCE]))
        return Frames(frames, num_output_frames=task.num_frames, fps=task.fps)

    def _embeddings(self, task: Generate, context: Context) -> dict[str, Any]:
        with context.stage("encode_text", ("text_encoder",)):
            prompt, negative = self._pipeline.encode_prompt(
                prompt=task.prompt,
                negative_prompt=task.negative_prompt,
                do_classifier_free_guidance=task.guidance > 1.0,
                device=context.parts.device,
            )
        return {"prompt_embeds": prompt, "negative_prompt_embeds": negative}

    def _denoise(self, task: Generate, context: Context, embeds: Mapping[str, Any]) -> torch.Tensor:
        def after_step(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            context.step(index + 1, task.num_steps)
            return {}

        with context.stage("denoise", ("transformer",), lazily=True, num_steps=task.num_steps):
            result = self._pipeline(
                **embeds,
                height=task.height,
                width=task.width,
                num_frames=task.num_frames,
                num_inference_steps=task.num_steps,
                guidance_scale=task.guidance,
                fps=int(task.fps),
                generator=torch.Generator("cpu").manual_seed(task.seed),
                output_type="latent",
                callback_on_step_end=after_step,
            )
        latents: torch.Tensor = result.frames
        return latents


def _for_vae(pipeline: Any, latents: torch.Tensor) -> torch.Tensor:
    """Latents as the pipeline hands them to its VAE."""
    config = pipeline.vae.config
    scaled = latents / pipeline.scheduler.config.sigma_data
    if config.latents_mean is not None:
        shape = (1, config.latent_channels, -1, 1, 1)
        mean, std = (
            torch.tensor(values).view(shape)[:, :, : latents.size(2)].to(latents)
            for values in (config.latents_mean, config.latents_std)
        )
        scaled = scaled * std + mean
    ready: torch.Tensor = scaled.to(pipeline.vae.dtype)
    return ready
