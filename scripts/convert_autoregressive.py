#!/usr/bin/env python3
"""Convert an autoregressive Cosmos model in NVIDIA's own form (model.pt) into safetensors: once, not at each start.

SRC is a folder as NVIDIA publishes Cosmos-Predict1 (or Cosmos-1.0-Autoregressive) 4B, 12B, 5B-Video2World and
13B-Video2World: model.pt and config.json. DST becomes a folder with config.json and model.safetensors, from which the
model loads as any model of transformers does. Tensors keep their values and their types; only their names change.
Nothing in the file is run, and nothing is downloaded.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from cosmos_handler.artifacts.native.autoregressive import NativeModel, find_model  # noqa: E402 - of this checkout
from scripts.converted.command import run_conversion  # noqa: E402
from scripts.converted.folder import new_folder, write_tensors  # noqa: E402

_EPILOG = """\
example:
  scripts/convert_autoregressive.py Cosmos-Predict1-5B-Video2World converted

A model of your own, in other sizes than the published ones, needs in config.json what its tensors do not tell, under
NVIDIA's names: norm_eps, rope_theta, video_latent_shape, apply_yarn.
The conversion needs room in DST for a copy of the model, and in memory for one file of it.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 1 when the checkpoint or the folder is refused."""
    options = _parse(arguments)
    max_shard_bytes = int(options.shard_gb * 1e9)
    return run_conversion(
        "convert_autoregressive.py",
        options.dst,
        lambda: convert(find_model(options.src), options.dst, max_shard_bytes=max_shard_bytes),
    )


def convert(model: NativeModel, destination: Path, *, max_shard_bytes: int) -> None:
    """Write the model into `destination`, all of it or nothing.

    Raises CheckpointError where the folder is not empty, or the file does not hold what its structure says.
    """
    from cosmos_handler.families.autoregressive.config import CosmosAutoregressiveConfig
    from cosmos_handler.memory.native import native_tensors

    part = model.part
    if part.native is None:
        raise AssertionError("what is found in NVIDIA's own form is in NVIDIA's own form")
    config = CosmosAutoregressiveConfig(**part.native.config, architectures=["CosmosAutoregressive"], dtype=part.dtype)
    with new_folder(destination) as staged:
        config.save_pretrained(staged)
        tensors = native_tensors(model, part, part.native)
        write_tensors(staged, "model", tensors, size_bytes=part.size_bytes, max_shard_bytes=max_shard_bytes)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="convert_autoregressive.py", description=__doc__, epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("src", metavar="SRC", type=Path, help="folder with model.pt and config.json")
    parser.add_argument("dst", metavar="DST", type=Path, help="folder to write: absent, or empty")
    parser.add_argument("--shard-gb", metavar="N", type=float, default=5.0, help="largest file, in GB (default 5)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
