"""The formulas of working memory against what the libraries' own networks allocate, at full size without memory, and
at tiny sizes for real; and their operation counts against the published ones."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cosmos_handler.memory.shapes.autoregressive import Autoregressive
from cosmos_handler.memory.shapes.cosmos_vae import CosmosVae
from cosmos_handler.memory.shapes.dit import Dit
from cosmos_handler.memory.shapes.guard import RetinaFace, Siglip
from cosmos_handler.memory.shapes.language import Language
from cosmos_handler.memory.shapes.omni import Omni
from cosmos_handler.memory.shapes.t5 import T5
from cosmos_handler.memory.shapes.vision import Vision
from cosmos_handler.memory.shapes.wan_vae import WanVae

NETWORKS: Mapping[str, Any] = json.loads(
    (Path(__file__).parents[2] / "cosmos_handler" / "memory" / "catalogue.json").read_text()
)
DTYPES = ("bfloat16", "float32")
CLOSE = 1.05


def few_layers(name: str) -> dict[str, Any]:
    from tests.memory.networks import FEW_LAYERS

    config = dict(NETWORKS[name]["config"])
    return config | {key: value for key, value in FEW_LAYERS.items() if key in config}


def network_of(name: str, dtype: str, config: Mapping[str, Any] | None = None) -> Any:
    from tests.memory.networks import built

    found = NETWORKS[name]
    return built(found["library"], found["class"], found["config"] if config is None else config, dtype)


def assert_close(formula: int, counted: int) -> None:
    assert counted <= formula <= CLOSE * counted, formula / counted


@pytest.mark.model
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "latents", "timed"),
    [
        ("predict1_7b", (16, 88, 160), False),
        ("predict1_14b", (16, 88, 160), False),
        ("predict2_14b", (1, 96, 170), False),
        ("predict25_2b", (24, 88, 160), True),
        ("predict25_14b", (24, 54, 96), True),
        ("predict25_14b", (1, 54, 96), True),
        ("transfer25_2b", (24, 88, 160), True),
    ],
)
def test_a_transformer_takes_what_is_predicted(
    name: str, latents: tuple[int, int, int], timed: bool, dtype: str
) -> None:
    from tests.memory.networks import counted, forward_of_dit

    config = few_layers(name)
    shape = Dit.from_config(config, dtype)
    run = forward_of_dit(network_of(name, dtype, config), *latents, text=512, timed=timed)
    timed_frames = latents[0] if timed else 0
    assert_close(shape.forward_bytes(shape.tokens(*latents), 512, timed_frames=timed_frames), counted(run))


@pytest.mark.model
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["predict1_14b", "predict25_2b", "transfer25_2b"])
def test_a_lean_transformer_takes_what_is_predicted(name: str, dtype: str) -> None:
    from cosmos_handler.families.lean import make_lean
    from tests.memory.networks import counted, forward_of_dit

    config = few_layers(name)
    shape, network, timed = Dit.from_config(config, dtype), network_of(name, dtype, config), "25" in name
    make_lean(network)
    run = forward_of_dit(network, 24, 88, 160, text=512, timed=timed)
    formula = shape.forward_bytes(shape.tokens(24, 88, 160), 512, timed_frames=24 if timed else 0, is_lean=True)
    assert_close(formula, counted(run))


@pytest.mark.model
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("latents", [(24, 88, 160), (5, 54, 96)])
def test_a_control_branch_takes_what_is_predicted(latents: tuple[int, int, int], dtype: str) -> None:
    from cosmos_handler.families.lean import make_lean
    from tests.memory.networks import counted, forward_of_control

    shape = Dit.from_config(NETWORKS["transfer25_control"]["config"], dtype)
    tokens, branch = shape.tokens(*latents), network_of("transfer25_control", dtype)
    run = forward_of_control(branch, *latents, text=512)
    assert_close(shape.forward_bytes(tokens, 512, timed_frames=latents[0]), counted(run))
    make_lean(branch)
    assert_close(shape.forward_bytes(tokens, 512, timed_frames=latents[0], is_lean=True), counted(run))


@pytest.mark.model
@pytest.mark.parametrize("name", ["cosmos3_nano", "cosmos3_super"])
@pytest.mark.parametrize("latents", [(48, 45, 80), (1, 60, 60)])
def test_an_omni_transformer_takes_what_is_predicted(name: str, latents: tuple[int, int, int]) -> None:
    from tests.memory.networks import counted, forward_of_omni

    config = few_layers(name)
    shape = Omni.from_config(config, "bfloat16")
    run = forward_of_omni(network_of(name, "bfloat16", config), *latents, text=400)
    assert_close(shape.forward_bytes(shape.tokens(*latents), 400), counted(run))


@pytest.mark.model
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["wan21_vae", "wan22_vae"])
@pytest.mark.parametrize("what", ["decode", "encode"])
def test_a_wan_vae_takes_what_is_predicted(name: str, what: str, dtype: str) -> None:
    import torch

    from tests.memory.networks import counted, decode_frame_by_frame

    vae = network_of(name, dtype)
    shape = WanVae.from_config(NETWORKS[name]["config"], dtype)
    rows, columns = 704 // shape.spatial_factor, 1280 // shape.spatial_factor
    if what == "encode":
        pixels = torch.zeros(1, 3, 13, 704, 1280, dtype=vae.dtype, device="meta")
        assert_close(shape.encode_bytes(13, 704, 1280), counted(lambda: vae.encode(pixels)))
        return
    latents = torch.zeros(1, shape.latent_channels, 4, rows, columns, dtype=vae.dtype, device="meta")
    assert_close(shape.decode_bytes(4, rows, columns), counted(decode_frame_by_frame(vae, latents)))


@pytest.mark.model
def test_decoding_in_tiles_takes_what_is_predicted() -> None:
    import torch

    from tests.memory.networks import counted

    vae = network_of("wan21_vae", "bfloat16")
    shape = WanVae.from_config({}, "bfloat16")
    latents = torch.zeros(1, 16, 3, 44, 60, dtype=vae.dtype, device="meta")
    vae.enable_tiling()
    assert_close(shape.tiled_decode_bytes(3, 44, 60), counted(lambda: vae.decode(latents)))
    assert shape.needs_tiles(44, 60)
    assert not shape.needs_tiles(32, 32)


@pytest.mark.model
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("frames", [57, 121])
def test_a_cosmos_vae_takes_what_is_predicted(frames: int, dtype: str) -> None:
    import torch

    from tests.memory.networks import counted

    vae = network_of("cosmos_vae", dtype)
    shape = CosmosVae.from_config({}, dtype)
    latent_frames = shape.latent_frames(frames)
    latents = torch.zeros(1, 16, latent_frames, 88, 160, dtype=vae.dtype, device="meta")
    assert_close(shape.decode_bytes(latent_frames, 88, 160), counted(lambda: vae.decode(latents)))
    pixels = torch.zeros(1, 3, frames, 704, 1280, dtype=vae.dtype, device="meta")
    assert_close(shape.encode_bytes(frames, 704, 1280), counted(lambda: vae.encode(pixels)))


@pytest.mark.model
@pytest.mark.parametrize("mirrored", [True, False])
@pytest.mark.parametrize("frames", [1, 33])
def test_a_tokenizer_of_codes_takes_what_is_predicted(frames: int, mirrored: bool) -> None:
    import torch

    from tests.memory.networks import built, counted

    found = NETWORKS["cosmos_code_tokenizer"]
    config = {**found["config"], "mirrored": mirrored}
    tokenizer = built(found["library"], found["class"], config, "bfloat16")
    shape = CosmosVae.of_codes(config, "bfloat16")
    pixels = torch.zeros(1, 3, frames, 640, 1024, dtype=tokenizer.dtype, device="meta")
    assert_close(shape.encode_bytes(frames, 640, 1024), counted(lambda: tokenizer.encode(pixels)))
    latents = shape.latent_frames(frames), 40, 64
    codes = torch.zeros(1, *latents, dtype=torch.long, device="meta")
    assert_close(shape.decode_bytes(*latents), counted(lambda: tokenizer.decode(codes)))


@pytest.mark.model
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("context_width", [None, 64])
@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize(("latent_shape", "given", "codes"), [((3, 16, 16), 2, 500), ((5, 2, 3), 1, 64000)])
def test_drawing_codes_takes_what_is_predicted(
    latent_shape: tuple[int, int, int], given: int, codes: int, context_width: int | None, dtype: str, batch_size: int
) -> None:
    """Where reading takes the most, and where drawing does: there, sorting takes something that is not counted."""
    import torch

    from cosmos_handler.families.autoregressive.generation import Request, generate
    from cosmos_handler.families.autoregressive.sampling import Sampling
    from tests.memory.networks import built, counted

    config = {"hidden_size": 256, "num_hidden_layers": 2, "intermediate_size": 896, "num_attention_heads": 4,
              "num_key_value_heads": 2, "head_dim": 64, "vocab_size": codes, "latent_shape": latent_shape,
              "context_width": context_width}  # fmt: skip
    found = NETWORKS["autoregressive_4b"]
    model = built(found["library"], found["class"], config, dtype, device="cpu")
    text = None if context_width is None else torch.zeros(512, context_width, dtype=model.dtype)
    request = Request(torch.zeros(given, *latent_shape[1:], dtype=torch.long), Sampling(1.0, 0.9, 0), text)

    def run() -> None:
        def on_step(step: int, _: int) -> None:
            if step == 3:
                raise StopIteration

        with contextlib.suppress(StopIteration):
            generate(model, [request] * batch_size, on_step=on_step)

    formula, counted_bytes = Autoregressive.from_config(config, dtype), counted(run)
    planned_bytes = formula.generate_bytes(given, latent_shape[0], 512, batch_size=batch_size)
    assert counted_bytes <= planned_bytes <= 1.8 * counted_bytes
    if codes < 1000:
        assert planned_bytes <= 1.08 * counted_bytes


def test_drawing_codes_reads_the_weights_for_each() -> None:
    """But for what is looked up, and what is made of the text once; and the keys and values of those before it."""
    found = NETWORKS["autoregressive_5b"]
    work = Autoregressive.from_config(found["config"], "bfloat16").generate_work(2, 5, 512)
    read = found["size_bytes"] - 2 * (64064 * 4096 + 16 * 2 * 1024 * 1024)
    cached = 16 * 2 * 1024 * 2
    new = 3 * 2560
    average = 2 * 2560 + new / 2 + 512 + 512  # the text, and the middle of a step in which slots come into sight
    assert work.memory_bytes == pytest.approx(new * (read + average * cached), rel=0.001)


def test_the_weights_are_read_once_for_a_batch() -> None:
    """But for reading what is given; every video has a cache of its own, and arithmetic of its own."""
    formula = Autoregressive.from_config(NETWORKS["autoregressive_5b"]["config"], "bfloat16")
    one, eight = (formula.generate_work(2, 5, 512, batch_size=size) for size in (1, 8))
    assert eight.linear_flops == 8 * one.linear_flops
    assert eight.attention_flops == 8 * one.attention_flops
    new = 3 * 2560
    cached = 16 * 2 * 1024 * 2 * new * (2 * 2560 + new / 2 + 512 + 512)
    weights = one.memory_bytes - cached
    assert eight.memory_bytes == pytest.approx(weights * (8 + new) / (1 + new) + 8 * cached, rel=0.005)


@pytest.mark.model
def test_the_text_encoder_of_2_5_takes_what_is_predicted() -> None:
    from tests.memory.networks import counted, read_for_embeddings

    shape = Language.from_config(NETWORKS["qwen25_vl_7b"]["config"], "bfloat16")
    made = shape.layers * 512 * shape.width * shape.value_bytes
    read = shape.read_bytes(512, keeps_states=True, scores=512)
    formula = max(read, shape.read_result_bytes(512) + 2 * made)
    assert_close(formula, counted(read_for_embeddings(network_of("qwen25_vl_7b", "bfloat16"), 512)))


@pytest.mark.model
@pytest.mark.parametrize(
    ("name", "tokens"),
    [("qwen25_vl_7b", 16384), ("qwen3_vl_2b", 4096), ("qwen3_vl_32b", 8192), ("qwen3guard_0.6b", 1536)],
)
def test_reading_a_prompt_takes_what_is_predicted(name: str, tokens: int) -> None:
    from tests.memory.networks import counted, read_for_answer

    shape = Language.from_config(NETWORKS[name]["config"], "bfloat16")
    counted_bytes = counted(read_for_answer(network_of(name, "bfloat16"), tokens))
    assert_close(shape.read_bytes(tokens), counted_bytes)


@pytest.mark.model
def test_t5_takes_what_is_predicted() -> None:
    import torch

    from tests.memory.networks import counted

    model, ids = network_of("t5_11b", "bfloat16"), torch.zeros(1, 512, dtype=torch.long, device="meta")
    assert_close(T5.from_config({}, "bfloat16").read_bytes(512), counted(lambda: model(ids)))


@pytest.mark.model
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_guardrails_eyes_take_what_is_predicted(dtype: str) -> None:
    import torch

    from cosmos_handler.guardrails.retina_face import RetinaFace as Network
    from tests.memory.networks import counted

    config = NETWORKS["retinaface_r50"]["config"]
    with torch.device("meta"):
        network = Network.from_config(config).to(getattr(torch, dtype)).eval()
    pixels = torch.zeros(4, 704, 1280, 3, dtype=getattr(torch, dtype), device="meta")
    formula = RetinaFace.from_config(config, dtype).look_bytes(93, 704, 1280)
    assert_close(formula, pixels.nbytes + counted(lambda: network(pixels.permute(0, 3, 1, 2))))
    siglip = network_of("siglip_so400m", dtype)
    small = torch.zeros(8, 3, 384, 384, dtype=getattr(torch, dtype), device="meta")
    shape = Siglip.from_config(NETWORKS["siglip_so400m"]["config"], dtype)
    beside = 8 * 3 * 704 * 1280 + 8 * 3 * 384 * 384 * (6 if dtype == "bfloat16" else 4)
    counted_bytes = beside + counted(lambda: siglip(pixel_values=small))
    assert counted_bytes <= shape.look_bytes(93, 704, 1280) <= 1.1 * counted_bytes


@pytest.mark.model
@pytest.mark.parametrize("name", ["qwen25_vl_7b", "qwen3_vl_8b"])
def test_looking_takes_what_is_predicted(name: str) -> None:
    import torch

    from tests.memory.networks import counted

    config = dict(NETWORKS[name]["config"]["vision_config"])
    # Two layers, the last of which is followed by all that would follow the last of all.
    config |= {"depth": 2} | (
        {"fullatt_block_indexes": [1]} if name == "qwen25_vl_7b" else {"deepstack_visual_indexes": [0]}
    )
    tower = _eyes(name, config)
    side, frames = 16, 2
    patches = frames * side * side
    shape = Vision.from_config({"vision_config": config}, "bfloat16")

    def run() -> Any:
        pixels = torch.zeros(patches, 6 * shape.patch**2)
        return tower(pixels.to(torch.bfloat16), grid_thw=torch.tensor([[frames, side, side]])), pixels

    counted_bytes = counted(run)
    assert counted_bytes <= shape.look_bytes(patches // 4) <= 1.1 * counted_bytes


def _eyes(name: str, config: Mapping[str, Any]) -> Any:
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen3VLConfig, Qwen3VLVisionModel
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel

    old = name == "qwen25_vl_7b"
    whole = (Qwen2_5_VLConfig if old else Qwen3VLConfig)(vision_config=dict(config))
    kind = Qwen2_5_VisionTransformerPretrainedModel if old else Qwen3VLVisionModel
    whole.vision_config._attn_implementation = "sdpa"
    return kind(whole.vision_config).to(torch.bfloat16).eval()


TINY_DIT: Mapping[str, Any] = {
    **NETWORKS["predict25_2b"]["config"], "num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2,
    "text_embed_dim": 32, "adaln_lora_dim": 4, "crossattn_proj_in_channels": 64, "encoder_hidden_states_channels": 32,
}  # fmt: skip
TINY_VAE = {
    "base_dim": 4, "z_dim": 16, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1,
    "temperal_downsample": [False, True, True],
}  # fmt: skip
TINY_FOLDED_VAE = {
    **TINY_VAE, "z_dim": 48, "is_residual": True, "in_channels": 12, "out_channels": 12, "patch_size": 2,
    "scale_factor_spatial": 16,
}  # fmt: skip
TINY_OMNI: Mapping[str, Any] = {
    **NETWORKS["cosmos3_nano"]["config"], "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 512,
    "rope_axes_dim": [2, 3, 3],
}  # fmt: skip


def tiny_runs(dtype: str) -> Iterator[tuple[str, int, Callable[[], Any]]]:
    """Name, formula and call of real networks with real weights; attention is this machine's."""
    import torch

    from tests.memory import networks

    dit = networks.built("diffusers", "CosmosTransformer3DModel", TINY_DIT, dtype, "cpu")
    of_dit = Dit.from_config(TINY_DIT, dtype)
    for latents in ((1, 4, 4), (4, 8, 12)):
        formula = of_dit.forward_bytes(of_dit.tokens(*latents), 512, timed_frames=latents[0])
        yield f"transformer {latents}", formula, networks.forward_of_dit(dit, *latents, text=512, timed=True)
    omni = networks.built("diffusers", "Cosmos3OmniTransformer", TINY_OMNI, dtype, "cpu")
    of_omni = Omni.from_config(TINY_OMNI, dtype)
    for latents in ((1, 4, 4), (3, 9, 12)):
        formula = of_omni.forward_bytes(of_omni.tokens(*latents), 60)
        yield f"omni {latents}", formula, networks.forward_of_omni(omni, *latents, text=60)
    for config in (TINY_VAE, TINY_FOLDED_VAE):
        vae = networks.built("diffusers", "AutoencoderKLWan", config, dtype, "cpu")
        shape = WanVae.from_config(config, dtype)
        rows, columns = 64 // shape.spatial_factor, 96 // shape.spatial_factor
        for frames in (1, 9):
            z = torch.zeros(1, shape.latent_channels, shape.latent_frames(frames), rows, columns, dtype=vae.dtype)
            formula = shape.decode_bytes(z.shape[2], rows, columns)
            yield f"decode {shape.patch} {frames}", formula, networks.decode_frame_by_frame(vae, z)
            pixels = torch.zeros(1, 3, frames, 64, 96, dtype=vae.dtype)
            formula = shape.encode_bytes(frames, 64, 96)
            yield f"encode {shape.patch} {frames}", formula, partial(vae.encode, pixels)


