"""Weights that come to the device, and what stands for them while they are away."""

import torch

from cosmos_handler.memory.layout import Unit

_standing: dict[tuple[torch.dtype, torch.device], torch.Tensor] = {}


def show(unit: Unit, memory: torch.Tensor) -> None:
    """Let the parameters of a unit be what lies in some memory."""
    with torch.inference_mode(mode=False):
        for slot in unit.slots:
            slot.tensor.data = slot.view(memory)


def put_away(unit: Unit, device: torch.device) -> None:
    """Take the parameters of a unit from their memory. They keep shape, type and device, which libraries ask them for.

    Their values are NaN: should they be used all the same, that spoils everything and not a little.
    """
    with torch.inference_mode(mode=False):
        for slot in unit.slots:
            slot.tensor.data = _nothing(slot.dtype, device).expand(slot.shape)


def _nothing(dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    key = (dtype, device)
    if key not in _standing:
        value = float("nan") if dtype.is_floating_point else 0
        _standing[key] = torch.full((), value, dtype=dtype, device=device)
    return _standing[key]
