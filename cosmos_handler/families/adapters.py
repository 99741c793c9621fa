"""LoRA adapters by the library's own loader: all of them loaded once and switched off, one switched on for a job."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.errors import CheckpointError


class Adapters:
    """The adapters of one checkpoint inside its pipeline. Raises CheckpointError where one cannot be loaded."""

    def __init__(self, pipeline: Any, checkpoint: Checkpoint) -> None:
        self._pipeline = pipeline
        # The library's name for each becomes part of a module's path, where a dot would be a step down.
        self._inside = {lora.name: f"adapter_{number}" for number, lora in enumerate(checkpoint.loras)}
        for lora in checkpoint.loras:
            file = Path(checkpoint.path, lora.file)
            try:
                pipeline.load_lora_weights(
                    file.parent,
                    weight_name=file.name,
                    adapter_name=self._inside[lora.name],
                    local_files_only=True,
                    use_safetensors=True,
                )
            except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError) as error:
                raise CheckpointError(f"{file} does not load as a LoRA adapter: {error}") from error
        if self._inside:
            pipeline.disable_lora()

    @contextmanager
    def switched_on(self, name: str | None, scale: float) -> Iterator[None]:
        """One adapter, or none, for as long as the block lasts, however it ends."""
        if name is None:
            yield
            return
        self._pipeline.set_adapters([self._inside[name]], [scale])
        self._pipeline.enable_lora()
        try:
            yield
        finally:
            self._pipeline.disable_lora()
