#!/usr/bin/env python3
"""Say where every part of a model would lie on a card, what each stage takes, and how long it lasts.

Neither a GPU nor weights are needed: --model is a public model, whose sizes are built in, or a folder with checkpoints,
of which only configurations and headers are read. A server plans in the same way, with what it measures at its start:
GET and POST /plan show it.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from cosmos_handler.errors import CosmosError  # noqa: E402
from cosmos_handler.memory.cards import CARDS, INSTANCES  # noqa: E402
from cosmos_handler.memory_settings import MEMORY_VARIABLES  # noqa: E402
from cosmos_handler.messages.machine import MemoryWish, Offload  # noqa: E402
from cosmos_handler.messages.tasks import Answer, Task  # noqa: E402
from scripts.planned.cards_table import markdown  # noqa: E402
from scripts.planned.models import (  # noqa: E402
    BadRequest,
    Model,
    Request,
    Verdict,
    fields_of,
    judge,
    models_of,
    names_like,
    public_models,
)
from scripts.planned.place import HOST_GIGABYTES, Place, place_of  # noqa: E402

_GIGA = 10**9

_EPILOG = """\
how to read it
  GB are 1e9 bytes, as on a card's box; GiB are 2^30, as torch reports them. A card is not planned with whole: the
  driver and the process's context take 0.8 GB of it, the libraries 0.4 GB, and 2 % is lost between the allocator's
  pieces. Of the host's memory, 3 % is never shown, the system takes 1 GB and the server 2 GB, and a tenth of the rest
  stays free.
  resident  on the device all the time
  swapped   in pinned host memory, and on the device for its stage
  streamed  block by block out of pinned host memory, the next block copied while one works
  disk      read from its files for its stage, where host memory is too small as well
  A stage's peak is its weights and its work together. "copying" are seconds in which the work waits for weights.
  Rates are those of a table (cosmos_handler/memory/cards.py) and were not measured; without --card, they are those of
  a usual card of that size.

exit status: 0 if the request can be done, 1 if not, 2 for wrong arguments; 0 for any --all-models

examples:
  scripts/plan.py --model Cosmos-Predict2.5-14B --device-gb 24 --frames 77 --size 1280x704
  scripts/plan.py --model Cosmos3-Nano --instance ml.g6e.2xlarge --window-seconds 3600
  scripts/plan.py --model /opt/ml/model --card l4 --host-gb 32 --offload all
  scripts/plan.py --model Cosmos-Predict1-13B-Video2World --card a10g --batch-size 8
  scripts/plan.py --all-models --device-gb 24
  scripts/plan.py --list
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status (2 for wrong arguments, raised)."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list:
        print(_listing())
        return 0
    if options.markdown:
        print(markdown(options.host_gb or HOST_GIGABYTES))
        return 0
    place = _place(parser, options)
    if not place.card.has_bf16:
        print(f"plan: a {place.card.name} does not compute in bf16, in which all these weights are", file=sys.stderr)
        return 1
    try:
        wish = _wish(options)
        models, note = _models(parser, options)
        models = [replace(model, batch_size=options.batch_size) for model in models]
        verdicts = [_verdict(model, options, place, wish) for model in models]
    except (BadRequest, ValueError) as error:
        parser.error(str(error))
    except CosmosError as error:
        print(f"plan: {error}", file=sys.stderr)
        return 1
    if options.json:
        records = [_record(verdict) for verdict in verdicts]
        print(json.dumps(records[0] if len(records) == 1 else records, indent=2))
    else:
        print("\n".join([place.heading(), *([note] if note else []), ""]))
        print(_lines(verdicts) if options.all_models else "\n\n".join(_page(verdict) for verdict in verdicts))
    return 0 if options.all_models or all(verdict.fits for verdict in verdicts) else 1


def _verdict(model: Model, options: argparse.Namespace, place: Place, wish: MemoryWish) -> Verdict:
    height, width = options.size or (None, None)
    asked = Request(options.frames, height, width, options.steps, options.guidance)
    task = model.task(asked)
    return judge(model, task, place.machine, wish, window_seconds=options.window_seconds)


