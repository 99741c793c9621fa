"""Pictures and videos over diffusers' own pipeline in stages: denoise to latents, decode, frames to uint8.

Cosmos3OmniPipeline and not the modular classes: these modes need nothing else, and it reports every step.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import Cosmos3OmniPipeline, UniPCMultistepScheduler
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoTokenizer

from cosmos_handler.artifacts.defaults import given
from cosmos_handler.families.base import Context, Frames
from cosmos_handler.families.conversing.prompt import refuse_control_tokens
from cosmos_handler.families.cosmos3.prompts import read_negative_prompt, read_prompt
from cosmos_handler.families.vae import BlankEncodings, StagedVae, decode_in_pieces, put_into, standing_in
from cosmos_handler.messages.tasks import Omni


class Generator:
    """text2image, text2video, image2video and video2video."""

    def __init__(self, folder: Path, transformer: torch.nn.Module, vae: torch.nn.Module, index: Mapping[str, Any]):
        scheduler = UniPCMultistepScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
        self._scheduler_config = scheduler.config
        # NVIDIA's framework has no system prompt for Nano and Super, whose files say nothing; diffusers would add one.
        self._use_system_prompt = bool(index.get("default_use_system_prompt", False))
        self._pipeline = Cosmos3OmniPipeline(
            transformer=transformer,
            text_tokenizer=AutoTokenizer.from_pretrained(
                folder / "text_tokenizer", local_files_only=True, trust_remote_code=False
            ),
            vae=vae,
            scheduler=scheduler,
            # Without it the pipeline would fetch a checker from the hub; the checks are run around the family.
            enable_safety_checker=False,
            use_native_flow_schedule=index.get("use_native_flow_schedule", False),
        )
        self._pipeline.set_progress_bar_config(disable=True)
        self._blanks = BlankEncodings()

    @torch.no_grad()
    def run(self, task: Omni, context: Context) -> Frames:
        """The frames of a task, num_frames of them. Raises InvalidField, Stopped."""
        with context.stage("prepare"):
            prompts = (("prompt", task.prompt), ("negative_prompt", task.negative_prompt))
            refuse_control_tokens(self._pipeline.text_tokenizer, prompts)
            conditioning = _conditioning(task)
        with (
            standing_in(self._pipeline, StagedVae(self._pipeline.vae, context, self._blanks)),
            context.stage("denoise", ("transformer",), lazily=True, num_steps=task.num_steps),
        ):
            latents = self._denoise(task, context, conditioning)
        frames = np.empty((task.num_frames, task.height, task.width, 3), dtype=np.uint8)
        self._decode(latents, frames, context)
        return Frames(frames, num_output_frames=task.num_output_frames, fps=task.fps)

    def _denoise(self, task: Omni, context: Context, conditioning: Mapping[str, Any]) -> torch.Tensor:
        def after_step(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            # Raising is the way out: the pipeline's own interrupt would skip the steps and still decode.
            context.step(index + 1, task.num_steps)
            return {}

        # The schedule that NVIDIA samples by is shifted and not Karras's, which the published files name.
        self._pipeline.scheduler = UniPCMultistepScheduler.from_config(
            self._scheduler_config, flow_shift=task.shift, use_karras_sigmas=False
        )
        result = self._pipeline(
            prompt=read_prompt(task),
            negative_prompt=read_negative_prompt(task),
            # The sentences about size and length are in the prompts, as NVIDIA has them.
            add_resolution_template=False,
            add_duration_template=False,
            use_system_prompt=given(task.use_system_prompt, self._use_system_prompt),
            **conditioning,
            height=task.height,
            width=task.width,
            num_frames=task.num_frames,
            fps=task.fps,
            num_inference_steps=task.num_steps,
            guidance_scale=task.guidance,
            # A CPU generator gives the same noise on every device.
            generator=torch.Generator("cpu").manual_seed(task.seed),
            output_type="latent",
            callback_on_step_end=after_step,
            enable_safety_check=False,
        )
        latents: torch.Tensor = result.video
        return latents

    def _decode(self, latents: torch.Tensor, frames: NDArray[np.uint8], context: Context) -> None:
        """Latents [1, C, t, h, w] into frames [T, H, W, 3] by the pipeline's own arithmetic, which rounds."""
        pipeline = self._pipeline
        dtype, shape = pipeline.vae.dtype, (1, -1, 1, 1, 1)
        mean = pipeline._vae_latents_mean.to(latents.device, dtype).view(shape)
        inverse_std = pipeline._vae_latents_inv_std.to(latents.device, dtype).view(shape)

        def take(first: int, piece: torch.Tensor) -> None:
            shown = pipeline.video_processor.denormalize(piece[0].to(latents.dtype).permute(1, 2, 3, 0))
            put_into(frames, first, shown.float().mul_(255).round_().to(torch.uint8))

        num_made = decode_in_pieces(pipeline.vae, latents.to(dtype) / inverse_std + mean, context, take)
        if num_made != len(frames):
            raise AssertionError(f"the decoder made {num_made} frames of {len(frames)}: this is a bug")


def _conditioning(task: Omni) -> dict[str, Any]:
    if task.media is None:
        return {}
    frames = task.media.frames()
    if task.mode == "image2video":
        return {"image": Image.fromarray(frames[0])}
    return {
        "video": [Image.fromarray(_cropped(frame, task.height, task.width)) for frame in frames],
        "condition_frame_indexes_vision": task.condition_frames,
    }


def _cropped(frame: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The middle of a frame at the video's size, scaled to fill it, as NVIDIA does and the pipeline does for images.

    Left to itself, the pipeline would squeeze a clip of another shape.
    """
    source_height, source_width = frame.shape[:2]
    if (source_height, source_width) == (height, width):
        return np.asarray(frame)
    scale = max(width / source_width, height / source_height)
    scaled = (int(np.ceil(scale * source_height)), int(np.ceil(scale * source_width)))
    pixels = torch.from_numpy(np.array(frame)).permute(2, 0, 1)[None].float()
    resized = torch.nn.functional.interpolate(pixels, size=scaled, mode="bilinear", antialias=True)
    top, left = round((scaled[0] - height) / 2), round((scaled[1] - width) / 2)
    middle = resized[0, :, top : top + height, left : left + width]
    array: NDArray[np.uint8] = middle.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    return array
