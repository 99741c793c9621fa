"""Finds the guardrails of the generators: where their folder lies, and whether every check that is wanted is whole."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cosmos_handler.artifacts.checkpoint import Checkpoint, Part
from cosmos_handler.artifacts.guardrail_text import check_blocklist, find_text_classifier
from cosmos_handler.artifacts.guardrail_video import find_content_filter, find_face_blur
from cosmos_handler.artifacts.inspection import Inspection
from cosmos_handler.errors import GuardrailsIncomplete

TextCheckName = Literal["blocklist", "text_classifier"]
VideoCheckName = Literal["content_filter", "face_blur"]
CheckName = TextCheckName | VideoCheckName

TEXT_CHECKS: tuple[CheckName, ...] = ("blocklist", "text_classifier")
VIDEO_CHECKS: tuple[CheckName, ...] = ("content_filter", "face_blur")
CHECKS = (*TEXT_CHECKS, *VIDEO_CHECKS)

FOLDER_NAME = "guardrails"
_OWNER = "guardrails"  # in the memory plan, where models have their names

# What each check needs on disk: notes what is wrong as faults, gives its weights.
_EXAMINE: Mapping[CheckName, Callable[[Inspection], tuple[Part, ...]]] = {
    "blocklist": check_blocklist,
    "text_classifier": find_text_classifier,
    "content_filter": find_content_filter,
    "face_blur": find_face_blur,
}


@dataclass(frozen=True)
class GuardrailWish:
    """What the settings say. checks: those that shall run. places: folders to look in after those of the models."""

    checks: tuple[CheckName, ...]
    places: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Guardrails:
    """The checks of one model process; plain values that cross the pipe.

    path: their folder, absolute; empty where no check runs.
    parts: the weights, named "guardrail_" and the check; folders and files relative to path.
    """

    path: str
    checks: tuple[CheckName, ...]
    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        """What the memory plan lists the parts under."""
        return _OWNER


NO_GUARDRAILS = Guardrails(path="", checks=(), parts=())


def find_guardrails(wish: GuardrailWish, root: Path, checkpoints: Sequence[Checkpoint]) -> Guardrails:
    """The guardrails for some models; none where nothing is generated or no check is wanted.

    root: the model folder. Raises GuardrailsIncomplete, in one line, with everything that is missing.
    """
    generators = [checkpoint for checkpoint in checkpoints if checkpoint.generation is not None]
    if not generators or not wish.checks:
        return NO_GUARDRAILS
    own = dict.fromkeys((root.absolute(), *(Path(checkpoint.path) for checkpoint in generators)))
    places = [*(folder / FOLDER_NAME for folder in own), *wish.places]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        raise GuardrailsIncomplete(
            f"image and video models need guardrails ({', '.join(wish.checks)}), and there is no folder with them: "
            f"looked at {', '.join(map(str, places))} ({_WAY_OUT})"
        )
    look = Inspection(folder)
    parts: list[Part] = []
    try:
        for check in wish.checks:
            parts += _EXAMINE[check](look)
    except OSError as error:
        raise GuardrailsIncomplete(f"the guardrails in {folder} cannot be read: {error.strerror or error}") from error
    if look.faults:
        raise GuardrailsIncomplete(f"the guardrails in {folder} are not whole: {'; '.join(look.faults)} ({_WAY_OUT})")
    return Guardrails(path=str(folder.resolve()), checks=wish.checks, parts=tuple(parts))


_WAY_OUT = "COSMOS_GUARDRAIL_DIR names another folder; COSMOS_GUARDRAILS, or one variable a check, switches them off"
