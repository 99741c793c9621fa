"""What an autoregressive model needs beside its own file: in which folders it is looked for, and who publishes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cosmos_handler.artifacts.inspection import Inspection

_FIRST_GENERATION = "Cosmos-1.0-"


@dataclass(frozen=True)
class Companion:
    """One network and its files.

    own: its folder in a checkpoint. names: of NVIDIA's repositories with it, the newer first. title: for a reader.
    """

    own: str
    names: tuple[str, str]
    title: str

    def hub_id(self, model: str) -> str:
        """The repository with the one that goes with a model of this name."""
        return f"nvidia/{self._ordered(model)[0]}"

    def folder(self, look: Inspection) -> str | None:
        """The first of its places that holds weights: relative to the checkpoint, or absolute beside it."""
        return next((place for place in self._places(look) if _holds_weights(look.names(place))), None)

    def missing(self, look: Inspection) -> str:
        """What to say where there is none, and what to do."""
        beside = " or ".join(str(home) for home in homes_beside(look))
        hub_id = self.hub_id(look.folder.name)
        return (
            f"{self.title} is missing; looked for in the folders {', '.join((self.own, *self.names))} of this one, and "
            f"for the latter in {beside}: fetch it with `hf download {hub_id} --local-dir {look.folder / self.own}`"
        )

    def _ordered(self, model: str) -> list[str]:
        is_old = model.startswith(_FIRST_GENERATION)
        return sorted(self.names, key=lambda name: name.startswith(_FIRST_GENERATION) != is_old)

    def _places(self, look: Inspection) -> list[str]:
        names = self._ordered(look.folder.name)
        return [self.own, *names, *(str(home / name) for home in homes_beside(look) for name in names)]


TOKENIZER = Companion(
    "tokenizer",
    ("Cosmos-Tokenize1-DV8x16x16-720p", "Cosmos-1.0-Tokenizer-DV8x16x16"),
    "the video tokenizer DV8x16x16",
)
DIFFUSION_DECODER = Companion(
    "diffusion_decoder",
    ("Cosmos-Predict1-7B-Decoder-DV8x16x16ToCV8x8x8-720p", "Cosmos-1.0-Diffusion-7B-Decoder-DV8x16x16ToCV8x8x8"),
    "the diffusion decoder",
)
DECODER_TOKENIZER = Companion(
    "decoder_tokenizer",
    ("Cosmos-Tokenize1-CV8x8x8-720p", "Cosmos-1.0-Tokenizer-CV8x8x8"),
    "the video tokenizer CV8x8x8 of the diffusion decoder",
)

# The text encoder: as NVIDIA's code fetches it, and the repository that has it as safetensors.
T5_FOLDERS = ("google-t5/t5-11b", "t5-11b")
T5_HUB_ID = "nvidia/Cosmos-1.0-Diffusion-7B-Text2World"
T5_NAME = T5_HUB_ID.removeprefix("nvidia/")

# Folders that may lie beside a model without being models.
COMPANIONS = frozenset(
    [*TOKENIZER.names, *DIFFUSION_DECODER.names, *DECODER_TOKENIZER.names, "google-t5", "t5-11b", T5_NAME]
)


def _holds_weights(names: Sequence[str]) -> bool:
    return any(name.endswith((".jit", ".pt", ".safetensors")) for name in names)


def homes_beside(look: Inspection) -> list[Path]:
    """The folders that a checkpoint lies in: where its name is, and where its files are."""
    return list(dict.fromkeys([look.folder.absolute().parent, look.folder.resolve().parent]))
