"""Our sheets against the lists of NVIDIA's tensors and against the classes of diffusers, at the published sizes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.artifacts.inspection import Inspection
from cosmos_handler.artifacts.native import transformer, vae
from cosmos_handler.artifacts.native.sheet import Line, Weights
from cosmos_handler.artifacts.safetensors_header import StoredTensor

pytestmark = pytest.mark.model

Shapes = Mapping[str, tuple[int, ...]]


def listed(name: str, model: str) -> dict[str, tuple[int, ...]]:
    """A list of NVIDIA's tensors at the sizes of a model, without the prefix."""
    from scripts.tiny.native import shapes

    return {key.removeprefix("net."): shape for key, shape in shapes(name, model).items()}


def read(shapes: Shapes, *, with_control: bool = False) -> transformer.Architecture:
    look = Inspection(Path("/nowhere"))
    tensors = {name: StoredTensor("bfloat16", shape, 0) for name, shape in shapes.items()}
    found = transformer.architecture(look, Weights("x.pt", "net.", tensors, {}, ()), with_control=with_control)
    assert found is not None, look.faults
    return found


def theirs(sheet: list[Line]) -> dict[str, tuple[int, ...]]:
    return {line.theirs: line.shape for line in sheet}


def ours(sheet: list[Line]) -> dict[str, tuple[int, ...]]:
    assert len({line.ours for line in sheet}) == len(sheet)
    return {line.ours: line.shape for line in sheet}


def built(class_name: str, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The tensors of a class of diffusers, without their memory."""
    import diffusers
    from accelerate import init_empty_weights

    with init_empty_weights():
        module = getattr(diffusers, class_name).from_config(dict(config))
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


# The configurations that diffusers publishes for these models, where shapes alone could be read another way.
PUBLISHED = {
    "Cosmos-Predict2.5-2B": {"num_attention_heads": 16, "num_layers": 28},
    "Cosmos-Predict2.5-14B": {"num_attention_heads": 40, "num_layers": 36},
    "Cosmos-Transfer2.5-2B": {
        "num_attention_heads": 16,
        "num_layers": 28,
        "controlnet_block_every_n": 7,
        "img_context_dim_in": 1152,
        "img_context_dim_out": 2048,
        "img_context_num_tokens": 256,
    },
}
_OF_ALL = {
    "in_channels": 17,
    "out_channels": 16,
    "attention_head_dim": 128,
    "mlp_ratio": 4.0,
    "text_embed_dim": 1024,
    "adaln_lora_dim": 256,
    "max_size": [128, 240, 240],
    "patch_size": [1, 2, 2],
    "rope_scale": [1.0, 3.0, 3.0],
    "concat_padding_mask": True,
    "extra_pos_embed_type": None,
    "use_crossattn_projection": True,
    "crossattn_proj_in_channels": 100352,
    "encoder_hidden_states_channels": 1024,
}


@pytest.mark.parametrize("model", ["Cosmos-Predict2.5-2B", "Cosmos-Predict2.5-14B", "tiny"])
def test_predict_is_named_shaped_and_configured_as_published(model: str) -> None:
    shapes = listed("predict2.5", model)
    found = read(shapes)
    assert theirs(found.base()) == shapes
    assert ours(found.base()) == built("CosmosTransformer3DModel", found.base_config())
    if model in PUBLISHED:
        assert found.base_config() == _OF_ALL | PUBLISHED[model]


@pytest.mark.parametrize("model", ["Cosmos-Transfer2.5-2B", "tiny"])
def test_transfer_is_named_shaped_and_configured_as_published(model: str) -> None:
    shapes = listed("transfer2.5", model)
    found = read(shapes, with_control=True)
    assert theirs(found.base()) | theirs(found.control()) == shapes
    assert ours(found.base()) == built("CosmosTransformer3DModel", found.base_config())
    assert ours(found.control_network()) == built("CosmosControlNetModel", found.control_config())
    if model in PUBLISHED:
        assert found.base_config() == _OF_ALL | PUBLISHED[model]
        control = found.control_config()
        sizes = (control["n_controlnet_blocks"], control["in_channels"], control["latent_channels"])
        assert sizes == (4, 130, 18)


@pytest.mark.parametrize(("model", "width"), [("tokenizer.pth", 96), ("tiny", 4)])
def test_the_vae_is_named_and_shaped_as_published(model: str, width: int) -> None:
    sheet = vae.sheet(width)
    assert theirs(sheet) == listed("wan2.1_vae", model)
    assert ours(sheet) == built("AutoencoderKLWan", vae.config(width))


def test_the_vae_is_renamed_as_diffusers_renames_it() -> None:
    from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

    sheet = vae.sheet(96)
    renamed = convert_wan_vae_to_diffusers({line.theirs: line.theirs for line in sheet})
    assert renamed == {line.ours: line.theirs for line in sheet}


@pytest.mark.parametrize("model", ["Cosmos-Predict2.5-2B", "Cosmos-Predict2.5-14B"])
def test_the_transformer_is_renamed_as_diffusers_renames_it(model: str) -> None:
    from diffusers.loaders.single_file_utils import convert_cosmos_transformer_checkpoint_to_diffusers

    sheet = read(listed("predict2.5", model)).base()
    renamed = convert_cosmos_transformer_checkpoint_to_diffusers({f"net.{line.theirs}": line.theirs for line in sheet})
    assert renamed == {line.ours: line.theirs for line in sheet}
