"""Says what one folder is: a complete checkpoint of a served family, or a CheckpointError with all that is wrong."""

import logging
from pathlib import Path

from cosmos_handler.artifacts import generator, omni, reasoner, transfer
from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.elsewhere import NOWHERE, Elsewhere
from cosmos_handler.artifacts.inspection import Inspection
from cosmos_handler.artifacts.known import SUPPORTED, recognise_deeply
from cosmos_handler.artifacts.lora import find_loras
from cosmos_handler.artifacts.native.examine import examine_native
from cosmos_handler.artifacts.revision import files_revision
from cosmos_handler.errors import CheckpointError

log = logging.getLogger(__name__)

_GENERATORS = {
    "predict2.5": ("Cosmos Predict2.5", generator.TASKS, generator.FOLDERS),
    "transfer2.5": ("Cosmos Transfer2.5", transfer.TASKS, transfer.FOLDERS),
}


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
    generation, context_tokens, places = None, None, {}
    if recognised.family in _GENERATORS:
        title, tasks, folders = _GENERATORS[recognised.family]
        if recognised.native is not None:
            log.info("%s is in NVIDIA's own form: %s", name, recognised.native.told())
            found = examine_native(look, recognised.native, elsewhere, control=control)
            parts, generation, places = found.parts, found.generation, found.places
        elif recognised.family == "transfer2.5":
            parts, generation = transfer.examine(look, control=control)
        else:
            parts, generation = generator.examine(look)
    elif recognised.family == "cosmos3":
        whole = omni.examine(look)
        title, tasks, folders = omni.TITLE, whole.tasks, omni.FOLDERS
        parts, generation, context_tokens = whole.parts, whole.generation, whole.context_tokens
    else:
        title, tasks, folders = reasoner.TITLES[recognised.family], reasoner.TASKS, reasoner.FOLDERS
        parts, context_tokens = reasoner.examine(look, recognised.family)
    transformer = next((part for part in parts if part.name == "transformer"), None)
    loras = find_loras(look, transformer) if recognised.family == "predict2.5" else ()
    if control is not None and recognised.family != "transfer2.5":
        look.fault("cosmos.json gives it a control, which only a Transfer2.5 checkpoint has")
    if look.faults:
        faults = "".join(f"\n  - {fault}" for fault in look.faults)
        raise CheckpointError(f"{folder} is not a complete {title} checkpoint:{faults}")
    return Checkpoint(
        name=name,
        aliases=aliases,
        path=str(folder.resolve()),
        family=recognised.family,
        tasks=tasks,
        revision=revision or files_revision(look, folders),
        parts=parts,
        generation=generation,
        context_tokens=context_tokens,
        places=places,
        loras=loras,
    )
