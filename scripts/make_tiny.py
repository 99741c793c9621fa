#!/usr/bin/env python3
"""Write tiny checkpoints with random weights in the file layout of the published ones, in seconds on a CPU.

What they generate is noise and word salad, but the code that loads and runs them is the code that runs the real ones.
Nothing is downloaded. The same name and seed give the same bytes again on the same library versions; in .jit programs,
into which torch writes how they were made, the same tensors.
"""

import argparse
import importlib
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

# Name → the module whose write(folder, seed=…, report=…) makes it. Imported on demand: the libraries take seconds.
CHECKPOINTS = {
    "cosmos3": "scripts.tiny.cosmos3",
    "predict2.5": "scripts.tiny.predict2_5",
    "transfer2.5": "scripts.tiny.transfer2_5",
    "reason1": "scripts.tiny.reason1",
    "reason2": "scripts.tiny.reason2",
}
# The same for those that NVIDIA publishes in a form of its own as well, or in that alone.
NATIVE_CHECKPOINTS = {
    "predict2.5": "scripts.tiny.native_predict2_5",
    "transfer2.5": "scripts.tiny.native_transfer2_5",
    "autoregressive": "scripts.tiny.native_autoregressive",
    "autoregressive_text": "scripts.tiny.native_autoregressive_text",
    "autoregressive_full": "scripts.tiny.native_autoregressive_full",
    "autoregressive_text_full": "scripts.tiny.native_autoregressive_text_full",
}
# Those that make pictures, and so need guardrails: each gets some of its own, in a folder of that name.
GENERATORS = {"cosmos3", *NATIVE_CHECKPOINTS}
GUARDRAILS, _GUARDRAILS_MODULE = "guardrails", "scripts.tiny.guardrails"
MARKER = ".make_tiny.json"  # tells a folder written here, and which of its files are ours

_EPILOG = """\
names:
  cosmos3      nvidia/Cosmos3-Nano: diffusers form, and in the same folder transformers' form of its reasoner
  predict2.5   nvidia/Cosmos-Predict2.5-2B, diffusers form: model_index.json and a folder a component
  transfer2.5  nvidia/Cosmos-Transfer2.5-2B, diffusers form, the control branches in controlnet/edge, blur, depth, seg
  reason1      nvidia/Cosmos-Reason1-7B: Qwen2.5-VL weights, tokenizer, processor
  reason2      nvidia/Cosmos-Reason2-2B: Qwen3-VL weights, tokenizer, processors
  guardrails   nvidia/Cosmos-Guardrail1 and a Qwen3Guard-Gen, which block what they should; every generator
               above has them as well, in its folder guardrails
  all          each of the models, in a subfolder of DIR with its name

with --native:
  predict2.5   its main branch: base/post-trained/*_ema_bf16.pt and tokenizer.pth, and a text encoder beside them
  transfer2.5  its main branch: general/edge (blur, depth, seg)/*_ema_bf16.pt; a VAE and a text encoder beside them
  autoregressive, autoregressive_text
               nvidia/Cosmos-Predict1-4B and -5B-Video2World, of which there is no other form: model.pt and config.json,
               with what goes with them; for videos of 64 x 128 pixels
  autoregressive_full, autoregressive_text_full
               the same for videos of 640 x 1024 pixels, as the published ones make them

examples:
  scripts/make_tiny.py all --out model_artifacts/tiny
  scripts/make_tiny.py predict2.5 --out /tmp/predict --seed 7
  scripts/make_tiny.py predict2.5 --native --out /tmp/native
"""


class FolderRefused(Exception):
    """The output folder holds something that was not written here; the message says what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 1 when the folder is refused (2 for wrong arguments, raised)."""
    started = time.monotonic()
    options = _parse(arguments)
    everything = {name: options.out / name for name in (NATIVE_CHECKPOINTS if options.native else CHECKPOINTS)}
    folders = everything if options.name == "all" else {options.name: options.out}
    try:
        for folder in folders.values():
            check_folder(folder, force=options.force)
    except FolderRefused as refusal:
        print(f"make_tiny: {refusal}", file=sys.stderr)
        return 1
    if importlib.util.find_spec("torch") is None:
        _run_again_in_venv()
    importlib.import_module("transformers.utils.logging").disable_progress_bar()  # a bar for a file of 1 MB
    for name, folder in folders.items():
        write_checkpoint(name, folder, seed=options.seed, force=options.force, native=options.native)
    print(f"done in {time.monotonic() - started:.1f} s, imports included")
    return 0


