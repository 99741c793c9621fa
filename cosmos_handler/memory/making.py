"""The stages in which a picture or a video is made: what each takes beside its weights, and how much it computes.

Beside the networks' own activations, what the libraries' pipelines keep under a name while a stage runs counts as well:
pixels that were encoded, embeddings, latents in all their versions, and the sampler's memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cosmos_handler.artifacts.checkpoint import Part
from cosmos_handler.memory.shapes.cosmos_vae import CosmosVae
from cosmos_handler.memory.shapes.dit import Dit
from cosmos_handler.memory.shapes.language import Language
from cosmos_handler.memory.shapes.omni import Omni
from cosmos_handler.memory.shapes.t5 import T5
from cosmos_handler.memory.shapes.values import FLOAT_BYTES
from cosmos_handler.memory.shapes.wan_vae import WanVae
from cosmos_handler.memory.sheet import StageSheet

# To how many tokens the pipelines of 1.0 to 2.5 fill up or cut every prompt.
TEXT_TOKENS = 512

# Latents of the whole video in float32 that lie there during a forward: those that are denoised, those that condition
# them, the velocity that is known, the network's input and masks, both predictions of this step and one of the last,
# and what the sampler remembers of the steps before.
_LATENTS_IN_STEP = 10
_LATENTS_IN_OMNI_STEP = 7  # without those that condition them
# And after the last one: the result, and what the sampler remembers.
_LATENTS_LEFT = 5


@dataclass(frozen=True)
class Wanted:
    """What shall be made. num_frames: at a time. num_chunks: how many times that.

    passes: forwards of the transformer for a step, two with guidance. encodes: videos that the VAE reads for each
    chunk. held: those that lie on the device as pixels; None: as many. times_per_frame: whether latent frames have
    times of their own. text_tokens: of the longer prompt, for models that read prompts of any length. is_lean: as
    `families/lean` has it.
    """

    num_frames: int
    height: int
    width: int
    num_steps: int
    passes: int
    num_chunks: int = 1
    encodes: int = 1
    held: int | None = None
    times_per_frame: bool = True
    text_tokens: int = TEXT_TOKENS
    is_lean: bool = False


@dataclass(frozen=True)
class Networks:
    """The parts of a generator. owner: their checkpoint. control: the branch in use."""

    owner: str
    transformer: Part
    vae: Part
    text_encoder: Part | None = None
    control: Part | None = None

    def key(self, part: Part) -> str:
        """As PartSheet.key."""
        return f"{self.owner}/{part.name}"


def making_stages(wanted: Wanted, networks: Networks) -> tuple[StageSheet, ...]:
    """All stages between the guardrails, in order; not those on the host alone."""
    vae, size = _vae(networks.vae), _Size.of(wanted, networks.vae)
    network = _network(networks.transformer)
    branch = Dit.from_config(networks.control.config, networks.control.dtype) if networks.control else None
    waiting = _embeddings_bytes(network, wanted)
    held = wanted.encodes if wanted.held is None else wanted.held
    pixels = held * vae.video_bytes(wanted.num_frames, wanted.height, wanted.width)
    kept_pixels = pixels
    if isinstance(network, Omni):  # its pipeline has them in float32 as well, and forgets both when they are encoded
        pixels += wanted.encodes * 3 * wanted.num_frames * wanted.height * wanted.width * FLOAT_BYTES
        kept_pixels = 0
    residuals = branch.residual_bytes(size.tokens(network)) if branch else 0
    left = waiting + size.latents(network, _LATENTS_LEFT)
    if branch:  # the whole pipeline is still there around its VAE
        left = waiting + kept_pixels + residuals + size.latents(network, _LATENTS_IN_STEP)
    before = left if wanted.num_chunks > 1 else waiting + size.latents(network, 1)
    stages = [] if networks.text_encoder is None else [_encode_text(wanted, networks, networks.text_encoder)]
    if wanted.encodes:
        stages.append(_encode_media(wanted, networks, vae, beside=before + pixels))
    return (
        *stages,
        _denoise(wanted, networks, network, branch, beside=waiting + kept_pixels),
        _decode(wanted, networks, vae, beside=left),
    )


@dataclass(frozen=True)
class _Size:
    latent_frames: int
    rows: int
    columns: int
    channels: int

    @classmethod
    def of(cls, wanted: Wanted, part: Part) -> "_Size":
        vae = _vae(part)
        factor = vae.spatial_factor
        return cls(
            vae.latent_frames(wanted.num_frames), wanted.height // factor, wanted.width // factor, vae.latent_channels
        )

    def tokens(self, network: Dit | Omni) -> int:
        return network.tokens(self.latent_frames, self.rows, self.columns)

    def latents(self, network: Dit | Omni, count: float) -> int:
        return int(count * self.channels * self.latent_frames * self.rows * self.columns * FLOAT_BYTES)


def _vae(part: Part) -> WanVae | CosmosVae:
    kind: type[WanVae] | type[CosmosVae] = (
        CosmosVae if part.config.get("_class_name") == "AutoencoderKLCosmos" else WanVae
    )
    return kind.from_config(part.config, part.dtype)


def _network(part: Part) -> Dit | Omni:
    if part.config.get("_class_name") == "Cosmos3OmniTransformer":
        return Omni.from_config(part.config, part.dtype)
    return Dit.from_config(part.config, part.dtype)


def _embeddings_bytes(network: Dit | Omni, wanted: Wanted) -> int:
    return 0 if isinstance(network, Omni) else wanted.passes * network.context_bytes(TEXT_TOKENS)


def _encode_text(wanted: Wanted, networks: Networks, part: Part) -> StageSheet:
    """Every prompt by itself, with the embeddings of those before it beside."""
    if _is_t5(part.config):
        encoder = T5.from_config(part.config, part.dtype)
        one, work = encoder.read_bytes(TEXT_TOKENS), encoder.read_work(TEXT_TOKENS)
        made = TEXT_TOKENS * encoder.width * encoder.value_bytes
    else:
        reader = Language.from_config(part.config, part.dtype)
        # The states of all layers are kept, brought to one scale each, and joined.
        made = reader.layers * TEXT_TOKENS * reader.width * reader.value_bytes
        read = reader.read_bytes(TEXT_TOKENS, keeps_states=True, scores=TEXT_TOKENS)
        one = max(read, reader.read_result_bytes(TEXT_TOKENS) + 2 * made)
        work = reader.read_work(TEXT_TOKENS, scores=TEXT_TOKENS)
    return StageSheet(
        "encode_text",
        (networks.key(part),),
        one + (wanted.passes - 1) * made,
        work.times(wanted.passes),
        num_forwards=wanted.passes,
    )


def _is_t5(config: Mapping[str, Any]) -> bool:
    return config.get("model_type") == "t5"


def _encode_media(wanted: Wanted, networks: Networks, vae: WanVae | CosmosVae, *, beside: int) -> StageSheet:
    times = wanted.encodes * wanted.num_chunks
    return StageSheet(
        "encode_media",
        (networks.key(networks.vae),),
        beside + vae.encode_bytes(wanted.num_frames, wanted.height, wanted.width),
        vae.encode_work(wanted.num_frames, wanted.height, wanted.width).times(times),
        num_entries=times,
        num_forwards=times,
    )


def _denoise(wanted: Wanted, networks: Networks, network: Dit | Omni, branch: Dit | None, *, beside: int) -> StageSheet:
    size = _Size.of(wanted, networks.vae)
    tokens = size.tokens(network)
    parts: tuple[str, ...] = (networks.key(networks.transformer),)
    if isinstance(network, Omni):
        most, work = network.forward_bytes(tokens, wanted.text_tokens), network.forward_work(tokens, wanted.text_tokens)
    else:
        timed = size.latent_frames if wanted.times_per_frame else 0
        most = network.forward_bytes(tokens, TEXT_TOKENS, timed_frames=timed, is_lean=wanted.is_lean)
        work = network.forward_work(tokens, TEXT_TOKENS, timed_frames=timed)
        if branch is not None and networks.control is not None:
            parts = (*parts, networks.key(networks.control))
            # What the branch gave for the last forward lies there until it has given it for this one.
            most = branch.residual_bytes(tokens) + max(
                most, branch.forward_bytes(tokens, TEXT_TOKENS, timed_frames=timed, is_lean=wanted.is_lean)
            )
            work += branch.forward_work(tokens, TEXT_TOKENS, timed_frames=timed)
    count = wanted.num_steps * wanted.passes * wanted.num_chunks
    latents = _LATENTS_IN_OMNI_STEP if isinstance(network, Omni) else _LATENTS_IN_STEP
    working = beside + most + size.latents(network, latents)
    return StageSheet("denoise", parts, working, work.times(count), wanted.num_chunks, count)


def _decode(wanted: Wanted, networks: Networks, vae: WanVae | CosmosVae, *, beside: int) -> StageSheet:
    size = _Size.of(wanted, networks.vae)
    latents = size.latent_frames, size.rows, size.columns
    tiled = None
    if isinstance(vae, WanVae) and vae.needs_tiles(size.rows, size.columns):
        tiled = beside + vae.tiled_decode_bytes(*latents)
    return StageSheet(
        "decode",
        (networks.key(networks.vae),),
        beside + vae.decode_bytes(*latents),
        vae.decode_work(*latents).times(wanted.num_chunks),
        wanted.num_chunks,
        wanted.num_chunks,
        tiled,
    )
