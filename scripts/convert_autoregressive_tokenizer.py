#!/usr/bin/env python3
"""Convert the discrete video tokenizer DV8x16x16 (encoder.jit and decoder.jit) into safetensors, once and for all.

SRC is a folder as NVIDIA publishes it. DST becomes a folder with config.json and diffusion_pytorch_model.safetensors.
Tensors keep their values and their types; only their names change. The programs in SRC are read, not run, and nothing
is downloaded.
"""

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from cosmos_handler.artifacts.inspection import Inspection  # noqa: E402 - of this checkout
from cosmos_handler.artifacts.native.video_tokenizer import examine_video_tokenizer  # noqa: E402
from cosmos_handler.errors import CheckpointError  # noqa: E402
from scripts.converted.folder import new_folder, run_again_in_venv, write_json  # noqa: E402

_CLASS_NAME = "VideoTokenizer"
_WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 1 when the tokenizer or the folder is refused."""
    parser = argparse.ArgumentParser(
        prog="convert_autoregressive_tokenizer.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("src", metavar="SRC", type=Path, help="folder with encoder.jit and decoder.jit")
    parser.add_argument("dst", metavar="DST", type=Path, help="folder to write: absent, or empty")
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("torch") is None:
        run_again_in_venv("convert_autoregressive_tokenizer.py")
    try:
        size_bytes = convert_tokenizer(options.src, options.dst)
    except CheckpointError as error:
        print(f"convert: {error}", file=sys.stderr)
        return 1
    print(f"{options.dst}: {size_bytes / 1e9:.2f} GB")
    return 0


def convert_tokenizer(source: Path, destination: Path) -> int:
    """Write the tokenizer of `source` into `destination`, all of it or nothing; returns its size in bytes.

    Raises CheckpointError with everything that is wrong with it, or where the folder is not empty.
    """
    look = Inspection(source)
    part = examine_video_tokenizer(look, ".", name="tokenizer")
    if part is None or part.native is None:
        raise CheckpointError(f"{source} cannot be converted: {'; '.join(look.faults)}")

    from safetensors.torch import save_file

    from cosmos_handler.memory.scripted import scripted_tensors

    tensors = scripted_tensors({file: source / file for file in part.files}, part.native.names)
    with new_folder(destination) as staged:
        save_file(tensors, staged / _WEIGHTS_FILE, metadata={"format": "pt"})
        (staged / _WEIGHTS_FILE).chmod(0o644)  # the library leaves its files to their owner
        write_json(staged / "config.json", {"_class_name": _CLASS_NAME, **part.native.config})
    return part.size_bytes


if __name__ == "__main__":
    sys.exit(main())
