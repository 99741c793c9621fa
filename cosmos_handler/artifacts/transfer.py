"""Examines a Cosmos Transfer2.5 checkpoint in diffusers form: five components and control branches."""

import math
import re
from pathlib import Path
from typing import Any

from cosmos_handler.artifacts import generator
from cosmos_handler.artifacts.checkpoint import CONTROL_PART, GenerationLimits, Part
from cosmos_handler.artifacts.inspection import Inspection, component_config
from cosmos_handler.artifacts.weights import DIFFUSERS, find_part

TASKS: tuple[str, ...] = ("transfer",)

# NVIDIA's name of a control in requests → the folder of its branch, named as in the repository's revisions.
BRANCHES = {"edge": "edge", "vis": "blur", "depth": "depth", "seg": "seg"}
FOLDERS = (*generator.FOLDERS, "controlnet", *(f"controlnet/{branch}" for branch in BRANCHES.values()))
_CONTROL_OF = {**{branch: control for control, branch in BRANCHES.items()}, "vis": "vis"}

_PLAIN = "controlnet"
_EXPECTED = (
    "expected are one or more of "
    + ", ".join(f"{_PLAIN}/{branch}" for branch in BRANCHES.values())
    + ", each with what the hub holds under the revision diffusers/controlnet/general/ and the same name"
)

# What diffusers builds where a config says nothing.
_DEFAULT_LAYERS, _DEFAULT_HEADS, _DEFAULT_HEAD_WIDTH = 28, 32, 128
_DEFAULT_CONTROL_BLOCKS, _DEFAULT_CONTROL_WIDTH = 4, 2048


def examine(look: Inspection, *, control: str | None) -> tuple[tuple[Part, ...], GenerationLimits | None]:
    """The parts in the order of the stages, control branches last, and the limits of one chunk.

    control: which control the one branch of a plain `controlnet` folder is for, where cosmos.json says it.
    What is wrong is noted as faults.
    """
    parts, limits = generator.examine(look)
    places = _places(look, control)
    transformer = look.json_object("transformer/config.json") if look.has("transformer/config.json") else None
    branches = []
    for name, folder in places.items():
        config = component_config(look, folder, key="_class_name", expected="CosmosControlNetModel")
        if config is not None and transformer is not None:
            _check_fit(look, folder, config, transformer)
        branches.append(find_part(look, f"{CONTROL_PART}{name}", folder=folder, rule=DIFFUSERS))
    return (*parts, *(part for part in branches if part)), chunk_limits(limits, transformer)


def _places(look: Inspection, control: str | None) -> dict[str, str]:
    """For each control its folder."""
    found = {
        name: f"{_PLAIN}/{branch}" for name, branch in BRANCHES.items() if (look.folder / _PLAIN / branch).is_dir()
    }
    if not look.has(f"{_PLAIN}/config.json"):
        if not found:
            look.fault(f"there is no control branch: {_EXPECTED}")
        if control is not None:
            look.fault(f"cosmos.json gives it a control, but {_PLAIN} itself holds no branch: {_EXPECTED}")
        return found
    if found:
        look.fault(f"{_PLAIN} is a control branch itself and holds {', '.join(found.values())} besides: {_EXPECTED}")
        return found
    name = control or control_in(look.folder)
    if name is None:
        look.fault(
            f'nothing says which control the branch in {_PLAIN} is for: add "control" to its entry in cosmos.json, '
            f"call the checkpoint's folder after it (such as transfer2.5-edge), or move the branch; {_EXPECTED}"
        )
        return {}
    return {name: _PLAIN}


def control_in(folder: Path) -> str | None:
    """The one control that a folder's name mentions."""
    words = re.split(r"[^a-z0-9]+", folder.name.lower())
    mentioned = {_CONTROL_OF[word] for word in words if word in _CONTROL_OF}
    return mentioned.pop() if len(mentioned) == 1 else None


def _check_fit(look: Inspection, folder: str, branch: dict[str, Any], transformer: dict[str, Any]) -> None:
    """Notes what would fail in the middle of the first request: a branch made for another transformer."""
    every, layers, heads, head_width = (
        transformer.get("controlnet_block_every_n"),
        transformer.get("num_layers", _DEFAULT_LAYERS),
        transformer.get("num_attention_heads", _DEFAULT_HEADS),
        transformer.get("attention_head_dim", _DEFAULT_HEAD_WIDTH),
    )
    if not all(type(count) is int and count > 0 for count in (every, layers, heads, head_width)):
        look.fault(
            "transformer/config.json: controlnet_block_every_n, num_layers, num_attention_heads and attention_head_dim "
            "are not all positive whole numbers"
        )
        return
    blocks, needed = branch.get("n_controlnet_blocks", _DEFAULT_CONTROL_BLOCKS), math.ceil(layers / every)
    if blocks != needed:
        look.fault(f"{folder}/config.json: n_controlnet_blocks is {blocks}, and the transformer takes {needed}")
    width = branch.get("model_channels", _DEFAULT_CONTROL_WIDTH)
    if width != heads * head_width:
        look.fault(f"{folder}/config.json: model_channels is {width}, and the transformer's width {heads * head_width}")


def chunk_limits(limits: GenerationLimits | None, transformer: dict[str, Any] | None) -> GenerationLimits | None:
    """A chunk may have no more frames than the longest axis of the position table has patches: the pipeline's rule."""
    if limits is None or transformer is None:
        return None
    size, patch = generator.position_table(transformer)
    factor = limits.temporal_factor
    longest = max(length // step for length, step in zip(size, patch, strict=True))
    return limits.with_max_frames(min(limits.max_frames, (longest - 1) // factor * factor + 1))
