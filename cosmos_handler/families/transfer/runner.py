"""Transfer 2.5 in stages over diffusers' own pipeline: encode text, control maps, denoise by chunks, arrange."""

from collections.abc import Mapping
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from diffusers import Cosmos2_5_TransferPipeline
from numpy.typing import NDArray

from cosmos_handler.artifacts.checkpoint import CONTROL_PART, Checkpoint
from cosmos_handler.families.base import Context, Family, Frames
from cosmos_handler.families.lean import make_lean
from cosmos_handler.families.pipeline import PARTS, pipeline_over, prompt_embeddings
from cosmos_handler.families.transfer import chunks
from cosmos_handler.families.transfer.chunks import ChunkVae, Film
from cosmos_handler.families.transfer.maps import control_maps, resized
from cosmos_handler.families.vae import BlankEncodings, standing_in
from cosmos_handler.memory.chunks import count_chunks, overlap_frames
from cosmos_handler.memory.components import PartClass
from cosmos_handler.memory.place import PlacedParts
from cosmos_handler.messages.tasks import Transfer

_BRANCH = PartClass("diffusers", "CosmosControlNetModel")


class _ReadyControl:
    """Control maps as the pipeline's own preparation would leave them, [1, 3, T, H, W] in the VAE's type."""

    def __init__(self, maps: NDArray[np.uint8], dtype: torch.dtype) -> None:
        self.tensor = chunks.on_host((1, 3, *maps.shape[:3]), dtype)
        for number, picture in enumerate(maps):
            # The pipeline's arithmetic, in float32, but one frame at a time: all at once take twelve bytes a value.
            scaled = 2.0 * torch.from_numpy(picture.astype(np.float32) / 255.0) - 1.0
            self.tensor[0, :, number] = scaled.permute(2, 0, 1)


class _Preparation:
    """Stands where the pipeline has its video processor; lets a control that is ready pass."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor

    def preprocess_video(self, video: Any, height: int, width: int) -> torch.Tensor:
        """As the processor does it."""
        if isinstance(video, _ReadyControl):
            return video.tensor
        prepared: torch.Tensor = self._processor.preprocess_video(video, height, width)
        return prepared


class Transfer25(Family):
    """Every control of one checkpoint: they share all parts but their branch."""

    PART_CLASSES: ClassVar[Mapping[str, PartClass]] = {
        **PARTS,
        **{f"{CONTROL_PART}{control}": _BRANCH for control in ("edge", "vis", "depth", "seg")},
    }

    def __init__(self, checkpoint: Checkpoint, parts: PlacedParts) -> None:
        first = parts[f"{CONTROL_PART}{checkpoint.controls[0]}"]  # each job puts its own in the place
        self._pipeline = pipeline_over(Cosmos2_5_TransferPipeline, checkpoint, parts, controlnet=first)
        for control in checkpoint.controls:
            branch = parts[f"{CONTROL_PART}{control}"]
            make_lean(branch)
            branch.register_forward_pre_hook(_in_own_type, with_kwargs=True)
        self._pipeline.video_processor = _Preparation(self._pipeline.video_processor)
        self._blanks = BlankEncodings()
        self._model = checkpoint.name

    @torch.no_grad()
    def run(self, task: Transfer, context: Context) -> Frames:
        """The video of a task: uint8 frames, num_frames of them."""
        embeds = prompt_embeddings(self._pipeline, task, context, model=self._model)
        with context.stage("control", num_steps=task.num_frames):
            maps = control_maps(task, lambda done: context.step(done, task.num_frames))
        frames = self._denoise(task, context, maps, embeds)
        panels = _panels(task, frames, maps)
        if len(panels) > 1 or frames.shape[1:3] != (task.output_height, task.output_width):
            with context.stage("arrange"):
                frames = _arranged(panels, task.output_height, task.output_width)
        return Frames(frames, num_output_frames=task.num_output_frames, fps=task.fps)

    def _denoise(
        self, task: Transfer, context: Context, maps: NDArray[np.uint8], embeds: Mapping[str, Any]
    ) -> NDArray[np.uint8]:
        """All chunks, decoded; steps are counted over all of them."""
        chunk_frames = task.num_frames_per_chunk
        overlap = overlap_frames(
            task.num_frames, chunk_frames=chunk_frames, conditional_frames=task.num_conditional_frames
        )
        num_steps = task.num_steps * count_chunks(task.num_frames, chunk_frames=chunk_frames, overlap=overlap)
        film = Film((task.num_frames, task.height, task.width, 3), overlap=overlap)
        branch = f"{CONTROL_PART}{task.control}"

        def after_step(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            # The pipeline's index starts over in every chunk. Raising is the way out: its own interrupt would
            # still encode and decode every chunk that is left.
            context.step(context.step_number + 1, num_steps)
            return {}

        vae = ChunkVae(context.parts["tokenizer"], context, self._blanks, film)
        with (
            standing_in(self._pipeline, vae),
            context.stage("denoise", ("transformer", branch), lazily=True, num_steps=num_steps) as parts,
        ):
            self._pipeline.controlnet = parts[branch]
            self._pipeline(
                controls=_ReadyControl(maps, vae.dtype),
                controls_conditioning_scale=task.control_weight,
                **embeds,
                height=task.height,
                width=task.width,
                num_frames_per_chunk=chunk_frames,
                num_ar_conditional_frames=overlap,
                num_inference_steps=task.num_steps,
                guidance_scale=task.guidance,
                # A CPU generator gives the same noise on every device.
                generator=torch.Generator("cpu").manual_seed(task.seed),
                output_type="latent",
                callback_on_step_end=after_step,
            )
        if film.num_filled != task.num_frames:
            raise AssertionError(f"the chunks made {film.num_filled} frames of {task.num_frames}: this is a bug")
        return film.frames


def _in_own_type(
    branch: torch.nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The control's latents in the branch's type: the pipeline leaves them in the VAE's, which may be float32."""
    return arguments, options | {"controls_latents": options["controls_latents"].to(branch.dtype)}


def _panels(task: Transfer, frames: NDArray[np.uint8], maps: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """What is handed on side by side, in the order of NVIDIA's code: the map, the input, the video."""
    panels = [frames]
    if task.show_input and task.video is not None:
        panels.insert(0, task.video.frames())
    if task.show_control:
        panels.insert(0, maps)
    return panels


def _arranged(panels: list[NDArray[np.uint8]], height: int, width: int) -> NDArray[np.uint8]:
    """The panels side by side, each at one size; enlarged by the filter that NVIDIA's code takes."""
    arranged = np.empty((len(panels[0]), height, width * len(panels), 3), dtype=np.uint8)
    for column, panel in enumerate(panels):
        place = arranged[:, :, column * width : (column + 1) * width]
        for number, picture in enumerate(panel):
            place[number] = resized(picture, height, width, cv2.INTER_LANCZOS4)
    return arranged
