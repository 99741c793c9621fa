"""Examines the control branches of a Cosmos Transfer2.5 checkpoint in NVIDIA's own form: one file for each control."""

import logging

from cosmos_handler.artifacts.checkpoint import CONTROL_PART, Part
from cosmos_handler.artifacts.inspection import Inspection
from cosmos_handler.artifacts.native.layout import NativeCheckpoint
from cosmos_handler.artifacts.native.sheet import Weights, check_names, part_of, weights_in
from cosmos_handler.artifacts.native.transformer import BESIDE, PREFIXES, Architecture, architecture
from cosmos_handler.artifacts.transfer import BRANCHES, control_in

log = logging.getLogger(__name__)

_TITLE = "Cosmos Transfer2.5"
_CONTROLS = {branch: control for control, branch in BRANCHES.items()}  # NVIDIA's folder → its word in requests


def examine_branches(
    look: Inspection, checkpoint: NativeCheckpoint, first: Weights | None, *, control: str | None
) -> tuple[Part | None, tuple[Part, ...]]:
    """The transformer, and a part for each control. first: the tensors of the file with the transformer.

    Every file holds the transformer as well as a branch: the first one's serves all, as in the diffusers form.
    """
    found = {file: _checked(look, first if file == checkpoint.file else _weights(look, file))
             for file in checkpoint.controls.values()}  # fmt: skip
    base, branches = None, []
    for branch, file in checkpoint.controls.items():
        checked = found[file]
        name = _CONTROLS.get(branch) or control or control_in(look.folder)
        if name is None:
            look.fault(
                f"nothing says which control {file} is for: call its folder general/edge (or blur, depth, seg), add "
                '"control" to its entry in cosmos.json, or call the checkpoint\'s folder after it'
            )
        elif checked is not None:
            weights, sizes = checked
            lines = sizes.control_network()
            branches.append(part_of(look, f"{CONTROL_PART}{name}", weights, lines, config=sizes.control_config()))
    chief = found[checkpoint.file]
    if chief is not None:
        base = part_of(look, "transformer", chief[0], chief[1].base(), config=chief[1].base_config())
        for checked in found.values():
            if checked is not None:
                _compare(look, chief, checked)
    return base, tuple(part for part in branches if part)


def _weights(look: Inspection, file: str) -> Weights | None:
    return weights_in(look, file, prefixes=PREFIXES, beside=BESIDE)


def _checked(look: Inspection, weights: Weights | None) -> tuple[Weights, Architecture] | None:
    if weights is None:
        return None
    faults_before = len(look.faults)
    sizes = architecture(look, weights, with_control=True)
    if sizes is None:
        return None
    check_names(look, weights, [*sizes.base(), *sizes.control()], what=_TITLE)
    return (weights, sizes) if len(look.faults) == faults_before else None


def _compare(look: Inspection, chief: tuple[Weights, Architecture], other: tuple[Weights, Architecture]) -> None:
    """Notes a branch that was made for another transformer, and logs where the transformers' values differ."""
    if other[1].base_config() != chief[1].base_config():
        look.fault(f"{other[0].file} holds another transformer than {chief[0].file}: serve them as two checkpoints")
        return
    names = [line.theirs for line in chief[1].base()]
    differing = [name for name in names if chief[0].checksums[name] != other[0].checksums[name]]
    if differing:
        log.warning(
            "%s: %d of %d tensors of the transformer differ from those in %s, which serve every control",
            other[0].file, len(differing), len(names), chief[0].file,
        )  # fmt: skip
