"""The files that weights lie in where they lie in host memory: one a part, shared by all model processes.

They are anonymous (memfd): in memory like everything that a process allocates, but outside of /dev/shm, which is small
in containers. They take nothing until a model process fills them, and stay when it dies.
"""

import os
from collections.abc import Mapping

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.guardrail import Guardrails


class HostFiles:
    """Open from the first model process to the last."""

    def __init__(self, checkpoints: tuple[Checkpoint, ...], guardrails: Guardrails) -> None:
        owners: tuple[Checkpoint | Guardrails, ...] = (*checkpoints, guardrails)
        self.descriptors: Mapping[str, int] = {
            f"{owner.name}/{part.name}": os.memfd_create(part.name[:200], os.MFD_CLOEXEC)
            for owner in owners
            for part in owner.parts
        }

    def close(self) -> None:
        """Give the memory back, once no process has it mapped."""
        for descriptor in self.descriptors.values():
            os.close(descriptor)
