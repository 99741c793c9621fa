"""What a part costs under a placement, and what a stage costs by itself: bytes on the device, and seconds."""

from cosmos_handler.memory.sheet import PartSheet, StageSheet, Work
from cosmos_handler.messages.machine import Machine, Placement

# Blocks on their way take some of the device's own bandwidth: what others measured is 0.3 to 0.8 % of a step.
_STREAMING_SHARE = 0.003


def seconds_of(work: Work, machine: Machine) -> float:
    """How long some work takes on a machine, with everything in its place."""
    arithmetic = (
        work.linear_flops / machine.linear_flops_per_second + work.attention_flops / machine.attention_flops_per_second
    )
    return max(arithmetic, work.memory_bytes / machine.memory_bytes_per_second)


def own_placement(part: PartSheet, placement: Placement) -> Placement:
    """A part's own in a group that is placed together: one without blocks is swapped where others are streamed."""
    return "swapped" if placement == "streamed" and not part.num_blocks else placement


def bytes_in_stage(part: PartSheet, placement: Placement) -> int:
    """What a part adds to a stage that needs it; a resident one is there anyway."""
    if placement == "resident":
        return 0
    return part.streamed_bytes if placement == "streamed" else part.size_bytes


def lost_seconds(
    part: PartSheet,
    placement: Placement,
    stage: StageSheet,
    previous: StageSheet | None,
    machine: Machine,
    compute_seconds: float,
) -> float:
    """How long a stage waits for a part, all entries together, with nothing fetched ahead."""
    if placement == "resident":
        return 0.0
    # What the stage before had stays, but for the entries that come back to it from another stage.
    entries = stage.num_entries - (1 if previous is not None and part.key in previous.parts else 0)
    if placement == "streamed":
        first = entries * part.streamed_bytes / machine.link_bytes_per_second
        forward = (part.size_bytes - part.rest_bytes) / machine.link_bytes_per_second
        waiting = max(0.0, forward * stage.num_forwards - compute_seconds)
        return first + waiting + compute_seconds * _STREAMING_SHARE
    rate = machine.link_bytes_per_second if placement == "swapped" else machine.disk_bytes_per_second
    return entries * part.size_bytes / rate
