"""Says what one folder is: a complete checkpoint of a served family, or a CheckpointError with all that is wrong."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cosmos_handler.artifacts import autoregressive, generator, omni, reasoner, transfer
from cosmos_handler.artifacts.checkpoint import Checkpoint, Family, GenerationLimits, Part
from cosmos_handler.artifacts.elsewhere import NOWHERE, Elsewhere
from cosmos_handler.artifacts.inspection import Inspection
from cosmos_handler.artifacts.known import SUPPORTED, recognise_deeply
from cosmos_handler.artifacts.lora import find_loras
from cosmos_handler.artifacts.native.examine import examine_native
from cosmos_handler.artifacts.native.layout import NativeCheckpoint
from cosmos_handler.artifacts.revision import files_revision
from cosmos_handler.errors import CheckpointError

log = logging.getLogger(__name__)

_GENERATORS = {
    "predict2.5": ("Cosmos Predict2.5", generator.TASKS, generator.FOLDERS),
    "transfer2.5": ("Cosmos Transfer2.5", transfer.TASKS, transfer.FOLDERS),
}


@dataclass(frozen=True)
class _Examined:
    """What a folder holds. title: of its family. folders: those whose files make the revision.

    note: what somebody who starts it should know, to follow its name; "" for nothing.
    """

    title: str
    tasks: tuple[str, ...]
    folders: tuple[str, ...]
    parts: tuple[Part, ...]
    generation: GenerationLimits | None
    context_tokens: int | None = None
    note: str = ""
    places: Mapping[str, str] = field(default_factory=dict)


def detect(
    folder: Path,
    *,
    name: str,
    aliases: tuple[str, ...] = (),
    revision: str | None = None,
    control: str | None = None,
    elsewhere: Elsewhere = NOWHERE,
) -> Checkpoint:
    """The checkpoint in a folder; only headers of the weights are read.

    revision: the commit on the hub, where it is known. elsewhere: for what NVIDIA's own repositories lack.
    control: what the one control branch of a transfer model is for, where cosmos.json says it.
    Raises CheckpointError when the folder holds none, one that is not served, or one that is not whole; the message
    then lists every fault.
    """
    try:
        return _detect(folder, name=name, aliases=aliases, revision=revision, control=control, elsewhere=elsewhere)
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be read: {error.strerror or error}") from error


def _detect(
    folder: Path,
    *,
    name: str,
    aliases: tuple[str, ...],
    revision: str | None,
    control: str | None,
    elsewhere: Elsewhere,
) -> Checkpoint:
    recognised = recognise_deeply(folder, chosen=elsewhere.chosen)
    if recognised.kind == "nothing":
        raise CheckpointError(f"{folder} is not a Cosmos checkpoint: looked for {SUPPORTED}")
    if recognised.family is None:
        raise CheckpointError(f"{folder} {recognised.reason}")
    look = Inspection(folder)
    if recognised.native is not None:
        log.info("%s is in NVIDIA's own form: %s", name, recognised.native.told())
    found = _examined(look, recognised.family, recognised.native, elsewhere, control=control)
    transformer = next((part for part in found.parts if part.name == "transformer"), None)
    loras = find_loras(look, transformer) if recognised.family == "predict2.5" else ()
    if control is not None and recognised.family != "transfer2.5":
        look.fault("cosmos.json gives it a control, which only a Transfer2.5 checkpoint has")
    if look.faults:
        faults = "".join(f"\n  - {fault}" for fault in look.faults)
        raise CheckpointError(f"{folder} is not a complete {found.title} checkpoint:{faults}")
    if found.note:
        log.info("%s %s", name, found.note)
    return Checkpoint(
        name=name,
        aliases=aliases,
        path=str(folder.resolve()),
        family=recognised.family,
        tasks=found.tasks,
        revision=revision or files_revision(look, found.folders),
        parts=found.parts,
        generation=found.generation,
        context_tokens=found.context_tokens,
        places=found.places,
        loras=loras,
    )


def _examined(
    look: Inspection, family: Family, native: NativeCheckpoint | None, elsewhere: Elsewhere, *, control: str | None
) -> _Examined:
    """What a folder of a family holds; what is wrong with it is noted as faults."""
    if family in _GENERATORS:
        if native is not None:
            found = examine_native(look, native, elsewhere, control=control)
            return _Examined(*_GENERATORS[family], found.parts, found.generation, places=found.places)
        if family == "transfer2.5":
            return _Examined(*_GENERATORS[family], *transfer.examine(look, control=control))
        return _Examined(*_GENERATORS[family], *generator.examine(look))
    if family == "autoregressive":
        model = autoregressive.examine(look, native, elsewhere)
        return _Examined(
            autoregressive.TITLE,
            autoregressive.TASKS,
            autoregressive.FOLDERS,
            model.parts,
            model.generation,
            note=model.note,
            places=model.places,
        )
    if family == "cosmos3":
        whole = omni.examine(look)
        return _Examined(omni.TITLE, whole.tasks, omni.FOLDERS, whole.parts, whole.generation, whole.context_tokens)
    parts, context_tokens = reasoner.examine(look, family)
    return _Examined(reasoner.TITLES[family], reasoner.TASKS, reasoner.FOLDERS, parts, None, context_tokens)
