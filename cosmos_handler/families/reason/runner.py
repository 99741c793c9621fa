"""Reason 1 and Reason 2 over transformers' own models; what they have in common stands in `families/conversing`."""

from collections.abc import Mapping
from typing import ClassVar

from transformers import AutoProcessor

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.families.base import Context, Family, Words
from cosmos_handler.families.conversing.converse import converse
from cosmos_handler.memory.components import PartClass
from cosmos_handler.memory.place import PlacedParts
from cosmos_handler.messages.tasks import Answer


class Reason2(Family):
    """A Qwen3-VL that answers about text, images and videos."""

    PART_CLASSES: ClassVar[Mapping[str, PartClass]] = {
        "model": PartClass("transformers", "Qwen3VLForConditionalGeneration"),
    }

    def __init__(self, checkpoint: Checkpoint, parts: PlacedParts) -> None:
        self._processor = AutoProcessor.from_pretrained(checkpoint.path, local_files_only=True, trust_remote_code=False)
        self._model = parts["model"]
        self._context_tokens = checkpoint.context_tokens

    def run(self, task: Answer, context: Context) -> Words:
        """The answer to a conversation."""
        return converse(self._model, self._processor, task, context, context_tokens=self._context_tokens)


class Reason1(Reason2):
    """A Qwen2.5-VL that does the same."""

    PART_CLASSES: ClassVar[Mapping[str, PartClass]] = {
        "model": PartClass("transformers", "Qwen2_5_VLForConditionalGeneration"),
    }
