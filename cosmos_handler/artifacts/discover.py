"""Finds every checkpoint of a model folder: the folder itself, one per subfolder, or those that `cosmos.json` names."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cosmos_handler.artifacts.checkpoint import Checkpoint
from cosmos_handler.artifacts.companions import COMPANIONS
from cosmos_handler.artifacts.detect import detect
from cosmos_handler.artifacts.elsewhere import NOWHERE, Elsewhere
from cosmos_handler.artifacts.known import SUPPORTED, Recognised, recognise, recognise_deeply
from cosmos_handler.artifacts.manifest import FILE_NAME, Manifest, faulty, read_manifest, resolved
from cosmos_handler.artifacts.native.layout import VARIABLE
from cosmos_handler.errors import CheckpointError

# They may lie in a model folder without being models to serve; lost+found is what a fresh volume holds.
_NOT_MODELS = ("guardrails", "code", "lost+found", "__MACOSX")
_MOUNT_NAME = "model"  # of /opt/ml/model: says nothing about what is in it


@dataclass(frozen=True)
class _Claim:
    """A folder that should be a checkpoint, and what it would be called."""

    folder: Path
    name: str
    aliases: tuple[str, ...]
    revision: str | None
    control: str | None = None


def discover(
    root: Path,
    *,
    revision: str | None = None,
    name: str | None = None,
    aliases: tuple[str, ...] = (),
    elsewhere: Elsewhere = NOWHERE,
) -> tuple[Checkpoint, ...]:
    """The checkpoints to serve, in the order of `cosmos.json` or by name; never none.

    revision: the commit of the whole folder on the hub, where it is known.
    name, aliases: for a root that is itself a checkpoint; subfolders are called as they are called.
    elsewhere: where to look for what NVIDIA's own repositories lack.
    Raises CheckpointError when nothing can be served, or when anything that should be cannot, with every fault.
    """
    try:
        if not root.is_dir():
            raise CheckpointError(_nothing_in(root, "is not a folder" if root.exists() else "does not exist"))
        manifest = read_manifest(root)
        if manifest is not None:
            return _paired(_detected(_named_claims(root, manifest, revision), elsewhere), manifest, root)
        claims = _claims(root, elsewhere, revision=revision, name=name, aliases=aliases)
        return _detected(
            claims, elsewhere, hint=f"(to serve only some of the subfolders, list them in {root / FILE_NAME})"
        )
    except OSError as error:
        raise CheckpointError(f"{root} cannot be read: {error.strerror or error}") from error


def nothing_in(root: Path, *, chosen: str | None = None) -> str | None:
    """Why there is nothing in a folder that could be meant as a model, to follow its name; None where there is.

    chosen: of several checkpoints in NVIDIA's own form, the file or folder to serve.
    """
    try:
        if not root.is_dir():
            return "is not a folder" if root.exists() else "does not exist"
        if (root / FILE_NAME).exists() or recognise(root, chosen=chosen).kind != "nothing" or _model_folders(root):
            return None
        return _content(root)
    except (CheckpointError, OSError):
        return None  # what cannot be read is told when it is served


def _named_claims(root: Path, manifest: Manifest, revision: str | None) -> list[_Claim]:
    return [
        _Claim(
            resolved(root, entry) or root, entry.name, tuple(entry.aliases), entry.revision or revision, entry.control
        )
        for entry in manifest.models
    ]


def _claims(
    root: Path, elsewhere: Elsewhere, *, revision: str | None, name: str | None, aliases: tuple[str, ...]
) -> list[_Claim]:
    recognised = recognise(root, chosen=elsewhere.chosen)
    # Files beside the models do not make the folder a model, not even a config.json of something else.
    folders = _model_folders(root) if recognised.kind in ("nothing", "stranger") else []
    if folders:
        return [_Claim(folder, folder.name, (), revision) for folder in folders]
    if recognised.kind == "nothing":
        raise CheckpointError(_nothing_in(root, _content(root)))
    return [_Claim(root, name or _own_name(root, recognised), aliases, revision)]


def _own_name(root: Path, recognised: Recognised) -> str:
    name = root.resolve().name
    return (recognised.family or _MOUNT_NAME) if name in (_MOUNT_NAME, "") else name


def _model_folders(root: Path) -> list[Path]:
    """Subfolders that hold a model of any kind, or pieces of one; what goes with a model is none beside others."""
    found = sorted(
        entry
        for entry in root.iterdir()
        if not entry.name.startswith(".") and entry.name not in _NOT_MODELS and entry.is_dir() and _holds_model(entry)
    )
    return [entry for entry in found if entry.name not in COMPANIONS] or found


def _holds_model(folder: Path) -> bool:
    try:
        return recognise_deeply(folder).kind != "nothing"
    except CheckpointError:  # a broken one: it is reported with the others when it is detected
        return True


def _detected(claims: Sequence[_Claim], elsewhere: Elsewhere, *, hint: str | None = None) -> tuple[Checkpoint, ...]:
    """Every checkpoint; or one CheckpointError with what is wrong with each of those that are not right."""
    checkpoints, faults = [], []
    for claim in claims:
        try:
            checkpoints.append(
                detect(
                    claim.folder,
                    name=claim.name,
                    aliases=claim.aliases,
                    revision=claim.revision,
                    control=claim.control,
                    elsewhere=elsewhere,
                )
            )
        except CheckpointError as error:
            faults.append(str(error))
    native = any(part.native for each in checkpoints for part in each.parts)
    if elsewhere.chosen is not None and not native and not faults:
        faults.append(f"{VARIABLE}={elsewhere.chosen!r} applies to checkpoints in NVIDIA's own form, and there is none")
    if faults and hint and len(claims) > 1:
        faults.append(hint)
    if faults:
        raise CheckpointError("\n".join(faults))
    return tuple(checkpoints)


def _paired(checkpoints: tuple[Checkpoint, ...], manifest: Manifest, root: Path) -> tuple[Checkpoint, ...]:
    """The checkpoints with the reasoners that write their prompts."""
    reasoners = [checkpoint.name for checkpoint in checkpoints if "reasoner" in checkpoint.tasks]
    faults = [
        f"models.{number}.prompt_upsampler is {entry.prompt_upsampler!r} (allowed: {', '.join(reasoners) or 'none'})"
        for number, entry in enumerate(manifest.models)
        if entry.prompt_upsampler is not None and entry.prompt_upsampler not in reasoners
    ]
    if faults:
        raise faulty(root / FILE_NAME, faults)
    return tuple(
        replace(checkpoint, prompt_upsampler=entry.prompt_upsampler)
        for checkpoint, entry in zip(checkpoints, manifest.models, strict=True)
    )


def _content(root: Path) -> str:
    names = sorted(entry.name for entry in root.iterdir())
    if not names:
        return "is empty"
    packed = [name for name in names if name.endswith((".tar.gz", ".tgz", ".zip"))]
    if packed:
        return f"holds {packed[0]} still packed"
    return f"holds only {', '.join(names[:10])}" + (", …" if len(names) > 10 else "")


def _nothing_in(root: Path, found: str) -> str:
    return f"there is no model in {root}, which {found}; expected there, or one per subfolder: {SUPPORTED}"
