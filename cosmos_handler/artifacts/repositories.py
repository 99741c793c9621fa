"""NVIDIA's repositories by name: where the form that is served best is, and which hold models that are not served."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from cosmos_handler.artifacts.companions import DECODER_TOKENIZER, DIFFUSION_DECODER, T5_HUB_ID, TOKENIZER


@dataclass(frozen=True)
class Source:
    """What is fetched of another repository, from its main branch.

    files: patterns of their names. places: folders of it ("." for the whole), by where they go.
    """

    hub_id: str
    files: tuple[str, ...]
    places: Mapping[str, str]


@dataclass(frozen=True)
class Repository:
    """revision: where the form is that is served; None: on the main branch.

    folders: parts of it under revisions of their own, by where they go. beside: what goes with it.
    """

    revision: str | None
    folders: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[Source, ...] = ()


def _autoregressive(model: str, *, reads_text: bool) -> Repository:
    """A model that is published as model.pt alone."""
    programs = ("encoder.jit", "decoder.jit", "mean_std.pt")
    tokenizers = [Source(each.hub_id(model), programs, {each.own: "."}) for each in (TOKENIZER, DECODER_TOKENIZER)]
    decoder = Source(DIFFUSION_DECODER.hub_id(model), ("model.pt", "aux_vars.pt"), {DIFFUSION_DECODER.own: "."})
    text = Source(
        T5_HUB_ID,
        ("text_encoder/*.json", "text_encoder/*.safetensors", "tokenizer/*"),
        {"text_encoder": "text_encoder", "text_tokenizer": "tokenizer"},
    )
    return Repository(None, beside=(*tokenizers, decoder, *([text] if reads_text else [])))


REPOSITORIES: Mapping[str, Repository] = {
    "nvidia/Cosmos-Predict2.5-2B": Repository("diffusers/base/post-trained"),
    "nvidia/Cosmos-Predict2.5-14B": Repository("diffusers/base/post-trained"),
    "nvidia/Cosmos-Transfer2.5-2B": Repository(
        "diffusers/general",
        {f"controlnet/{hint}": f"diffusers/controlnet/general/{hint}" for hint in ("edge", "blur", "depth", "seg")},
    ),
    **{
        f"nvidia/{start}{size}": _autoregressive(start + size, reads_text="Video2World" in size)
        for start in ("Cosmos-1.0-Autoregressive-", "Cosmos-Predict1-")
        for size in ("4B", "12B", "5B-Video2World", "13B-Video2World")
    },
}

# Names of NVIDIA's repositories → models that are not served, told before anything of them is fetched. The first that
# fits decides. Some, such as the policies of Cosmos 3, bear no other mark.
_NOT_SERVED = (
    (r"Cosmos-(1\.0-Diffusion|Predict1)-7B-Decoder", "the diffusion decoder of Cosmos Autoregressive alone"),
    (r"Cosmos-(1\.0-Diffusion|Predict1-(?!4B|5B|12B|13B))", "Cosmos 1.0 or Predict1"),
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
