"""Cosmos 3 as a family: one loaded checkpoint makes pictures and videos and answers questions."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from transformers import AutoProcessor

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.families.base import Context, Family, Frames, Words
from cosmos_handler.families.conversing.converse import converse
from cosmos_handler.families.cosmos3.generator import Generator
from cosmos_handler.families.cosmos3.reasoner import reasoner_over
from cosmos_handler.memory.components import PartClass
from cosmos_handler.memory.place import PlacedParts
from cosmos_handler.messages.tasks import Answer, Omni


class Cosmos3(Family):
    """Nano and Super, whole or their reasoner alone.

    The parts of a whole one are the transformer with both towers, the VAE and the vision encoder; the reasoner is made
    over them and is none itself. A reasoner alone is one "model".
    """

    PART_CLASSES: ClassVar[Mapping[str, PartClass]] = {
        "transformer": PartClass("diffusers", "Cosmos3OmniTransformer"),
        "tokenizer": PartClass("diffusers", "AutoencoderKLWan"),
        "vision_encoder": PartClass("transformers", "Qwen3VLVisionModel"),
        "model": PartClass("transformers", "Cosmos3OmniForConditionalGeneration"),
    }

    def __init__(self, checkpoint: Checkpoint, parts: PlacedParts) -> None:
        folder = Path(checkpoint.path)
        names = {part.name for part in checkpoint.parts}
        self._context_tokens = checkpoint.context_tokens
        self._generator: Generator | None = None
        self._reasoner: Any = None
        self._reasoner_parts: tuple[str, ...] = ("model",)
        if "transformer" in names:
            index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
            self._generator = Generator(folder, parts["transformer"], parts["tokenizer"], index)
        if "reasoner" in checkpoint.tasks:
            self._processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            if "model" in names:
                self._reasoner = parts["model"]
            else:
                self._reasoner_parts = ("transformer", "vision_encoder")
                self._reasoner = reasoner_over(parts["transformer"], parts["vision_encoder"], folder)
                parts.add_surface("transformer", self._reasoner)

    def run(self, task: Omni | Answer, context: Context) -> Frames | Words:
        """What the task asks for; the checkpoint's tasks say which kinds there are."""
        if isinstance(task, Answer):
            return converse(
                self._reasoner,
                self._processor,
                task,
                context,
                context_tokens=self._context_tokens,
                parts=self._reasoner_parts,
            )
        if self._generator is None:
            raise TypeError("a reasoner was asked for a video: this is a bug")
        return self._generator.run(task, context)
