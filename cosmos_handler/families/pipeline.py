"""What the families around diffusers' 2.5 pipelines share: parts, set-up, prompts read, frames out of a decoder."""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import DiffusionPipeline, UniPCMultistepScheduler
from diffusers.image_processor import VaeImageProcessor
from transformers import AutoTokenizer

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.families.base import Context
from cosmos_handler.families.embeddings import TextCache, TextKey
from cosmos_handler.families.lean import make_lean
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
    make_lean(parts["transformer"])
    return pipeline


def prompt_embeddings(pipeline: Any, task: Generation, context: Context, *, model: str) -> dict[str, Any]:
    """What the text encoder makes of a task's prompts, as the pipeline's arguments.

    model: the checkpoint's name. Where the context's cache has all of them, the encoder is not touched.
    """
    prompts: dict[str, str | None] = {"prompt": task.prompt}
    if task.guidance > 1.0:  # the pipeline's own condition
        prompts["negative_prompt"] = task.negative_prompt  # None is the pipeline's own, and told from every other
    cache = TextCache(0) if context.text_cache is None else context.text_cache
    keys = {name: TextKey(model, name, text) for name, text in prompts.items()}
    embeds = {name: cache.get(key, context.parts.device) for name, key in keys.items()}
    missing = [name for name, kept in embeds.items() if kept is None]
    if missing:
        with context.stage("encode_text", ("text_encoder",)):
            for name in missing:
                embeds[name] = made = _embedding(pipeline, name, prompts, embeds["prompt"], context.parts.device)
                cache.put(keys[name], made)
    return {"prompt_embeds": embeds["prompt"], "negative_prompt_embeds": embeds.get("negative_prompt")}


def _embedding(
    pipeline: Any,
    name: str,
    prompts: Mapping[str, str | None],
    prompt_embeds: torch.Tensor | None,
    device: torch.device,
) -> torch.Tensor:
    """One of the prompts by itself; the pipeline puts them to its encoder one by one anyhow."""
    made: tuple[torch.Tensor, torch.Tensor] = pipeline.encode_prompt(
        **{"prompt": None, name: prompts[name]},
        prompt_embeds=prompt_embeds,
        do_classifier_free_guidance=name == "negative_prompt",
        device=device,
    )
    return made[name == "negative_prompt"]


def uint8_frames(decoded: torch.Tensor) -> torch.Tensor:
    """What a decoder gave, [1, 3, T, H, W] in -1 to 1, as frames [T, H, W, 3], by the pipelines' own arithmetic.

    The pipelines' frames pass through their checker as uint8, cut off rather than rounded; so do these.
    """
    shown = VaeImageProcessor.denormalize(decoded[0].permute(1, 2, 3, 0))
    return shown.float().mul_(255).to(torch.uint8)  # type: ignore[no-any-return]
