"""Takes the tensors out of TorchScript programs, whose code is neither loaded nor run."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from cosmos_handler.artifacts.native.archive import Records, TensorView, opened
from cosmos_handler.artifacts.native.script_file import script_in
from cosmos_handler.errors import CheckpointError


def scripted_tensors(paths: Mapping[str, Path], names: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """The tensors of programs by the library's names, as they are stored.

    paths: by what the files are called in errors. names: for each tensor of any of them, the library's name of it.
    Raises CheckpointError where the files cannot be read, or do not hold them.
    """
    found: dict[str, torch.Tensor] = {}
    for shown_as, path in paths.items():
        found |= _tensors_in(path, shown_as, names)
    missing = sorted(theirs for theirs, ours in names.items() if ours not in found)
    if missing:
        raise CheckpointError(f"{' and '.join(paths)} lack {', '.join(missing[:5])} ({len(missing)} tensors in all)")
    return found


def _tensors_in(path: Path, shown_as: str, names: Mapping[str, str]) -> dict[str, torch.Tensor]:
    with opened(path, shown_as) as archive:
        records = Records.of(archive, shown_as)
        views = script_in(records).views
        return dict(_wanted(records, views, names))


def _wanted(
    records: Records, views: Mapping[str, TensorView], names: Mapping[str, str]
) -> Iterator[tuple[str, torch.Tensor]]:
    for theirs, ours in names.items():
        if theirs in views:
            yield ours, _tensor(records, views[theirs])


def _tensor(records: Records, view: TensorView) -> torch.Tensor:
    content = bytearray(records.content(f"data/{view.storage.key}"))  # which, unlike bytes, a tensor may be written to
    if not content:
        return torch.empty(view.shape, dtype=getattr(torch, view.storage.dtype))
    values = torch.frombuffer(content, dtype=getattr(torch, view.storage.dtype))
    return values.as_strided(view.shape, view.stride, view.offset).contiguous()