def write_checkpoint(
    name: str,
    folder: Path,
    *,
    seed: int = 0,
    force: bool = False,
    native: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Write the checkpoint `name` (a key of CHECKPOINTS, or GUARDRAILS) into `folder`, all of it or nothing.

    An earlier output in the folder is removed first; other files stay. native: in NVIDIA's own form (a key of
    NATIVE_CHECKPOINTS). say: takes the progress lines.
    Raises FolderRefused as check_folder does, KeyError for an unknown name.
    """
    check_folder(folder, force=force)
    makers = {**(NATIVE_CHECKPOINTS if native else CHECKPOINTS), GUARDRAILS: _GUARDRAILS_MODULE}
    maker = importlib.import_module(makers[name])
    started = last = time.monotonic()

    def report(part: str) -> None:
        nonlocal last
        now = time.monotonic()
        say(f"{name}: {part} ({now - last:.2f} s)")
        last = now

    folder.mkdir(parents=True, exist_ok=True)
    # Beside its destination, so that moving the files is a rename.
    with tempfile.TemporaryDirectory(prefix=".make_tiny-", dir=folder) as staging:
        staged = Path(staging)
        maker.write(staged, seed=seed, report=report)
        if name in GENERATORS:
            (staged / GUARDRAILS).mkdir()
            importlib.import_module(_GUARDRAILS_MODULE).write(staged / GUARDRAILS, seed=seed, report=report)
        _remove_earlier(folder)
        size_bytes, files = _place(staged, folder)
    marker = {"name": name, "seed": seed, "files": files}
    (folder / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
    seconds = time.monotonic() - started
    say(f"{name}: {size_bytes / 1e6:.2f} MB in {len(files)} files, {folder} ({seconds:.2f} s)")


def check_folder(folder: Path, *, force: bool) -> None:
    """Raise FolderRefused unless `folder` is absent, empty, an earlier output, or `force` is set."""
    if folder.exists() and not folder.is_dir():
        raise FolderRefused(f"{folder} is not a folder")
    if not folder.is_dir() or force or (folder / MARKER).is_file():
        return
    if any(folder.iterdir()):
        raise FolderRefused(
            f"{folder} is not empty and was not written by this command; choose another folder, "
            "or pass --force to add to it, overwriting files of the same names"
        )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make_tiny.py", description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*dict.fromkeys([*CHECKPOINTS, *NATIVE_CHECKPOINTS]), GUARDRAILS, "all"]
    parser.add_argument("name", metavar="NAME", choices=names, help="which one; see below")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder to write, made if absent")
    parser.add_argument("--native", action="store_true", help="write NVIDIA's own form instead, where it has one")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the random weights (default 0)")
    parser.add_argument(
        "--force", action="store_true", help="add to a folder of other files, overwriting those of the same names"
    )
    options = parser.parse_args(arguments)
    if options.native and options.name not in (*NATIVE_CHECKPOINTS, "all"):
        parser.error(f"{options.name} has no form of NVIDIA's own; --native is for {', '.join(NATIVE_CHECKPOINTS)}")
    if not options.native and options.name not in (*CHECKPOINTS, GUARDRAILS, "all"):
        parser.error(f"{options.name} has NVIDIA's own form alone: pass --native")
    return options


def _run_again_in_venv() -> NoReturn:
    python = ROOT / ".venv" / "bin" / "python"
    if not python.is_file() or Path(sys.prefix) == ROOT / ".venv":
        sys.exit(
            f"make_tiny: {sys.executable} has no torch; run it with the project's environment: "
            ".venv/bin/python scripts/make_tiny.py …"
        )
    os.execv(python, [str(python), *sys.argv])  # noqa: S606 (no shell is wanted)


def _remove_earlier(folder: Path) -> None:
    marker = folder / MARKER
    if not marker.is_file():
        return
    for file in json.loads(marker.read_text(encoding="utf-8"))["files"]:
        path = folder / file
        path.unlink(missing_ok=True)
        for parent in path.relative_to(folder).parents[:-1]:
            place = folder / parent
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()
    marker.unlink()


def _place(staged: Path, folder: Path) -> tuple[int, list[str]]:
    """Move every file to the same place under `folder`; returns their size in bytes and their relative paths."""
    size_bytes = 0
    files = sorted(path.relative_to(staged).as_posix() for path in staged.rglob("*") if path.is_file())
    for file in files:
        path = staged / file
        path.chmod(0o644)  # the safetensors library leaves its files to their owner, servers often run as another user
        size_bytes += path.stat().st_size
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        path.replace(folder / file)
    return size_bytes, files


if __name__ == "__main__":
    sys.exit(main())
