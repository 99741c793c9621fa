#!/usr/bin/env python3
"""Convert T5 as google-t5/t5-11b has it (pytorch_model.bin) into safetensors, for autoregressive models with a prompt.

SRC is the folder that NVIDIA's code fetches: config.json, pytorch_model.bin and tokenizer.json. DST becomes a folder
with text_encoder and tokenizer, as nvidia/Cosmos-1.0-Diffusion-7B-Text2World holds them: the half of T5 that reads, in
the type that is served. Nothing in the file is run, and nothing is downloaded.
"""

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from cosmos_handler.artifacts.inspection import Inspection  # noqa: E402 - of this checkout
from cosmos_handler.errors import CheckpointError  # noqa: E402
from scripts.converted.command import run_conversion  # noqa: E402
from scripts.converted.folder import new_folder, write_tensors  # noqa: E402

if TYPE_CHECKING:
    import torch
    from transformers import T5Config

_WEIGHTS_FILE = "pytorch_model.bin"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "spiece.model")
# Another name of the embedding, which is read under its own.
_TIED = "encoder.embed_tokens.weight"
_MOST_NAMED = 3

_EPILOG = """\
example, beside the model in the folder that is served:
  scripts/convert_text_encoder.py checkpoints/google-t5/t5-11b /opt/ml/model/Cosmos-1.0-Diffusion-7B-Text2World

Of T5 11B, the half that reads takes 9.5 GB in bfloat16, for which the conversion needs room in DST and in memory; in
memory also for the whole file, 45 GB, where that is in the format of torch before 1.6.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 1 when the text encoder or the folder is refused."""
    options = _parse(arguments)
    max_shard_bytes = int(options.shard_gb * 1e9)
    return run_conversion(
        "convert_text_encoder.py",
        options.dst,
        lambda: convert(options.src, options.dst, dtype=options.dtype, max_shard_bytes=max_shard_bytes),
    )


def convert(source: Path, destination: Path, *, dtype: str, max_shard_bytes: int) -> None:
    """Write text encoder and tokenizer into `destination`, all of it or nothing.

    Raises CheckpointError with everything that is wrong with the files, or where the folder is not empty.
    """
    with new_folder(destination) as staged:
        config = _config(source)
        tensors = _encoder_tensors(source, config, dtype)
        config.architectures, config.dtype = ["T5EncoderModel"], dtype
        config.save_pretrained(staged / "text_encoder")
        size_bytes = sum(tensor.nbytes for tensor in tensors.values())
        write_tensors(staged / "text_encoder", "model", tensors, size_bytes=size_bytes, max_shard_bytes=max_shard_bytes)
        (staged / "tokenizer").mkdir()
        for name in _TOKENIZER_FILES:
            if (source / name).is_file():
                shutil.copyfile(source / name, staged / "tokenizer" / name)


def _config(source: Path) -> "T5Config":
    from transformers import T5Config

    look = Inspection(source)
    there = [look.require(name) for name in ("config.json", _WEIGHTS_FILE, "tokenizer.json")]
    content = look.json_object("config.json") if there[0] else None
    if content is not None and content.get("model_type") != "t5":
        look.fault("config.json is not of a T5")
    if look.faults or content is None:
        raise CheckpointError(f"{source} cannot be converted: {'; '.join(look.faults)}")
    return T5Config.from_dict(content)


def _encoder_tensors(source: Path, config: "T5Config", dtype: str) -> "Mapping[str, torch.Tensor]":
    """The tensors of the half that reads, by the names of the library."""
    import torch
    from transformers import T5EncoderModel

    from cosmos_handler.memory.native import read_state

    state = read_state(source / _WEIGHTS_FILE)
    with torch.device("meta"):
        wanted = {name: each.shape for name, each in T5EncoderModel(config).state_dict().items() if name != _TIED}
    if not isinstance(state, dict):
        raise CheckpointError(f"{source / _WEIGHTS_FILE} holds no tensors by their names")
    wrong = []
    for name, shape in wanted.items():
        found = state.get(name)
        if not isinstance(found, torch.Tensor):
            wrong.append(f"{name} is missing")
        elif found.shape != shape:
            wrong.append(f"{name} is {list(found.shape)}, not {list(shape)}")
    if wrong:
        more = f" and {len(wrong) - _MOST_NAMED} more" if len(wrong) > _MOST_NAMED else ""
        raise CheckpointError(f"{source / _WEIGHTS_FILE}: {'; '.join(wrong[:_MOST_NAMED])}{more}")
    return {name: state[name].detach().to(getattr(torch, dtype)) for name in wanted}


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="convert_text_encoder.py", description=__doc__, epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("src", metavar="SRC", type=Path, help=f"folder with {_WEIGHTS_FILE}")
    parser.add_argument("dst", metavar="DST", type=Path, help="folder to write: absent, or empty")
    parser.add_argument(
        "--dtype", choices=("bfloat16", "float32"), default="bfloat16", help="of the weights (default bfloat16)"
    )
    parser.add_argument("--shard-gb", metavar="N", type=float, default=5.0, help="largest file, in GB (default 5)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
