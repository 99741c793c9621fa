#!/usr/bin/env python3
"""Convert a checkpoint in NVIDIA's own form (.pt) into diffusers' layout with safetensors: once, not at each start.

SRC is a folder as NVIDIA's main branches hold it (base/post-trained/*_ema_bf16.pt and tokenizer.pth), or one with the
single .pt of a training of your own. DST becomes a folder with model_index.json that the server, and diffusers, load.
Tensors keep their values and their types; only their names change. Nothing is downloaded.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from cosmos_handler.artifacts.checkpoint import CONTROL_PART, Checkpoint, Part  # noqa: E402 - of this checkout
from cosmos_handler.artifacts.elsewhere import Elsewhere  # noqa: E402
from cosmos_handler.artifacts.lora import FOLDER as LORA_FOLDER  # noqa: E402
from cosmos_handler.artifacts.transfer import BRANCHES  # noqa: E402
from cosmos_handler.errors import CheckpointError  # noqa: E402
from scripts.converted.command import run_conversion  # noqa: E402
from scripts.converted.folder import new_folder, write_json, write_tensors  # noqa: E402

# A part → its folder in diffusers' layout, and the class in its config.json. NVIDIA's word for the VAE is tokenizer.
_FOLDERS = {
    "transformer": ("transformer", "CosmosTransformer3DModel"),
    "tokenizer": ("vae", "AutoencoderKLWan"),
    **{
        f"{CONTROL_PART}{control}": (f"controlnet/{branch}", "CosmosControlNetModel")
        for control, branch in BRANCHES.items()
    },
}
_PIPELINES = {"predict2.5": "Cosmos2_5_PredictBasePipeline", "transfer2.5": "Cosmos2_5_TransferPipeline"}
_INDEX = {
    "safety_checker": [None, None],  # the server brings its own guardrails
    "scheduler": ["diffusers", "UniPCMultistepScheduler"],
    "text_encoder": ["transformers", "Qwen2_5_VLForConditionalGeneration"],
    "tokenizer": ["transformers", "Qwen2Tokenizer"],
    "transformer": ["diffusers", "CosmosTransformer3DModel"],
    "vae": ["diffusers", "AutoencoderKLWan"],
}
_STEM = "diffusion_pytorch_model"
_TOKENIZER_FILES = ("tokenizer*", "vocab.json", "merges.txt", "chat_template.*", "special_tokens_map.json", "added_*")

_EPILOG = """\
examples:
  scripts/convert.py Cosmos-Predict2.5-2B converted --text-encoder Cosmos-Reason1-7B
  scripts/convert.py my-training converted --text-encoder Cosmos-Reason1-7B --vae Cosmos-Predict2.5-2B/tokenizer.pth

A folder with several checkpoints gives base/post-trained, else base/pre-trained; --checkpoint chooses another.
The conversion needs room in DST for a copy of all parts; --link saves that of the text encoder.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 1 when the checkpoint or the folder is refused."""
    options = _parse(arguments)
    elsewhere = Elsewhere(
        text_encoders=tuple(path.absolute() for path in options.text_encoder),
        vaes=tuple(path.absolute() for path in options.vae),
        chosen=options.checkpoint,
    )
    max_shard_bytes = int(options.shard_gb * 1e9)

    def convert_found() -> None:
        convert(_found(options.src, elsewhere), options.dst, max_shard_bytes=max_shard_bytes, link=options.link)

    return run_conversion("convert.py", options.dst, convert_found)


def convert(checkpoint: Checkpoint, destination: Path, *, max_shard_bytes: int, link: bool = False) -> None:
    """Write the checkpoint into `destination`, all of it or nothing. link: do not copy the text encoder.

    Raises CheckpointError where the folder is not empty, or the files do not hold what their headers say.
    """
    with new_folder(destination) as staged:
        for part in checkpoint.parts:
            if part.native is not None:
                _write_part(checkpoint, part, staged, max_shard_bytes=max_shard_bytes)
            else:
                _take(Path(checkpoint.path) / part.folder, staged / _FOLDERS.get(part.name, (part.name,))[0], link=link)
        if (Path(checkpoint.path) / LORA_FOLDER).is_dir():
            _take(Path(checkpoint.path) / LORA_FOLDER, staged / LORA_FOLDER, link=False)
        _take_tokenizer(checkpoint.folder_of("tokenizer"), staged / "tokenizer")
        _take(checkpoint.folder_of("scheduler"), staged / "scheduler", link=False)
        write_json(staged / "model_index.json", {"_class_name": _PIPELINES[checkpoint.family], **_INDEX})


def _write_part(checkpoint: Checkpoint, part: Part, staged: Path, *, max_shard_bytes: int) -> None:
    from cosmos_handler.memory.native import native_tensors

    if part.native is None:
        raise AssertionError("only parts in NVIDIA's own form are written")
    name, class_name = _FOLDERS[part.name]
    folder = staged / name
    folder.mkdir(parents=True)
    write_json(folder / "config.json", {"_class_name": class_name, **part.native.config})
    tensors = native_tensors(checkpoint, part, part.native)
    write_tensors(
        folder, _STEM, tensors,
        size_bytes=part.size_bytes, max_shard_bytes=max_shard_bytes, shown_as=f"{name}/",
    )  # fmt: skip


def _take(source: Path, target: Path, *, link: bool) -> None:
    if link:
        target.symlink_to(source.resolve(), target_is_directory=True)
    else:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(".*"))
    print(f"{target.name}: {'linked to' if link else 'copied from'} {source}", flush=True)


def _take_tokenizer(source: Path, target: Path) -> None:
    """The tokenizer alone: its folder may hold the text encoder as well."""
    target.mkdir()
    for pattern in _TOKENIZER_FILES:
        for file in source.glob(pattern):
            if file.is_file():
                shutil.copy(file, target)
    print(f"tokenizer: copied from {source}", flush=True)


def _found(source: Path, elsewhere: Elsewhere) -> Checkpoint:
    from cosmos_handler.artifacts.discover import discover  # needs more than the standard library

    checkpoints = discover(source, elsewhere=elsewhere)
    native = [each for each in checkpoints if any(part.native for part in each.parts)]
    if len(checkpoints) != 1:
        names = ", ".join(each.path for each in checkpoints)
        raise CheckpointError(f"{source} holds several models; convert one at a time: {names}")
    if not native:
        raise CheckpointError(f"{source} is not in NVIDIA's own form: it is served as it is")
    return native[0]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="convert.py", description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("src", metavar="SRC", type=Path, help="folder with the checkpoint")
    parser.add_argument("dst", metavar="DST", type=Path, help="folder to write: absent, or empty")
    parser.add_argument(
        "--text-encoder", metavar="DIR", type=Path, action="append", default=[],
        help="Cosmos-Reason1-7B, unless it is in SRC/text_encoder",
    )  # fmt: skip
    parser.add_argument(
        "--vae", metavar="PATH", type=Path, action="append", default=[],
        help="tokenizer.pth, or a folder with a VAE, unless SRC has one",
    )  # fmt: skip
    parser.add_argument("--checkpoint", metavar="NAME", help="file or folder in SRC, where that holds several")
    parser.add_argument("--shard-gb", metavar="N", type=float, default=5.0, help="largest file, in GB (default 5)")
    parser.add_argument("--link", action="store_true", help="link to the text encoder instead of copying it")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
