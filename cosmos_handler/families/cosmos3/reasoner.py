"""The reasoner inside a Cosmos 3 transformer: transformers' model over the very tensors that diffusers has loaded."""

import re
from pathlib import Path
from typing import Any

import torch
from transformers import Cosmos3OmniConfig, Cosmos3OmniForConditionalGeneration, GenerationConfig

from cosmos_handler.errors import CheckpointError

_VISION = "model.visual."
# diffusers' names of the reasoner's tensors → transformers', as its own loader renames them.
_RENAMED = (
    (re.compile(r"^(layers|embed_tokens|norm)\."), r"model.language_model.\1."),
    (re.compile(r"\.self_attn\.to_([qkv])\."), r".self_attn.\1_proj."),
    (re.compile(r"\.self_attn\.to_out\."), ".self_attn.o_proj."),
    (re.compile(r"\.self_attn\.norm_([qk])\."), r".self_attn.\1_norm."),
)


def reasoner_over(transformer: torch.nn.Module, vision_encoder: torch.nn.Module, folder: Path) -> Any:
    """A reasoner that has no weights of its own: its parameters are those of the two modules, as objects.

    So they are loaded once, counted once, and a move of the modules moves it as well.
    Raises CheckpointError where the tower in the transformer is not the one that config.json describes.
    """
    config = Cosmos3OmniConfig.from_pretrained(folder, local_files_only=True)
    config.dtype = next(vision_encoder.parameters()).dtype
    with torch.device("meta"):
        model = Cosmos3OmniForConditionalGeneration(config)
    tower = {_renamed(name): tensor for name, tensor in transformer.state_dict(keep_vars=True).items()}
    expected = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(_VISION)}
    _check(expected, tower, folder)
    model.requires_grad_(requires_grad=False)
    model.load_state_dict({name: tower[name] for name in expected}, strict=False, assign=True)
    model.model.visual = vision_encoder
    # Computed, not loaded: on the meta device there is nothing in it.
    language_model = model.model.language_model
    rotary = type(language_model.rotary_emb)(config.text_config)
    language_model.rotary_emb = rotary.to(next(transformer.parameters()).device)
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    model.eval()
    return model


def _renamed(name: str) -> str:
    for pattern, replacement in _RENAMED:
        name = pattern.sub(replacement, name)
    return name


def _check(expected: dict[str, torch.Tensor], tower: dict[str, torch.Tensor], folder: Path) -> None:
    missing = sorted(expected.keys() - tower.keys())
    if missing:
        raise CheckpointError(f"{folder}/transformer lacks the reasoner's {missing[0]} ({len(missing)} in all)")
    for name, tensor in expected.items():
        if tensor.shape != tower[name].shape:
            raise CheckpointError(
                f"{folder}/config.json describes a reasoner whose {name} is {tuple(tensor.shape)}; "
                f"the transformer's is {tuple(tower[name].shape)}"
            )
