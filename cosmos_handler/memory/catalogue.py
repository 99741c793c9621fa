"""NVIDIA's public models as the planner sees them, for a plan without any files: sizes, stages, usual requests.

The sizes are those of `catalogue.json`, which `scripts/catalogue.py` makes from the published configurations.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from cosmos_handler.artifacts import autoregressive, generator, omni, reasoner, transfer
from cosmos_handler.artifacts.checkpoint import Checkpoint, Family, GenerationLimits, Part
from cosmos_handler.artifacts.guardrail import CHECKS, Guardrails
from cosmos_handler.artifacts.guardrail_text import TEXT_CLASSIFIER_PART
from cosmos_handler.artifacts.guardrail_video import CLASSIFIER_PART, CONTENT_FILTER_PART, FACE_BLUR_PART
from cosmos_handler.artifacts.native.autoregressive import PUBLISHED as SIZES
from cosmos_handler.memory.guarding import guard_frames_stages, guard_prompt_stage
from cosmos_handler.memory.making import Networks, Wanted, making_stages
from cosmos_handler.memory.sheet import PartSheet, StageSheet
from cosmos_handler.memory.stages import part_sheets, part_sheets_of, stages_of
from cosmos_handler.memory.usual import usual_task
from cosmos_handler.messages.tasks import Task

_FILE = Path(__file__).with_name("catalogue.json")
_PROMPT_TOKENS = 300
_REASONER_TOKENS = 128_000
_LONG_REASONER_TOKENS = 262_144
_LIMITS = GenerationLimits(max_frames=125, max_height=1920, max_width=1920, temporal_factor=4, size_multiple=16)
_CODE_LIMITS = GenerationLimits(max_frames=33, max_height=640, max_width=1024, temporal_factor=8, size_multiple=16)
_OMNI_LIMITS = GenerationLimits(max_frames=400, max_height=1360, max_width=1360, temporal_factor=4, size_multiple=16)


@dataclass(frozen=True)
class CatalogueModel:
    """One repository on the hub.

    family: NVIDIA's word, which for served models is the checkpoint's. checkpoint: as detection would find it; None for
    a model that is not served. request: what such a model is usually asked for.
    """

    hub_id: str
    family: str
    parts: tuple[Part, ...]
    checkpoint: Checkpoint | None = None
    request: Wanted | None = None

    @property
    def name(self) -> str:
        """Without the owner."""
        return self.hub_id.rpartition("/")[2]

    @property
    def served(self) -> bool:
        """Whether this server runs it."""
        return self.checkpoint is not None

    def part_sheets(self) -> tuple[PartSheet, ...]:
        """Its parts, and those of the guardrails."""
        if self.checkpoint is not None:
            guardrails = guardrails_of_catalogue() if self.checkpoint.generation is not None else _UNGUARDED
            return part_sheets((self.checkpoint,), guardrails, for_model=self.name)
        return (*part_sheets_of(self.name, self.parts), *part_sheets((), guardrails_of_catalogue(), for_model=""))

    def stages(self, request: Task | Wanted | None = None) -> tuple[StageSheet, ...]:
        """The stages of a request: a task for a model that is served, what is wanted for one that is not."""
        if self.checkpoint is not None:
            if isinstance(request, Wanted):
                raise TypeError(f"{self.name} is asked in tasks")
            return stages_of(request or usual_task(self.checkpoint), self.checkpoint, guardrails_of_catalogue())
        wanted = request if isinstance(request, Wanted) else self.request
        if wanted is None:
            raise TypeError(f"{self.name} is asked in what is wanted")
        return self._unserved_stages(wanted)

    def _unserved_stages(self, wanted: Wanted) -> tuple[StageSheet, ...]:
        parts = {part.name: part for part in self.parts}
        guards = guardrails_of_catalogue()
        control = next((part for name, part in parts.items() if name.startswith("control_")), None)
        networks = Networks(self.name, parts["transformer"], parts["tokenizer"], parts["text_encoder"], control)
        making = making_stages(wanted, networks)
        asked = guard_prompt_stage(guards, [_PROMPT_TOKENS])
        return (*asked, *making, *guard_frames_stages(guards, wanted.num_frames, wanted.height, wanted.width))


@cache
def catalogue_models() -> Mapping[str, CatalogueModel]:
    """Every model by its name without the owner."""
    models = [*_served(), *_unserved()]
    return {model.name: model for model in models}


@cache
def guardrails_of_catalogue() -> Guardrails:
    """The published guardrails with today's text classifier."""
    parts = (
        network_part(TEXT_CLASSIFIER_PART, "qwen3guard_0.6b"),
        network_part(CONTENT_FILTER_PART, "siglip_so400m"),
        network_part(CLASSIFIER_PART, "safety_classifier"),
        network_part(FACE_BLUR_PART, "retinaface_r50"),
    )
    return Guardrails(path="", checks=CHECKS, parts=parts)


