"""model.pt and aux_vars.pt of the diffusion decoder: sizes, configuration, and what is told of those not whole."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.artifacts.checkpoint import Part
from cosmos_handler.artifacts.inspection import Inspection
from cosmos_handler.artifacts.native.diffusion_decoder import examine_aux_vars, examine_diffusion_decoder

pytestmark = pytest.mark.model

PUBLISHED = "Cosmos-Predict1-7B-Decoder-DV8x16x16ToCV8x8x8-720p"


def state_of(sizes: str) -> dict[str, Any]:
    """All tensors, each with a single value in the file, however large it is; and what lies beside them."""
    import torch

    from scripts.tiny.native import listed, shapes

    state = {k: torch.ones(1, dtype=torch.bfloat16).expand(s) for k, s in shapes("diffusion_decoder", sizes).items()}
    beside = listed("diffusion_decoder")["beside"]
    return {**state, **{key: torch.zeros(shape) for key, (_, shape) in beside.items()}}


def examined(folder: Path, state: Mapping[str, Any]) -> tuple[Part | None, list[str]]:
    import torch

    torch.save(state, folder / "model.pt")
    look = Inspection(folder)
    return examine_diffusion_decoder(look, "model.pt"), look.faults


def aux_faults(folder: Path, content: Any) -> list[str]:
    import torch

    torch.save(content, folder / "aux_vars.pt")
    look = Inspection(folder)
    examine_aux_vars(look, "aux_vars.pt", text_width=24)
    return look.faults


def test_named_and_shaped_as_our_class(tmp_path: Path) -> None:
    from accelerate import init_empty_weights

    from cosmos_handler.families.autoregressive.diffusion_decoder import DiffusionDecoder

    state = state_of(PUBLISHED)
    part, faults = examined(tmp_path, state)
    assert part is not None, faults
    assert part.native is not None
    with init_empty_weights():
        built, published = DiffusionDecoder.from_config(dict(part.native.config)), DiffusionDecoder()
    assert {ours: tuple(state[theirs].shape) for theirs, ours in part.native.names.items()} == {
        key: tuple(tensor.shape) for key, tensor in built.state_dict().items()
    }
    for name, value in part.config.items():
        assert published.config[name] == (tuple(value) if isinstance(value, list) else value), name
    assert (part.name, part.dtype, part.num_blocks) == ("diffusion_decoder", "bfloat16", 28)
    assert part.size_bytes == 2 * 7_237_257_216


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    import torch

    state = state_of("tiny")
    del state["net.blocks.block1.blocks.2.adaLN_modulation.2.weight"], state["net.affline_norm.weight"]
    state["net.blocks.block0.blocks.1.block.attn.to_v.0.weight"] = torch.zeros(32, 32)
    state["net.extra_pos_embedder.pos_emb_h"] = torch.zeros(120, 32)
    state["other.weight"] = torch.zeros(1)
    part, faults = examined(tmp_path, state)
    assert part is None
    assert faults == [
        "model.pt holds tensors of no network that is known: other.weight",
        "model.pt lacks tensors of the diffusion decoder: net.affline_norm.weight, "
        "net.blocks.block1.blocks.2.adaLN_modulation.2.weight",
        "model.pt holds tensors that the diffusion decoder has no place for: net.extra_pos_embedder.pos_emb_h",
        "model.pt: net.blocks.block0.blocks.1.block.attn.to_v.0.weight is [32, 32], not [32, 24]",
    ]


@pytest.mark.parametrize(
    ("key", "shape", "fault"),
    [
        (
            "net.token_embedder.weight",
            (64_000, 5),
            "model.pt: x_embedder takes 21 channels, not 22: the latents, the embedding of their codes and the padding "
            "mask",
        ),
        ("net.x_embedder.proj.1.weight", (32, 85), "model.pt: patch_in is 85, which 4 does not divide"),
        ("net.token_embedder.weight", None, "model.pt lacks net.token_embedder.weight"),
    ],
)
def test_sizes_that_do_not_fit(tmp_path: Path, key: str, shape: tuple[int, ...] | None, fault: str) -> None:
    import torch

    state = state_of("tiny")
    if shape is None:
        del state[key]
    else:
        state[key] = torch.zeros(1).expand(shape)
    assert examined(tmp_path, state) == (None, [fault])


def test_other_files(tmp_path: Path) -> None:
    import torch

    part, faults = examined(tmp_path, {"model.tok_embeddings.weight": torch.zeros(4, 4)})
    assert part is None
    assert faults == ["model.pt is not the diffusion decoder of an autoregressive Cosmos, but Cosmos Autoregressive"]
    (tmp_path / "model.pt").unlink()
    look = Inspection(tmp_path)
    assert examine_diffusion_decoder(look, "model.pt") is None
    assert look.faults == ["model.pt is missing"]


def test_the_prompt_beside_it(tmp_path: Path) -> None:
    import torch

    text, mask = torch.zeros(1, 6, 24), torch.ones(1, 6, dtype=torch.bool)
    assert aux_faults(tmp_path, {"context": text, "context_mask": mask}) == []
    assert aux_faults(tmp_path, {"context": text}) == []
    assert aux_faults(tmp_path, {"context_mask": mask}) == [
        "aux_vars.pt lacks context: the embeddings of a prompt for videos without one"
    ]
    assert aux_faults(tmp_path, {"context": text[0].long(), "context_mask": mask}) == [
        "aux_vars.pt: context is [6, 24], not 1 x tokens x 24",
        "aux_vars.pt: context is stored as int64, which embeddings are not",
        "aux_vars.pt: context_mask is [1, 6], not [6, 24]",
    ]
    assert aux_faults(tmp_path, [text]) == ["aux_vars.pt does not hold a dictionary from names to tensors"]