def _page(verdict: Verdict) -> str:
    heading = f"{verdict.model.name}: {_said(verdict.task)}"
    if verdict.model.checkpoint is None:
        heading += " (no server here runs it; planned all the same)"
    if (together := verdict.model.batch_size) > 1:
        heading += f"; {together} together, {verdict.plan.seconds / together:.0f} s for each"
    if verdict.fits:
        return f"{heading}\n{verdict.plan.table()}"
    closest = "its fastest plan:" if verdict.is_slow else "the plan that lacks least:"
    return (
        f"{heading}\n  cannot be done: {verdict.problem}\n  {_advice(verdict)}\n  {closest}\n\n{verdict.plan.table()}"
    )


def _lines(verdicts: Sequence[Verdict]) -> str:
    """One line a model."""
    rows = [f"{'model':<36} {'peak GB':>8} {'decode':>7} {'seconds':>9} {'copying':>8}  request and where parts lie"]
    for verdict in verdicts:
        plan, name = verdict.plan, verdict.model.name + ("" if verdict.model.checkpoint else " *")
        if verdict.fits:
            rows.append(
                f"{name:<36} {plan.peak_bytes / _GIGA:>8.1f} {plan.decode:>7} {plan.seconds:>9.0f} "
                f"{plan.copy_seconds:>8.1f}  {_said(verdict.task)}; {_away(verdict)}"
            )
        else:
            rows.append(f"{name:<36} {'no':>8}  {verdict.problem}; {_advice(verdict)}")
    return "\n".join([*rows, "", "* no server here runs it; the rest is as published"])


def _away(verdict: Verdict) -> str:
    """The groups of parts that are not resident, by where they are."""
    plan = verdict.plan
    places: dict[str, list[str]] = {}
    for part in plan.parts:
        where = plan.placements[part.key]
        if where != "resident":
            groups = places.setdefault(where, [])
            groups += [part.group] if part.group not in groups else []
    return "; ".join(f"{where}: {', '.join(groups)}" for where, groups in places.items()) or "all resident"


def _advice(verdict: Verdict) -> str:
    ways = []
    if verdict.host_bytes is not None:
        ways.append(f"with {verdict.host_bytes / _GIGA:.0f} GB of host memory it could be")
    if verdict.nearest is not None:
        ways.append(f"nearest that can: {_said(verdict.nearest)}")
    return "; ".join(ways) or "no smaller request would do"


def _said(task: Task) -> str:
    fields = fields_of(task)
    frames = f"{fields['frames']} frames" if fields.get("frames", 1) > 1 else "1 frame"
    if isinstance(task, Answer):
        return f"{frames} looked at, {fields['max_tokens']} tokens answered"
    chunks = f"{fields['chunks']} times " if "chunks" in fields else ""
    return f"{chunks}{frames} at {fields['width']}x{fields['height']}, {fields['steps']} steps"


def _record(verdict: Verdict) -> Mapping[str, Any]:
    record: dict[str, Any] = {
        "model": verdict.model.name,
        "is_served": verdict.model.checkpoint is not None,
        "request": fields_of(verdict.task),
        "batch_size": verdict.model.batch_size,
        "fits": verdict.fits,
        "plan": verdict.plan.as_json(),
    }
    if not verdict.fits:
        record["problem"] = verdict.problem
        record["nearest"] = None if verdict.nearest is None else fields_of(verdict.nearest)
    return record


def _models(parser: argparse.ArgumentParser, options: argparse.Namespace) -> tuple[list[Model], str | None]:
    """Which are planned for, and what is to be known about that."""
    if options.all_models:
        return public_models(), None
    if Path(options.model).is_dir():
        return models_of(Path(options.model))
    found = public_models(options.model)
    if len(found) != 1:
        known = names_like(found or public_models())
        parser.error(f"--model: {options.model!r} is no folder, and {'more' if found else 'less'} than one of {known}")
    return found, None


