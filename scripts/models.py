#!/usr/bin/env python3
"""The models that can be served: what goes in, what a request means where it says nothing, and a card for all of it.

The figures for cards come from NVIDIA's published tables; nothing was measured here on a GPU. A running server shows
the same defaults for the models it has loaded under GET /v1/models.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from cosmos_handler.artifacts.defaults import GENERATION  # noqa: E402
from cosmos_handler.artifacts.drawing_defaults import draw_of  # noqa: E402
from cosmos_handler.artifacts.native.autoregressive import PUBLISHED as NETWORKS  # noqa: E402
from cosmos_handler.artifacts.published import PUBLISHED, Published  # noqa: E402
from cosmos_handler.artifacts.reasoning_defaults import REASONING  # noqa: E402
from cosmos_handler.artifacts.task_defaults import task_defaults  # noqa: E402

INPUTS: Mapping[str, str] = {
    "text2world": "prompt",
    "image2world": "prompt, image",
    "video2world": "prompt, video",
    "transfer": "prompt, video, control",
    "text2image": "prompt",
    "text2video": "prompt",
    "image2video": "prompt, image",
    "video2video": "prompt, video",
    "reasoner": "prompt, messages, image, video",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; returns 0."""
    options = _parse(arguments)
    shown = [model for model in PUBLISHED if options.name.lower() in " ".join(model.hub_ids).lower()]
    if not shown:
        print(f"models: none of the models that can be served has {options.name!r} in its name", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps([_record(model) for model in shown], indent=2))
    elif options.markdown:
        print(markdown(shown))
    else:
        print("\n\n".join(_text(model) for model in shown))
    return 0


def markdown(models: Sequence[Published]) -> str:
    """One row a model, as it stands in the README."""
    lines = [
        "| model | tasks | goes in | defaults | smallest card with nothing offloaded |",
        "|---|---|---|---|---|",
    ]
    for model in models:
        tasks = ", ".join(f"`{task}`" for task in model.tasks)
        inputs = ", ".join(dict.fromkeys(word for task in model.tasks for word in _inputs(model, task).split(", ")))
        defaults = "; ".join(dict.fromkeys(_in_short(model, task) for task in model.tasks))
        card = f"{model.smallest_card_gigabytes} GB ({model.figure})"
        lines.append(f"| {', '.join(model.hub_ids)} | {tasks} | {inputs} | {defaults} | {card} |")
    return "\n".join(lines)


def _in_short(model: Published, task: str) -> str:
    if task == "reasoner":
        row, _ = REASONING[model.family]
        return f"{row.max_tokens} tokens, {row.fps:g} fps looked at"
    made = GENERATION[model.family, task]
    frames = "1 image" if task == "text2image" else f"{made.num_frames} frames at {made.fps:g} fps"
    shift = "" if made.shift is None else f", shift {made.shift:g}"
    size = f"{made.size.height} x {made.size.width}"
    draw = "".join(f", {name} {number:g}" for name, number in _draw(model).items())
    return f"{size}, {frames}, {made.num_steps} steps, guidance {made.guidance:g}{shift}{draw}"


def _inputs(model: Published, task: str) -> str:
    """What goes in; not every autoregressive model reads a prompt."""
    inputs = INPUTS[task]
    if model.family == "autoregressive" and _network(model)["context_width"] is None:
        return inputs.removeprefix("prompt, ")
    return inputs


def _text(model: Published) -> str:
    lines = [", ".join(model.hub_ids), f"  smallest card   {model.smallest_card_gigabytes} GB ({model.figure})"]
    for tasks, values in _grouped(model):
        lines.append("")
        lines.extend(f"  {task:<15} {_inputs(model, task)}" for task in tasks)
        lines.extend(f"      {name:<20} {value}" for name, value in values)
    return "\n".join(lines)


def _grouped(model: Published) -> Iterator[tuple[list[str], list[tuple[str, str]]]]:
    """The tasks that mean the same by everything, together."""
    groups: list[tuple[list[str], list[tuple[str, str]]]] = []
    for task in model.tasks:
        values = list(_values(model, task))
        for tasks, known in groups:
            if known == values:
                tasks.append(task)
                break
        else:
            groups.append(([task], values))
    yield from groups


def _values(model: Published, task: str) -> Iterator[tuple[str, str]]:
    if task == "reasoner":
        plain, thinking = REASONING[model.family]
        for name, value in asdict(plain).items():
            other = getattr(thinking, name)
            own = "the checkpoint's own" if value is None else f"{value}"
            yield name, own if other == value else f"{own}; with reasoning {other}"
        return
    row = GENERATION[model.family, task]
    for name, value in asdict(row).items():
        if name == "sizes":
            for tier, ratios in row.sizes.items():
                yield (
                    f"sizes {tier}",
                    "  ".join(f"{ratio} {size.height}x{size.width}" for ratio, size in ratios.items()),
                )
        elif value is not None:
            yield name, _clipped(str(value))
    for name, number in _draw(model).items():
        yield name, f"{number}"


def _clipped(text: str, most: int = 90) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def _record(model: Published) -> dict[str, Any]:
    return {**asdict(model), "defaults": task_defaults(model.family, model.tasks, draw=_draw(model))}


def _draw(model: Published) -> Mapping[str, float]:
    """How the tokens of an autoregressive model are drawn; nothing for any other."""
    if model.family != "autoregressive":
        return {}
    return draw_of(_network(model))


def _network(model: Published) -> Mapping[str, Any]:
    """The configuration of an autoregressive model."""
    return next(config for size, config in NETWORKS.items() if model.hub_id.endswith(f"-{size}"))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/models.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", default="", help="show only models with this in their name")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="everything, negative prompts whole")
    shape.add_argument("--markdown", action="store_true", help="one row a model, as in the README")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
