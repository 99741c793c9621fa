"""Refuses before any work what cannot be done on this machine, and says which request could be."""

from collections.abc import Callable, Iterator, Mapping

from cosmos_handler.artifacts.defaults import GENERATION, Size
from cosmos_handler.errors import OverWindow, WillNotFit
from cosmos_handler.memory.plan import NothingFits, Plan
from cosmos_handler.memory.planning import House, fits, plan_for
from cosmos_handler.messages.tasks import Answer, Continue, Generate, Omni, Task, Transfer

Made = Generate | Transfer | Omni | Continue

# Numbers of frames are a multiple of this and one more: wherever videos are denoised, and where they are tokens.
_FRAME_STEP, _TOKEN_FRAME_STEP = 4, 8


def refuse_impossible(task: Task, model: str, house: House, *, window_seconds: float | None) -> Plan:
    """The plan of a task that can be done.

    Raises WillNotFit where no placement fits, and OverWindow where the fastest takes longer than the window.
    """
    try:
        plan = plan_for(task, model, house)
    except NothingFits as error:
        nearest = nearest_task(task, lambda smaller: fits(smaller, model, house))
        raise WillNotFit(
            f"{error.problem}; {_said(nearest)}", table=error.closest.table(), nearest=_fields(task, nearest)
        ) from None
    if window_seconds is not None and plan.seconds > window_seconds:
        nearest = nearest_task(task, lambda smaller: plan_for(smaller, model, house).seconds <= window_seconds)
        raise OverWindow(
            f"it takes about {plan.seconds:.0f} s on {house.machine.name}, and answers must be there within "
            f"{window_seconds:.0f} s; {_said(nearest)}",
            predicted_seconds=plan.seconds,
            window_seconds=window_seconds,
            nearest=_fields(task, nearest),
        )
    return plan


def nearest_task(task: Task, is_possible: Callable[[Task], bool]) -> Made | None:
    """The nearest smaller task that is possible: fewer frames at the same size, else a smaller size as well.

    None where not even the smallest is. is_possible: may raise NothingFits in place of saying no.
    """

    def possible(candidate: Task) -> bool:
        try:
            return is_possible(candidate)
        except NothingFits:
            return False

    if isinstance(task, Answer):
        return None
    for sized in (task, *_smaller_sizes(task)):
        frames = _most_frames(sized, possible)
        if frames is not None:
            return frames
    return None


def _most_frames(task: Made, possible: Callable[[Task], bool]) -> Made | None:
    """The task with as many frames as are possible; None where one step of them is too many already."""
    if possible(task):
        return task
    # In steps. A video of one frame is none, and a chunk has more frames than the next one repeats of it: before
    # fewer than that, a smaller size is the better advice.
    step = _TOKEN_FRAME_STEP if isinstance(task, Continue) else _FRAME_STEP
    least, most = 1 + max(0, _repeated(task) - 1) // step, (_frames(task) - 1) // step - 1
    if most < least or not possible(_with_frames(task, step * least + 1)):
        return None
    while least < most:
        middle = (least + most + 1) // 2
        if possible(_with_frames(task, step * middle + 1)):
            least = middle
        else:
            most = middle - 1
    return _with_frames(task, step * least + 1)


def _repeated(task: Made) -> int:
    """Frames of what is made at a time that are not new."""
    if isinstance(task, Continue):
        return task.num_input_frames
    return task.num_conditional_frames if isinstance(task, Transfer) else 0


def _frames(task: Made) -> int:
    """What is made at a time: the size of a job's memory."""
    return task.num_frames_per_chunk if isinstance(task, Transfer) else task.num_frames


def _with_frames(task: Made, frames: int) -> Made:
    if isinstance(task, Transfer):
        return task.model_copy(update={"num_frames_per_chunk": frames})
    update = {"num_frames": frames, "num_output_frames": frames}
    if isinstance(task, Generate | Continue):
        update["num_chunks"] = 1
    return task.model_copy(update=update)


def _smaller_sizes(task: Made) -> Iterator[Made]:
    """NVIDIA's sizes below the task's own, of the nearest shape, the largest first; tokens have but one size."""
    if isinstance(task, Continue):
        return
    shape = task.height / task.width
    sizes: set[Size] = set()
    for (family, _), row in GENERATION.items():
        if family == "autoregressive":  # whose one size is nobody else's
            continue
        for tier in row.sizes.values():
            nearest = min(tier.values(), key=lambda size: abs(size.height / size.width - shape))
            sizes.add(nearest)
    area = task.height * task.width
    for size in sorted(sizes, key=lambda size: size.height * size.width, reverse=True):
        if size.height * size.width < area:
            yield task.model_copy(update={"height": size.height, "width": size.width})


def _fields(asked: Task, nearest: Made | None) -> Mapping[str, int | str]:
    """What the client would have to change, in NVIDIA's words."""
    if isinstance(asked, Answer) or nearest is None:
        return {}
    frames_name = "num_video_frames_per_chunk" if isinstance(asked, Transfer) else "num_output_frames"
    changed: dict[str, int | str] = {}
    if _frames(nearest) != _frames(asked):
        changed[frames_name] = _frames(nearest)
    if (nearest.height, nearest.width) != (asked.height, asked.width):
        changed["resolution"] = f"{nearest.height},{nearest.width}"
    return changed


def _said(nearest: Made | None) -> str:
    if nearest is None:
        return "no smaller request would do"
    return f"{_frames(nearest)} frames at {nearest.width}x{nearest.height} would do"
