"""What the families around diffusers' 2.5 pipelines share: parts, set-up, prompts read, frames out of a decoder."""

from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline, UniPCMultistepScheduler
from diffusers.image_processor import VaeImageProcessor
from numpy.typing import NDArray
from transformers import AutoTokenizer

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.families.base import Context
from cosmos_handler.memory.components import PartClass
from cosmos_handler.memory.place import PlacedParts
from cosmos_handler.messages.tasks import Generation

PARTS = {
    "text_encoder": PartClass("transformers", "Qwen2_5_VLForConditionalGeneration"),
    "transformer": PartClass("diffusers", "CosmosTransformer3DModel"),
    "tokenizer": PartClass("diffusers", "AutoencoderKLWan"),
}


class ChecksElsewhere:
    """Stands where a pipeline insists on a safety checker; the checks themselves are run around the family.

    It can answer for nothing: a pipeline that asked it about a text or a video would fail loudly.
    """

    def to(self, device: torch.device) -> None:
        """The pipelines move their checker before they start."""


def pipeline_over(kind: type[DiffusionPipeline], checkpoint: Checkpoint, parts: PlacedParts, **more: Any) -> Any:
    """A pipeline around loaded parts. more: the components that its kind has beside PARTS."""
    pipeline = kind(
        text_encoder=parts["text_encoder"],
        tokenizer=AutoTokenizer.from_pretrained(
            checkpoint.folder_of("tokenizer"), local_files_only=True, trust_remote_code=False
        ),
        transformer=parts["transformer"],
        vae=parts["tokenizer"],
        scheduler=UniPCMultistepScheduler.from_pretrained(checkpoint.folder_of("scheduler"), local_files_only=True),
        safety_checker=ChecksElsewhere(),
        **more,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def prompt_embeddings(pipeline: Any, task: Generation, context: Context) -> dict[str, Any]:
    """What the text encoder makes of a task's prompts, as the pipeline's arguments."""
    with context.stage("encode_text", ("text_encoder",)):
        prompt_embeds, negative_prompt_embeds = pipeline.encode_prompt(
            prompt=task.prompt,
            negative_prompt=task.negative_prompt,
            do_classifier_free_guidance=task.guidance > 1.0,  # the pipeline's own condition
            device=context.parts.device,
        )
    return {"prompt_embeds": prompt_embeds, "negative_prompt_embeds": negative_prompt_embeds}


def uint8_frames(decoded: torch.Tensor) -> NDArray[np.uint8]:
    """What a decoder gave, [1, 3, T, H, W] in -1 to 1, as frames [T, H, W, 3], by the pipelines' own arithmetic.

    The pipelines' frames pass through their checker as uint8, cut off rather than rounded; so do these.
    """
    shown = VaeImageProcessor.denormalize(decoded[0].permute(1, 2, 3, 0))
    array: NDArray[np.uint8] = shown.float().mul_(255).to(torch.uint8).cpu().numpy()
    return array
