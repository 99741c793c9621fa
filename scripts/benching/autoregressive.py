"""`scripts/bench.py autoregressive`: tokens per second of full-size networks with random weights, and a whole video."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.benching.memory import machine_here, say

if TYPE_CHECKING:
    from cosmos_handler.families.autoregressive.network import CosmosAutoregressive

SIZES = ("4b", "5b", "12b", "13b", "tiny")
_GIGA = 10**9
# Of what is there, for what the work takes beside weights and cache.
_USABLE = 0.9
_MOST_FRAMES = 5

_EPILOG = """\
how to read the table
  given       latent frames before the measured tokens, of 5; the more, the more of the cache each token reads
  way         plain: every kernel is started by the host; replayed: a whole step at once, as a CUDA graph (GPU alone)
  limit ms    weights, and keys and values of the tokens so far, read once at the rate at which memory was copied in
              this run
  of limit    limit / measured: 100 % would be a step that does nothing but read them once
  vs plain    tokens per second against the plain way of the same row

examples:
  scripts/bench.py autoregressive --whole --out /tmp/tokens.json   (everything, on a GPU)
  scripts/bench.py autoregressive --size 13b --batches 1 --given 1
  scripts/bench.py autoregressive --device cpu --size 4b --layers 2 --batches 1
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit status (2 for wrong arguments, raised)."""
    options = _parse(arguments)
    import torch

    from scripts.benching import tokens

    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("bench: torch finds no GPU here")
    on_gpu = torch.cuda.is_available() and options.device != "cpu"
    device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
    options.size = options.size or ("4b" if on_gpu else "tiny")
    options.steps = options.steps or (200 if on_gpu else 20)
    model = tokens.build(tokens.config_of(options.size, options.layers))
    needed = tokens.needed_bytes(model, max(options.batches), whole=options.whole, tiny=options.size == "tiny")
    record: dict[str, Any] = {
        "device": _refuse_what_does_not_fit(options, needed, on_gpu=on_gpu),
        "size": options.size, "layers": model.config.num_hidden_layers, "steps": options.steps,
        "copy_bytes_per_second": tokens.copy_bandwidth(device), "paces": [], "whole_video": None,
    }  # fmt: skip
    try:
        _measure(options, tokens.filled(model, device), record)
    finally:
        print(page(record), flush=True)
    return 0


def _measure(options: argparse.Namespace, model: "CosmosAutoregressive", record: dict[str, Any]) -> None:
    """Put into the record what comes out, and write it each time, so that nothing is lost on the way."""
    from scripts.benching import tokens

    ways = (False, True) if model.device.type == "cuda" else (False,)
    for batch, given, replayed in product(options.batches, options.given, ways):
        say(f"{options.size}: {batch} at a time, {given} latent frames given, {'replayed' if replayed else 'plain'}")
        bandwidth = record["copy_bytes_per_second"]
        measured = tokens.pace(model, batch, given, steps=options.steps, replayed=replayed, bandwidth=bandwidth)
        record["paces"].append(asdict(measured) | {"tokens_per_second": measured.tokens_per_second})
        _write(options.out, record)
    if options.whole:
        record["whole_video"] = tokens.whole_video(model, tiny=options.size == "tiny", say=say)
        _write(options.out, record)


def _refuse_what_does_not_fit(options: argparse.Namespace, needed: int, *, on_gpu: bool) -> str:
    """The machine's name. Raises SystemExit."""
    machine = machine_here("cuda" if on_gpu else "cpu")
    usable = int(machine.device_bytes * _USABLE)
    if needed > usable:
        raise SystemExit(
            f"bench: {options.size} with {max(options.batches)} requests at a time takes {needed / _GIGA:.1f} GB, and "
            f"the work some more, and there are {usable / _GIGA:.1f} GB: less --size, --layers or --batches may fit"
        )
    return machine.name


def page(record: dict[str, Any]) -> str:
    """For a person."""
    lines = [
        f"{record['size']}, {record['layers']} layers, on {record['device']}: memory is copied at "
        f"{record['copy_bytes_per_second'] / _GIGA:.0f} GB/s",
        f"  {'batch':>5}{'given':>7}  {'way':<10}{'tokens/s':>10}{'ms/step':>10}{'limit ms':>10}{'of limit':>10}"
        f"{'vs plain':>10}{'peak GB':>9}",
    ]
    plain_seconds: dict[tuple[int, int], float] = {}
    for each in record["paces"]:
        took, limit = each["step_seconds"], each["limit_seconds"]
        faster = plain_seconds.setdefault((each["batch"], each["given_frames"]), took) / took
        lines.append(
            f"  {each['batch']:>5}{each['given_frames']:>7}  {each['way']:<10}{each['tokens_per_second']:>10.1f}"
            f"{1e3 * took:>10.2f}{1e3 * limit:>10.2f}{100 * limit / took:>9.1f}%{faster:>10.2f}"
            f"{_gigabytes(each['peak_bytes']):>9}"
        )
    whole = record["whole_video"]
    if whole is not None:
        lines.append(f"  a whole video, {whole['tokens']} tokens to frames {whole['frames']}: {whole['seconds']:.1f} s")
        for name, stage in whole["stages"].items():
            lines.append(f"    {name:<18}{stage['seconds']:>8.2f} s, peak {_gigabytes(stage['peak_bytes'])} GB")
    return "\n".join(lines)


def _gigabytes(size_bytes: int | None) -> str:
    return "-" if size_bytes is None else f"{size_bytes / _GIGA:.2f}"


def _write(out: Path | None, record: dict[str, Any]) -> None:
    if out is not None:
        out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench.py autoregressive",
        description="How fast the autoregressive models of Cosmos 1.0 make tokens, with random weights.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--size", choices=SIZES, help="of the published models (default 4b; tiny without a GPU)")
    parser.add_argument("--layers", metavar="N", type=int, help="so many layers alone, where all are too many")
    parser.add_argument("--batches", metavar="N,…", default="1,8", help="requests at a time (default %(default)s)")
    parser.add_argument(
        "--given", metavar="N,…", default="1,4", help="latent frames that are given, of 5 (default %(default)s)"
    )
    parser.add_argument("--steps", metavar="N", type=int, help="measured steps (default 200; 20 without a GPU)")
    parser.add_argument(
        "--whole", action="store_true", help="a whole video of 33 frames as well, with the diffusion decoder"
    )
    parser.add_argument("--out", metavar="FILE", type=Path, help="write everything there as JSON, after every row")
    parser.add_argument("--device", choices=["auto", "cuda", "cpu"], default="auto")
    options = parser.parse_args(arguments)
    options.batches = _numbers(parser, "--batches", options.batches, most=64)
    options.given = _numbers(parser, "--given", options.given, most=_MOST_FRAMES - 1)
    for name, most in (("layers", 40), ("steps", 400)):
        value = getattr(options, name)
        if value is not None and not 0 < value <= most:
            parser.error(f"--{name}: {value} is not from 1 to {most}")
    return options


def _numbers(parser: argparse.ArgumentParser, option: str, text: str, *, most: int) -> list[int]:
    names = [name.strip() for name in text.split(",")]
    if not all(name.isdecimal() and 0 < int(name) <= most for name in names):
        parser.error(f"{option}: {text!r} is no list of numbers from 1 to {most}")
    return [int(name) for name in dict.fromkeys(names)]