_UNGUARDED = Guardrails(path="", checks=(), parts=())


def network_part(name: str, network: str) -> Part:
    """A part as detection would find it. network: its name in the file."""
    found = _networks()[network]
    return Part(
        name=name,
        folder=name,
        files=(),
        size_bytes=found["size_bytes"],
        dtype=found["dtype"],
        num_blocks=found["num_blocks"],
        block_bytes=found["block_bytes"],
        rest_bytes=found["rest_bytes"],
        num_tensors=found["num_tensors"],
        config=found["config"],
    )


@cache
def _networks() -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(_FILE.read_text(encoding="utf-8")))


def _served() -> list[CatalogueModel]:
    predict: Family = "predict2.5"
    qwen = "qwen25_vl_7b"
    of_25 = {"text_encoder": qwen, "tokenizer": "wan21_vae"}
    controls = {f"control_{control}": "transfer25_control" for control in transfer.BRANCHES}
    models = [
        _generator("Cosmos-Predict2.5-2B", predict, generator.TASKS, {**of_25, "transformer": "predict25_2b"}),
        _generator("Cosmos-Predict2.5-14B", predict, generator.TASKS, {**of_25, "transformer": "predict25_14b"}),
        _generator(
            "Cosmos-Transfer2.5-2B",
            "transfer2.5",
            transfer.TASKS,
            {**of_25, "transformer": "transfer25_2b", **controls},
        ),
        _reasoner("Cosmos-Reason1-7B", "reason1", qwen, _REASONER_TOKENS),
    ]
    for size in ("2b", "8b", "32b"):
        name = f"Cosmos-Reason2-{size.upper()}"
        models.append(_reasoner(name, "reason2", f"qwen3_vl_{size}", _LONG_REASONER_TOKENS))
    for size, alone in (("Nano", "qwen3_vl_8b"), ("Super", "qwen3_vl_32b")):
        tower = f"cosmos3_{size.lower()}"
        parts = {"transformer": tower, "tokenizer": "wan22_vae", "vision_encoder": f"{tower}_eyes"}
        names = [
            f"Cosmos3-{size}",
            *(f"Cosmos3-Super-{only}" for only in ("Text2Image", "Image2Video") if size == "Super"),
        ]
        models += [_generator(name, "cosmos3", (*omni.GENERATION_TASKS, *reasoner.TASKS), parts) for name in names]
        models.append(_reasoner(f"Cosmos3-{size}-Reasoner", "cosmos3", alone, _LONG_REASONER_TOKENS))
    return models + [_autoregressive(size) for size in SIZES]


def _autoregressive(size: str) -> CatalogueModel:
    """Those that read a prompt are called so."""
    reader = {"text_encoder": "t5_11b"} if size.endswith("World") else {}
    networks = {
        **reader,
        "ar_model": f"autoregressive_{size.partition('-')[0].lower()}",
        "tokenizer": "cosmos_code_tokenizer",
        "diffusion_decoder": "cosmos_diffusion_decoder",
        "decoder_tokenizer": "cosmos_vae",
    }
    tasks = autoregressive.TASKS
    return _model(f"Cosmos-Predict1-{size}", "autoregressive", tasks, networks, _CODE_LIMITS, None)


