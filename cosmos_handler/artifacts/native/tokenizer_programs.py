"""The two programs of a video tokenizer, encoder.jit and decoder.jit: their weights, and the part that they make."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from cosmos_handler.artifacts.blocks import blocks_of
from cosmos_handler.artifacts.checkpoint import Native, Part
from cosmos_handler.artifacts.inspection import Inspection, joined
from cosmos_handler.artifacts.native.script_file import ScriptFile, read_script_file
from cosmos_handler.artifacts.native.sheet import Line, Weights, check_names
from cosmos_handler.artifacts.weights import served_dtype

ENCODER_FILE, DECODER_FILE = "encoder.jit", "decoder.jit"

_FIRST = "encoder.conv_in.0.conv3d.weight"
_TOLERANCE = 5e-3  # constants may be stored as bfloat16


@dataclass(frozen=True)
class Programs:
    """A tokenizer's. folder: relative to the checkpoint. title: what it is called in faults."""

    folder: str
    title: str
    encoder: Weights
    decoder: Weights

    def sizes(self, look: Inspection, *, last: str) -> tuple[int, int] | None:
        """The width of the encoder and the channels of its latents; None, and a fault noted, where they cannot be read.

        last: the name of the convolution behind the encoder.
        """
        tensors = self.encoder.tensors
        first, behind = tensors.get(_FIRST), tensors.get(f"{last}.conv3d.weight")
        if first and behind and len(first.shape) == len(behind.shape) == 5 and 0 not in first.shape + behind.shape:
            return first.shape[0], behind.shape[1]
        look.fault(f"{self.encoder.file} is not the encoder of {self.title}: it lacks its first and last convolutions")
        return None

    def check(self, look: Inspection, encoder: Sequence[Line], decoder: Sequence[Line]) -> None:
        """Notes what each lacks, and what is strange or misshapen in it."""
        check_names(look, self.encoder, encoder, what=f"the encoder of {self.title}")
        check_names(look, self.decoder, decoder, what=f"the decoder of {self.title}")

    def part(self, look: Inspection, name: str, lines: Sequence[Line], config: Mapping[str, object]) -> Part | None:
        """The part that both make; None, and a fault noted, where it is stored as nothing we run."""
        tensors = {**self.encoder.tensors, **self.decoder.tensors}
        files = self.encoder.file, self.decoder.file
        dtype = served_dtype(look, tensors.values(), where=f"in {' and '.join(files)}")
        if dtype is None:
            return None
        return Part(
            name=name,
            folder=self.folder,
            files=files,
            size_bytes=sum(tensor.size_bytes for tensor in tensors.values()),
            dtype=dtype,
            native=Native(wrappers=(), names={line.theirs: line.ours for line in lines}, config=config),
            **asdict(blocks_of({line.ours: tensors[line.theirs].size_bytes for line in lines})),
            config=config,
        )


def programs_in(
    look: Inspection, folder: str, *, title: str, constants: Sequence[str], expected: Mapping[str, Sequence[float]]
) -> Programs | None:
    """The programs of a folder; None, and faults noted, where one is missing or damaged.

    constants: beginnings of the names of what is no weight. expected: what some of those must be; others are not noted.
    """
    halves = []
    for file in (joined(folder, ENCODER_FILE), joined(folder, DECODER_FILE)):
        content = look.weight_file(file, read_script_file)
        if content is not None:
            _check_constants(look, file, content, expected, title)
            tensors = {key: tensor for key, tensor in content.tensors.items() if not key.startswith(tuple(constants))}
            halves.append(Weights(file, prefix="", tensors=tensors, checksums=content.checksums, wrappers=()))
    if len(halves) < 2:
        return None
    return Programs(folder, title, *halves)


def _check_constants(
    look: Inspection, file: str, content: ScriptFile, expected: Mapping[str, Sequence[float]], title: str
) -> None:
    for key, wanted in expected.items():
        values = content.small.get(key)
        if key in content.tensors and (
            values is None
            or len(values) != len(wanted)
            or any(abs(value - each) > _TOLERANCE for value, each in zip(values, wanted, strict=True))
        ):
            look.fault(f"{file} is not of {title}: its {key} is {values}, not {tuple(wanted)}")