@pytest.mark.model
@pytest.mark.parametrize("dtype", DTYPES)
def test_no_real_network_takes_more_than_predicted(dtype: str) -> None:
    from tests.memory.networks import counted

    over = {}
    for name, formula, run in tiny_runs(dtype):
        counted_bytes = counted(run, flash=False)
        if counted_bytes > formula:
            over[name] = counted_bytes / formula
    assert over == {}


def petaflops(work: Any) -> float:
    return float(work.linear_flops + work.attention_flops) / 1e15


@pytest.mark.parametrize(
    ("name", "latents", "published"),
    [
        ("predict1_7b", (16, 88, 160), 2.2094),
        ("predict1_14b", (16, 88, 160), 3.849),
        ("predict2_2b_media", (24, 88, 160), 1.925),
        ("predict2_14b_media", (24, 88, 160), 7.527),
        ("predict2_2b_media", (16, 88, 160), 0.920),
        ("predict2_2b_media", (24, 54, 96), 0.328),
        ("predict2_14b_media", (24, 54, 96), 1.547),
        ("predict2_2b", (1, 96, 170), 0.018),
        ("predict2_14b", (1, 96, 170), 0.122),
    ],
)
def test_operations_of_a_forward_are_the_published_ones(
    name: str, latents: tuple[int, int, int], published: float
) -> None:
    shape = Dit.from_config(NETWORKS[name]["config"], "bfloat16")
    made = petaflops(shape.forward_work(shape.tokens(*latents), 512))
    assert made == pytest.approx(published, rel=0.01 if published > 0.1 else 0.02)


def test_operations_of_the_vaes_are_the_published_ones() -> None:
    wan, cosmos = WanVae.from_config({}, "bfloat16"), CosmosVae.from_config({}, "bfloat16")
    assert petaflops(wan.decode_work(24, 88, 160)) == pytest.approx(0.717, rel=0.01)
    assert petaflops(wan.encode_work(93, 704, 1280)) == pytest.approx(0.428, rel=0.01)
    assert petaflops(cosmos.decode_work(16, 88, 160)) == pytest.approx(0.061, rel=0.01)


def test_a_token_of_a_reasoner_reads_all_weights_and_the_cache() -> None:
    shape = Language.from_config(NETWORKS["qwen25_vl_7b"]["config"], "bfloat16")
    assert shape.cache_bytes_per_token == 2 * 28 * 4 * 128 * 2
    work = shape.speak_work(1000, 1)
    weights = 28 * (3584 * (3584 + 2 * 512 + 3584) + 3 * 3584 * 18944) + 152064 * 3584
    assert work.memory_bytes == pytest.approx(2 * weights + 1000 * shape.cache_bytes_per_token, rel=0.001)
    assert work.linear_flops == pytest.approx(2 * weights, rel=0.001)
