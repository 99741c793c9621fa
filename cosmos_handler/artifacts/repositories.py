"""NVIDIA's repositories whose main branch is not the form that is served best: where that is instead."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Repository:
    """revision: where the diffusers form is. folders: parts of it under revisions of their own, by where they go."""

    revision: str
    folders: Mapping[str, str] = field(default_factory=dict)


REPOSITORIES: Mapping[str, Repository] = {
    "nvidia/Cosmos-Predict2.5-2B": Repository("diffusers/base/post-trained"),
    "nvidia/Cosmos-Predict2.5-14B": Repository("diffusers/base/post-trained"),
    "nvidia/Cosmos-Transfer2.5-2B": Repository(
        "diffusers/general",
        {f"controlnet/{hint}": f"diffusers/controlnet/general/{hint}" for hint in ("edge", "blur", "depth", "seg")},
    ),
}