def _place(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Place:
    if not (options.device_gb or options.card or options.instance):
        parser.error("one of --device-gb, --card and --instance is needed")
    if options.card and options.instance:
        parser.error("--card and --instance say the same thing twice")
    try:
        return place_of(
            card=options.card,
            instance=options.instance,
            device_gigabytes=options.device_gb,
            host_gigabytes=options.host_gb,
        )
    except KeyError as error:
        parser.error(f"{error.args[0]!r} is neither a card nor an instance type that is known here: see --list")


def _wish(options: argparse.Namespace) -> MemoryWish:
    """Raises ValueError for placements that are none."""
    parse = {variable.field: variable.parse for variable in MEMORY_VARIABLES}
    try:
        placement = parse["placement"](options.placement)
    except ValueError as error:
        raise ValueError(f"--placement must be {error}") from error
    return MemoryWish(offload=options.offload, placement=placement)


def _listing() -> str:
    models = [f"  {model.name}{'' if model.checkpoint else ' *'}" for model in public_models()]
    cards = [
        f"  {key:<14} {card.name:<20} {card.linear_teraflops:>6g} TFLOP/s, attention {card.attention_teraflops:>4g}, "
        f"link {card.link_gigabytes:>3g} GB/s" + ("" if card.has_bf16 else "; no bf16: nothing runs on it")
        for key, card in CARDS.items()
    ]
    instances = [
        f"  ml.{name:<19} {instance.num_cards} x {CARDS[instance.card].name:<20} host {instance.host_gibibytes} GiB"
        for name, instance in INSTANCES.items()
    ]
    return "\n".join(
        ["models (* no server here runs it)", *models, "", "cards", *cards, "", "instance types", *instances]
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/plan.py",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", metavar="NAME|FOLDER", help="a public model, or part of its name; or a model folder")
    what.add_argument("--all-models", action="store_true", help="one line for each public model")
    what.add_argument("--list", action="store_true", help="print the models, cards and instance types that are known")
    what.add_argument("--markdown", action="store_true", help="the models that are served on cards of all sizes")
    place = parser.add_argument_group("the machine")
    place.add_argument("--device-gb", metavar="GB", type=_positive, help="memory of the card (default: the card's own)")
    place.add_argument("--card", metavar="NAME", help="a card that is known, such as a10g; gives the rates")
    place.add_argument("--instance", metavar="TYPE", help="an AWS instance type, such as ml.g5.2xlarge")
    place.add_argument(
        "--host-gb", metavar="GB", type=_positive, help=f"host memory (default: the instance's, or {HOST_GIGABYTES:g})"
    )
    asked = parser.add_argument_group("the request (default: the model's usual one)")
    asked.add_argument("--frames", metavar="N", type=_count, help="of the video, or of the clip that is looked at")
    asked.add_argument("--size", metavar="WxH", type=_size, help="width and height in pixels, such as 1280x704")
    asked.add_argument("--steps", metavar="N", type=_count, help="denoising steps")
    asked.add_argument("--guidance", metavar="G", type=float, help="1 and below: one forward a step in place of two")
    asked.add_argument("--window-seconds", metavar="S", type=_positive, help="what takes longer cannot be done")
    asked.add_argument(
        "--batch-size", metavar="N", type=_count, default=1, help="so many together, which autoregressive models allow"
    )
    how = parser.add_argument_group("the plan")
    how.add_argument("--offload", choices=get_args(Offload), default="auto", help="as COSMOS_OFFLOAD (default auto)")
    how.add_argument(
        "--placement", metavar="PART=PLACE,…", default="none", help="as COSMOS_PLACEMENT: text_encoder=swapped,…"
    )
    parser.add_argument("--json", action="store_true", help="for a program")
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 10**6:
        raise ValueError(text)
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 0 < value < 10**5:
        raise ValueError(text)
    return value


def _size(text: str) -> tuple[int, int]:
    """Height and width."""
    width, _, height = text.lower().partition("x")
    return _count(height), _count(width)


if __name__ == "__main__":
    raise SystemExit(main())
