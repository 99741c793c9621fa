"""The files of the video checks: SigLIP with NVIDIA's classifier, and RetinaFace."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import PurePosixPath

from cosmos_handler.artifacts.blocks import blocks_of
from cosmos_handler.artifacts.checkpoint import Native, Part
from cosmos_handler.artifacts.inspection import Inspection, joined
from cosmos_handler.artifacts.native.old_torch_file import is_old, read_old_torch_file
from cosmos_handler.artifacts.native.torch_file import read_torch_file
from cosmos_handler.artifacts.safetensors_header import StoredTensor
from cosmos_handler.artifacts.weights import TRANSFORMERS, find_part, served_dtype
from cosmos_handler.errors import CheckpointError

CONTENT_FILTER_PART = "guardrail_content_filter"
CLASSIFIER_PART = "guardrail_content_filter_classifier"
FACE_BLUR_PART = "guardrail_face_blur"

CLASSIFIER_FILE = "video_content_safety_filter/safety_filter.pt"
FACE_BLUR_FILE = "face_blur_filter/Resnet50_Final.pth"
SIGLIP = "siglip-so400m-patch14-384"
# Beside NVIDIA's folders, within the filter's, or as the hub's cache lays it down there, where NVIDIA's code puts it.
SIGLIP_FOLDERS = (SIGLIP, f"video_content_safety_filter/{SIGLIP}")
SIGLIP_CACHE = f"video_content_safety_filter/models--google--{SIGLIP}/snapshots"

_VISION = "vision_model."
_LABELS = 7
_CLASSIFIER_LAYERS = ("network.layers.0", "network.layers.3", "network.layers.6")
_PARALLEL = "module."  # before every name where a model was saved as it stood on several devices
_LANDMARKS = "LandmarkHead."  # of eyes, nose and mouth: nothing here asks where they are


def find_content_filter(look: Inspection) -> tuple[Part, ...]:
    """SigLIP's vision model and the classifier; what is wrong is noted as faults."""
    encoder, classifier = _siglip(look), _classifier(look)
    if encoder is None or classifier is None:
        return ()
    hidden = (look.json_object(joined(encoder.folder, "config.json")) or {}).get("vision_config", {})
    width = hidden.get("hidden_size") if isinstance(hidden, dict) else None
    seen = classifier.native.config["shapes"][f"{_CLASSIFIER_LAYERS[0]}.weight"][1] if classifier.native else None
    if width is not None and width != seen:
        look.fault(f"{CLASSIFIER_FILE} takes {seen} numbers a frame, and {encoder.folder} gives {width}")
        return ()
    return encoder, classifier


def find_face_blur(look: Inspection) -> tuple[Part, ...]:
    """RetinaFace; what is wrong is noted as faults."""
    part = _torch_part(look, FACE_BLUR_PART, FACE_BLUR_FILE)
    if part is None or part.native is None:
        return ()
    needed = ("body.conv1.weight", "fpn.output1.0.weight", "ssh3.conv7x7_3.0.weight", "BboxHead.2.conv1x1.weight")
    lacking = [name for name in needed if name not in part.native.config["shapes"]]
    if lacking:
        look.fault(f"{FACE_BLUR_FILE} is not RetinaFace with a ResNet: it has no {lacking[0]}")
        return ()
    return (part,)


def _siglip(look: Inspection) -> Part | None:
    folder = _siglip_folder(look)
    if folder is None:
        look.fault(f"SigLIP is missing: google/{SIGLIP} in transformers' form, in one of {', '.join(SIGLIP_FOLDERS)}")
        return None
    look.json_object(joined(folder, "preprocessor_config.json"))
    if (look.json_object(joined(folder, "config.json")) or {}).get("model_type") != "siglip":
        look.fault(f"{folder}/config.json is not that of a siglip model")
        return None
    part = find_part(look, CONTENT_FILTER_PART, folder=folder, rule=TRANSFORMERS)
    if part is None:
        return None
    headers = [look.header(file) for file in part.files]
    tensors = {name: tensor for header in headers if header for name, tensor in header.tensors.items()}
    size_bytes = sum(tensor.size_bytes for name, tensor in tensors.items() if name.startswith(_VISION))
    if not size_bytes:
        look.fault(f"{folder} holds no weights of SigLIP's vision model")
        return None
    blocks = blocks_of({name: one.size_bytes for name, one in tensors.items() if name.startswith(_VISION)})
    return replace(  # its text model stays on disk
        part,
        size_bytes=size_bytes,
        **asdict(blocks),
    )


def _siglip_folder(look: Inspection) -> str | None:
    places = [*SIGLIP_FOLDERS]
    cache = look.folder / SIGLIP_CACHE
    if cache.is_dir():
        places += [f"{SIGLIP_CACHE}/{snapshot.name}" for snapshot in sorted(cache.iterdir())]
    return next((place for place in places if look.has(joined(place, "config.json"))), None)


def _classifier(look: Inspection) -> Part | None:
    part = _torch_part(look, CLASSIFIER_PART, CLASSIFIER_FILE)
    if part is None or part.native is None:
        return None
    shapes = part.native.config["shapes"]
    sizes = [shapes.get(f"{layer}.weight", ()) for layer in _CLASSIFIER_LAYERS]
    if not all(len(size) == 2 for size in sizes) or sizes[-1][0] != _LABELS:
        look.fault(f"{CLASSIFIER_FILE} is not NVIDIA's classifier of {_LABELS} labels")
        return None
    return part


def _torch_part(look: Inspection, name: str, file: str) -> Part | None:
    if not look.require(file):
        return None
    try:
        tensors, wrappers = _tensors(look, file)
    except CheckpointError as error:
        look.fault(str(error))
        return None
    names = {theirs: theirs.removeprefix(_PARALLEL) for theirs in tensors}
    names = {theirs: ours for theirs, ours in names.items() if not ours.startswith(_LANDMARKS)}
    dtype = served_dtype(look, tensors.values(), where=f"in {file}")
    if dtype is None or not names:
        return None
    size_bytes = sum(tensors[theirs].size_bytes for theirs in names)
    config = {"shapes": {ours: tensors[theirs].shape for theirs, ours in names.items()}}
    return Part(
        name=name,
        folder=str(PurePosixPath(file).parent),
        files=(file,),
        size_bytes=size_bytes,
        dtype=dtype,
        native=Native(wrappers, names, config),
        rest_bytes=size_bytes,  # too small to have blocks
        config=config,
    )


def _tensors(look: Inspection, file: str) -> tuple[Mapping[str, StoredTensor], tuple[str, ...]]:
    path = look.folder / file
    if is_old(path):
        return read_old_torch_file(path, shown_as=file)
    content = read_torch_file(path, shown_as=file)
    return content.tensors, content.wrappers
