#!/usr/bin/env python3
"""Measure what plans predict, on full-size networks with random weights: none are downloaded or written to disk.

autoregressive
         Tokens per second of the autoregressive models of Cosmos 1.0; it has a --help of its own.
memory   Each preset of offloading, and diffusers' own ways of offloading, where it has any for the model, beside them
         in the same run: the peak that was predicted, the peaks that torch's allocator and the driver saw, and the
         published one; seconds per step against everything resident; seconds lost to copying. Weights are made in host
         memory and on the device; time and memory do not depend on what they are. Without a GPU it says so and prints
         the predictions alone.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from cosmos_handler.memory.cards import CARDS, find_card, machine_of  # noqa: E402
from cosmos_handler.messages.machine import Machine  # noqa: E402
from scripts.benching import autoregressive, memory, subjects  # noqa: E402

_GIGA = 10**9
# More than any model takes, where only the device is to be looked at.
_HOST_BYTES = 512 * _GIGA

_EPILOG = """\
how to read the table
  predicted   the plan's peak, weights and work, in GB of 1e9 bytes
  allocator   the most that torch handed out in any stage; the figure that predictions are about
  driver      the most that the driver said is used: the allocator's reserve, the context and the libraries as well
  published   NVIDIA's figure for the same row, where there is one
  s/step      of every denoising step but the first; of models that make tokens, of the diffusion decoder's, and
              their ms/token, of every token but the first, stand at the stage
  copying     predicted: seconds in which the work waits for weights; measured: how much longer the whole job took than
              with everything resident
  The lines below give each stage: peak predicted/measured, seconds predicted/measured.

examples:
  scripts/bench.py memory --out /tmp/memory.json
  scripts/bench.py memory --models predict1-14b --presets none,all --steps 3
  scripts/bench.py memory --models autoregressive-5b,autoregressive-13b
  scripts/bench.py memory --card a10g               (without a GPU: predictions for another card)
  scripts/bench.py memory --device cpu --tiny       (the same code on small networks, in a minute)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status (2 for wrong arguments, raised)."""
    began = time.monotonic()
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["autoregressive"]:
        return autoregressive.main(given[1:])
    options = _parse(given)
    device = _device(options)
    if options.tiny:
        return _tiny(options, began)
    chosen = [subjects.subject(name, num_steps=options.steps) for name in options.models]
    if device is None:
        card = find_card(options.card)
        machine = machine_of(card, device_bytes=card.memory_gigabytes * _GIGA, host_bytes=_HOST_BYTES)
        memory.say(f"there is no GPU here: predictions for one {card.name}, and nothing is run")
        print(memory.page(memory.predict(_bench(options, chosen, machine, began))))
    else:
        machine = memory.machine_here("cuda")
        memory.say(f"{machine.name}, {machine.device_bytes / _GIGA:.1f} GB of it to plan with")
        _measure(_bench(options, chosen, machine, began), device)
    memory.say(f"done in {time.monotonic() - began:.0f} s")
    return 0


def _tiny(options: argparse.Namespace, began: float) -> int:
    """Small networks on this machine's CPU. What the allocator and the driver hold is not measured there."""
    import tempfile

    import torch

    from scripts.benching.meters import one_thread
    from scripts.benching.tiny import tiny_subject

    with tempfile.TemporaryDirectory() as folder, one_thread():
        place = memory.write_small_files(Path(folder))
        chosen = [tiny_subject(name, place, num_steps=options.steps) for name in options.models]
        # The host is the device here, and has more than enough of both for these.
        machine = memory.machine_here("cpu").model_copy(update={"device_bytes": _GIGA, "host_bytes": _GIGA})
        bench = _bench(options, chosen, machine, began)
        _measure(bench, torch.device("cpu"), folder=place)
    return 0


def _measure(bench: memory.Bench, device: object, folder: Path | None = None) -> None:
    """Print what came out, and where it ends with an error what came out before."""
    sheets: list[memory.Sheet] = []
    try:
        memory.measure(bench, device, sheets, folder=folder)
    finally:
        print(memory.page(sheets), flush=True)


def _bench(
    options: argparse.Namespace, chosen: Sequence[subjects.Subject], machine: Machine, began: float
) -> memory.Bench:
    return memory.Bench(
        subjects=chosen,
        cases=options.presets,
        machine=machine,
        budget_seconds=options.budget_seconds,
        began=began,
        say=memory.say,
        out=options.out,
    )


def _device(options: argparse.Namespace) -> object | None:
    """torch's device; None where there is no GPU."""
    if options.device == "cpu":
        return None
    try:
        import torch
    except ModuleNotFoundError:
        return None
    if torch.cuda.is_available():
        return torch.device("cuda")
    if options.device == "cuda":
        raise SystemExit("bench: torch finds no GPU here")
    return None


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench.py",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=["memory", "autoregressive"], help="what to measure")
    names = ", ".join(subjects.NAMES)
    parser.add_argument(
        "--models", metavar="NAME,…", default=",".join(subjects.USUAL), help=f"of {names} (default %(default)s)"
    )
    parser.add_argument(
        "--presets",
        metavar="NAME,…",
        default=",".join(memory.CASES),
        help="rows to try, rivals after ours (default: %(default)s)",
    )
    parser.add_argument("--steps", metavar="N", type=int, default=2, help="denoising steps, two at least (default 2)")
    parser.add_argument(
        "--budget-seconds", metavar="S", type=float, default=520.0,
        help="what would not fit in this time is skipped, and the table says so (default %(default)g)",
    )  # fmt: skip
    parser.add_argument("--out", metavar="FILE", type=Path, help="write everything there as JSON, after every case")
    parser.add_argument("--device", choices=["auto", "cuda", "cpu"], default="auto", help="cpu: predictions, or --tiny")
    parser.add_argument("--tiny", action="store_true", help="small networks, on the CPU: tries the code, not the card")
    parser.add_argument(
        "--card",
        metavar="NAME",
        default="h200",
        help=f"to predict for without a GPU: {', '.join(CARDS)} (default h200)",
    )
    options = parser.parse_args(arguments)
    options.models = _listed(parser, "--models", options.models, subjects.NAMES)
    options.presets = _listed(parser, "--presets", options.presets, memory.CASES)
    if options.steps < 2:
        parser.error("--steps: the first step is no measure of the others, so there must be two")
    if options.tiny and options.device != "cpu":
        parser.error("--tiny: for --device cpu")
    _check_card(parser, options.card)
    return options


def _check_card(parser: argparse.ArgumentParser, name: str) -> None:
    try:
        find_card(name)
    except KeyError:
        parser.error(f"--card: {name!r} is none of {', '.join(CARDS)}")


def _listed(parser: argparse.ArgumentParser, option: str, text: str, known: Sequence[str]) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    strange = [name for name in names if name not in known]
    if strange or not names:
        _refuse(parser, f"{option}: {', '.join(strange) or 'nothing'} is none of {', '.join(known)}")
    return list(dict.fromkeys(names))


def _refuse(parser: argparse.ArgumentParser, problem: str) -> NoReturn:
    parser.error(problem)


if __name__ == "__main__":
    raise SystemExit(main())
