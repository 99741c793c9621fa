"""The folder that a conversion writes: all of it or nothing, large parts in shards."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from cosmos_handler.errors import CheckpointError

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def new_folder(destination: Path) -> Iterator[Path]:
    """A folder beside `destination` that takes its place when all is written.

    Raises CheckpointError where something is there already.
    """
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise CheckpointError(f"{destination} is there already and is not an empty folder")
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".convert-", dir=destination.parent) as folder:
        staged = Path(folder) / "checkpoint"
        staged.mkdir()
        yield staged
        if destination.exists():
            destination.rmdir()
        staged.rename(destination)


def write_tensors(
    folder: Path,
    stem: str,
    tensors: "Mapping[str, torch.Tensor]",
    *,
    size_bytes: int,
    max_shard_bytes: int,
    shown_as: str = "",
) -> None:
    """Write safetensors as the libraries name them. stem: of the files. shown_as: before their names in the lines."""
    from safetensors.torch import save_file

    shards = list(_shards(tensors, max_shard_bytes))
    weight_map, written_bytes = {}, 0
    for number, shard in enumerate(shards, start=1):
        file = f"{stem}.safetensors" if len(shards) == 1 else f"{stem}-{number:05}-of-{len(shards):05}.safetensors"
        whole = {name: tensor.contiguous() for name, tensor in shard.items()}
        save_file(whole, folder / file, metadata={"format": "pt"})
        (folder / file).chmod(0o644)  # the library leaves its files to their owner
        weight_map |= dict.fromkeys(shard, file)
        written_bytes += sum(tensor.nbytes for tensor in shard.values())
        print(f"{shown_as}{file}: {written_bytes / size_bytes:.0%} of {size_bytes / 1e9:.2f} GB", flush=True)
    if len(shards) > 1:
        content = {"metadata": {"total_size": written_bytes}, "weight_map": weight_map}
        write_json(folder / f"{stem}.safetensors.index.json", content)


def _shards(tensors: "Mapping[str, torch.Tensor]", max_bytes: int) -> "Iterator[dict[str, torch.Tensor]]":
    """The tensors in groups of at most so many bytes, or of one."""
    shard: dict[str, Any] = {}
    size_bytes = 0
    for name, tensor in tensors.items():
        if shard and size_bytes + tensor.nbytes > max_bytes:
            yield shard
            shard, size_bytes = {}, 0
        shard[name] = tensor
        size_bytes += tensor.nbytes
    yield shard


def write_json(path: Path, content: object) -> None:
    """Write an object as the libraries do."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def run_again_in_venv(command: str) -> NoReturn:
    """Begin anew in the project's own environment, which has torch. command: the name of the script."""
    python = ROOT / ".venv" / "bin" / "python"
    if not python.is_file() or Path(sys.prefix) == ROOT / ".venv":
        name = command.removesuffix(".py")
        sys.exit(f"{name}: {sys.executable} has no torch; run .venv/bin/python scripts/{command} …")
    os.execv(python, [str(python), *sys.argv])  # noqa: S606 (no shell is wanted)
