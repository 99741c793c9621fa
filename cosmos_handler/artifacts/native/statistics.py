"""The means and deviations of a tokenizer's latents, which NVIDIA publishes beside it as mean_std.pt."""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from cosmos_handler.artifacts.inspection import Inspection
from cosmos_handler.artifacts.native.archive import Records, TensorView, opened
from cosmos_handler.artifacts.native.torch_file import StructureReader, is_tensor, load_structure
from cosmos_handler.errors import CheckpointError

_MOST_VALUES = 65_536  # the published ones have 16 channels of 16 frames
_FORMATS: Mapping[str, str] = {"float64": "d", "float32": "f", "float16": "e", "bfloat16": "H"}


@dataclass(frozen=True)
class Statistics:
    """Of each channel, and in it of each latent frame: channels x frames numbers."""

    means: tuple[float, ...]
    deviations: tuple[float, ...]


def examine_statistics(look: Inspection, file: str, *, channels: int, least_frames: int) -> Statistics | None:
    """Those of a file; None, and a fault noted, where it does not hold them for so many frames."""
    if not look.require(file):
        return None
    try:
        with opened(look.folder / file, file) as archive:
            records = Records.of(archive, file)
            structure = records.structure()
            content = load_structure(structure, StructureReader, file)
            pair = content if isinstance(content, (tuple, list)) else ()
            views = [view for view in pair if is_tensor(view)]
            if len(pair) != 2 or len(views) != 2:
                look.fault(f"{file} does not hold two tensors: means and deviations of latents")
                return None
            means, deviations = (_values(records, view) for view in views)
            checksums = [records.checksum(view) for view in views]
    except CheckpointError as error:
        look.fault(str(error))
        return None
    look.headers[file] = structure + repr(checksums).encode()
    fault = fault_of(means, deviations, channels=channels, least_frames=least_frames)
    if fault is not None:
        look.fault(f"{file} {fault}")
        return None
    return Statistics(means, deviations)


def fault_of(
    means: tuple[float, ...], deviations: tuple[float, ...], *, channels: int, least_frames: int
) -> str | None:
    """What is wrong with some numbers, as the end of a sentence; None where nothing is."""
    if len(means) != len(deviations) or len(means) % channels or len(means) < channels * least_frames:
        return (
            f"holds {len(means)} means and {len(deviations)} deviations, not as many of both: one for each of "
            f"{channels} channels in each of {least_frames} latent frames or more"
        )
    if not all(map(math.isfinite, (*means, *deviations))) or min(deviations) <= 0:
        return "holds means that are no numbers, or deviations that are not above zero"
    return None


def _values(records: Records, view: TensorView) -> tuple[float, ...]:
    """The values of a tensor, the last axis fastest."""
    stored = records.tensor("latents", view)
    kind = _FORMATS.get(stored.dtype)
    if kind is None or view.storage.num_values > _MOST_VALUES or math.prod(view.shape) > _MOST_VALUES:
        raise CheckpointError(f"{records.name} holds {list(view.shape)} of {stored.dtype}, not a few decimal numbers")
    content = records.content(f"data/{view.storage.key}")
    numbers = [value for (value,) in struct.iter_unpack(f"<{kind}", content)]
    if stored.dtype == "bfloat16":  # the upper half of a float32
        numbers = [struct.unpack("<f", struct.pack("<I", number << 16))[0] for number in numbers]
    places = [view.offset]
    for size, step in zip(view.shape, view.stride, strict=True):
        places = [place + number * step for place in places for number in range(size)]
    return tuple(numbers[place] for place in places)
