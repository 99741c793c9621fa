"""Loads a part out of a file in NVIDIA's own form: the tensors renamed, the library's class built around them."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights

from cosmos_handler.artifacts.checkpoint import Located, Native, Part
from cosmos_handler.errors import CheckpointError
from cosmos_handler.memory.scripted import scripted_tensors


def native_tensors(checkpoint: Located, part: Part, native: Native) -> dict[str, torch.Tensor]:
    """The tensors of a part by the library's names, as they are stored, mapped from the file and not read yet.

    Raises CheckpointError where the file does not hold them.
    """
    if part.files[0].endswith(".jit"):
        return scripted_tensors({file: Path(checkpoint.path) / file for file in part.files}, native.names)
    (file,) = part.files
    path = Path(checkpoint.path) / file
    content = read_state(path)
    try:
        for wrapper in native.wrappers:
            content = content[wrapper]
        return {ours: content[theirs].detach() for theirs, ours in native.names.items()}
    except KeyError as error:
        raise CheckpointError(f"{path} does not load: KeyError: {error}") from error


def read_state(path: Path) -> Any:
    """What torch.save wrote, mapped from the file where its format allows that. Raises CheckpointError."""
    try:
        # The extra state of TransformerEngine's layers is a buffer of bytes; it can do nothing, and is not used.
        with torch.serialization.safe_globals([io.BytesIO]):
            return torch.load(path, map_location="cpu", mmap=zipfile.is_zipfile(path), weights_only=True)
    except (OSError, RuntimeError, KeyError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} does not load: {type(error).__name__}: {error}") from error


def load_native(checkpoint: Located, part: Part, native: Native, loader: Any) -> torch.nn.Module:
    """The part, built from the configuration that its shapes gave, in the dtype in which it is stored.

    loader: the library's class. Raises CheckpointError where its tensors are not exactly those of the file.
    """
    dtype: torch.dtype = getattr(torch, part.dtype)
    tensors = {name: tensor.to(dtype) for name, tensor in native_tensors(checkpoint, part, native).items()}
    try:
        with init_empty_weights():
            module: torch.nn.Module = loader.from_config(dict(native.config))
        module.load_state_dict(tensors, strict=True, assign=True)
    except (RuntimeError, ValueError, TypeError) as error:
        raise CheckpointError(f"{part.files[0]} does not load as {loader.__name__}: {error}") from error
    return module
