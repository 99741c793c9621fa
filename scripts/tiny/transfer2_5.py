"""Tiny Transfer2.5: the diffusers form of nvidia/Cosmos-Transfer2.5-2B with all four control branches beside it."""

from collections.abc import Callable
from pathlib import Path

from diffusers import CosmosControlNetModel, CosmosTransformer3DModel

from scripts.tiny import predict2_5
from scripts.tiny.files import write_index
from scripts.tiny.tokenizer import write_tokenizer
from scripts.tiny.weights import fill

_LAYERS, _LAYERS_PER_CONTROL_BLOCK = 4, 2  # 28 and 7 in the real one, so that it too has a few control blocks
# What the transformer and its control branches have in common.
_SHARED = {**predict2_5.NETWORK, "img_context_dim_in": 24, "img_context_dim_out": predict2_5.WIDTH}
BRANCHES = ("edge", "blur", "depth", "seg")


def write(folder: Path, *, seed: int, report: Callable[[str], None]) -> None:
    """Write the checkpoint into the existing, empty `folder`. report: called with the name of each finished part."""
    tokenizer = write_tokenizer(folder / "tokenizer", longest_tokens=131_072)
    report("tokenizer")
    predict2_5.text_encoder(tokenizer, seed=seed).save_pretrained(folder / "text_encoder")
    report("text_encoder")
    transformer = _transformer(seed=seed)
    transformer.save_pretrained(folder / "transformer")
    report("transformer")
    for branch in BRANCHES:
        _control_branch(transformer, branch, seed=seed).save_pretrained(folder / "controlnet" / branch)
    report("controlnet")
    predict2_5.vae(seed=seed).save_pretrained(folder / "vae")
    report("vae")
    predict2_5.scheduler().save_pretrained(folder / "scheduler")
    write_index(
        folder,
        "Cosmos2_5_TransferPipeline",
        {
            "controlnet": ("diffusers", "CosmosControlNetModel"),
            "safety_checker": None,
            "scheduler": ("diffusers", "UniPCMultistepScheduler"),
            "text_encoder": ("transformers", "Qwen2_5_VLForConditionalGeneration"),
            "tokenizer": ("transformers", "Qwen2Tokenizer"),
            "transformer": ("diffusers", "CosmosTransformer3DModel"),
            "vae": ("diffusers", "AutoencoderKLWan"),
        },
    )
    report("scheduler, model_index.json")


def _transformer(*, seed: int) -> CosmosTransformer3DModel:
    model = CosmosTransformer3DModel(
        in_channels=16 + 1,  # latents and the mask of the frames that are given
        out_channels=16,
        num_layers=_LAYERS,
        concat_padding_mask=True,
        controlnet_block_every_n=_LAYERS_PER_CONTROL_BLOCK,
        img_context_num_tokens=4,
        **_SHARED,
    )
    fill(model, seed=seed)
    return model


def _control_branch(transformer: CosmosTransformer3DModel, branch: str, *, seed: int) -> CosmosControlNetModel:
    model = CosmosControlNetModel(
        n_controlnet_blocks=_LAYERS // _LAYERS_PER_CONTROL_BLOCK,
        in_channels=130,
        latent_channels=16 + 1 + 1,  # latents, the mask of the frames that are given, the padding mask
        model_channels=predict2_5.WIDTH,
        **_SHARED,
    )
    fill(model, seed=seed + 1 + BRANCHES.index(branch))  # no two branches alike, or a mix-up would go unnoticed
    # The published branches carry copies of the transformer's own layers around the blocks.
    for copied, source in (
        ("patch_embed_base", "patch_embed"),
        ("time_embed", "time_embed"),
        ("img_context_proj", "img_context_proj"),
        ("crossattn_proj", "crossattn_proj"),
    ):
        getattr(model, copied).load_state_dict(getattr(transformer, source).state_dict())
    return model
