"""NVIDIA's repositories by name: where the form that is served best is, and which hold models that are not served."""

import re
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

# Names of NVIDIA's repositories → models that are not served, told before anything of them is fetched. The first that
# fits decides. Some, such as the policies of Cosmos 3, bear no other mark.
_NOT_SERVED = (
    (r"Cosmos-1\.0-Autoregressive|Cosmos-Predict1-(4B|12B|5B|13B)", "Cosmos 1.0 or Predict1 Autoregressive"),
    (r"Cosmos-(1\.0-Diffusion|Predict1)", "Cosmos 1.0 or Predict1"),
    (r"Cosmos-Predict2-.*Multiview", "a multiview Cosmos Predict2"),
    (r"Cosmos-Predict2-.*Action", "an action-conditioned Cosmos Predict2"),
    (r"Cosmos-Predict2-", "Cosmos Predict2"),
    (r"Cosmos-Transfer1-", "Cosmos Transfer1"),
    (r"Cosmos-Policy-", "Cosmos Policy"),
    (r"Cosmos-Embed1", "Cosmos Embed1"),
    (r"Cosmos-Reason1-.*Reward", "Cosmos Reason1 Reward"),
    (r"Cosmos3-.*Policy", "a Cosmos 3 Policy"),
    (r"Cosmos3-Edge", "Cosmos 3 Edge"),
    (r"Cosmos3-.*4Step", "a distilled Cosmos 3"),
    (r"Cosmos3-.*-(Transfer|Sim)-", "a multiview or simulating Cosmos 3"),
    (r"Cosmos-.*Tokeniz", "a Cosmos tokenizer alone"),
    (r"Cosmos-(1\.0-Prompt-Upsampler|UpsamplePrompt1)", "a Cosmos prompt upsampler alone"),
    (r"Cosmos-.*Guardrail", "the Cosmos guardrails alone"),
)


def not_served(name: str) -> str | None:
    """What the model of a repository, or of a folder that is called after one, is when it is not served."""
    own = name.removeprefix("nvidia/")
    return next((title for pattern, title in _NOT_SERVED if re.match(pattern, own)), None)