def _generator(name: str, family: Family, tasks: tuple[str, ...], networks: Mapping[str, str]) -> CatalogueModel:
    limits = _OMNI_LIMITS if family == "cosmos3" else _LIMITS
    context = _LONG_REASONER_TOKENS if family == "cosmos3" else None
    return _model(name, family, tasks, networks, limits, context)


def _reasoner(name: str, family: Family, network: str, context_tokens: int) -> CatalogueModel:
    return _model(name, family, reasoner.TASKS, {"model": network}, None, context_tokens)


def _model(
    name: str,
    family: Family,
    tasks: tuple[str, ...],
    networks: Mapping[str, str],
    limits: GenerationLimits | None,
    context_tokens: int | None,
) -> CatalogueModel:
    parts = tuple(network_part(part, network) for part, network in networks.items())
    checkpoint = Checkpoint(
        name=name,
        aliases=(),
        path="",
        family=family,
        tasks=tasks,
        revision="published",
        parts=parts,
        generation=limits,
        context_tokens=context_tokens,
    )
    return CatalogueModel(f"nvidia/{name}", family, parts, checkpoint)


# 121 frames of Predict1 and Transfer1, 93 of Predict2 and pictures of it, as NVIDIA's own code makes them.
_FILM = Wanted(
    num_frames=121, height=704, width=1280, num_steps=36, passes=2, encodes=0, times_per_frame=False, is_lean=True
)
_CLIP = Wanted(num_frames=93, height=704, width=1280, num_steps=35, passes=2, is_lean=True)
_PICTURE = Wanted(
    num_frames=1, height=768, width=1360, num_steps=35, passes=2, encodes=0, times_per_frame=False, is_lean=True
)


def _unserved() -> list[CatalogueModel]:
    of_1 = {"text_encoder": "t5_11b", "tokenizer": "cosmos_vae"}
    of_2 = {"text_encoder": "t5_11b", "tokenizer": "wan21_vae"}
    after_media = Wanted(**{**_FILM.__dict__, "encodes": 1})
    models = []
    for size in ("7b", "14b"):
        name = f"Cosmos-Predict1-{size.upper()}"
        to_video, from_media = f"predict1_{size}", f"predict1_{size}_media"
        models.append(_other(f"{name}-Text2World", "predict1", {**of_1, "transformer": to_video}, _FILM))
        models.append(_other(f"{name}-Video2World", "predict1", {**of_1, "transformer": from_media}, after_media))
    # Its own tokenizer, for pictures alone, is taken for the larger one of the others.
    smallest = {**of_2, "transformer": "predict2_0.6b"}
    models.append(_other("Cosmos-Predict2-0.6B-Text2Image", "predict2", smallest, _PICTURE))
    for size in ("2b", "14b"):
        name = f"Cosmos-Predict2-{size.upper()}"
        to_picture, from_media = f"predict2_{size}", f"predict2_{size}_media"
        models.append(_other(f"{name}-Text2Image", "predict2", {**of_2, "transformer": to_picture}, _PICTURE))
        models.append(_other(f"{name}-Video2World", "predict2", {**of_2, "transformer": from_media}, _CLIP))
    edge = {**of_1, "transformer": "predict1_7b", "control_edge": "transfer1_control"}
    models.append(_other("Cosmos-Transfer1-7B", "transfer1", edge, after_media))
    return models


def _other(name: str, family: str, networks: Mapping[str, str], request: Wanted) -> CatalogueModel:
    parts = tuple(network_part(part, network) for part, network in networks.items())
    return CatalogueModel(f"nvidia/{name}", family, parts, request=request)
