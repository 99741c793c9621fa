"""A transformer that takes less memory gives the same numbers, to the last bit."""

from typing import Any

import pytest

pytestmark = pytest.mark.model

torch = pytest.importorskip("torch")

DTYPES = ("bfloat16", "float32")


def network(dtype: str, **more: Any) -> Any:
    from diffusers import CosmosTransformer3DModel

    from scripts.tiny.predict2_5 import NETWORK
    from scripts.tiny.weights import fill

    model = CosmosTransformer3DModel(in_channels=17, out_channels=16, num_layers=2, **{**NETWORK, **more})
    fill(model, seed=3)
    return model.to(getattr(torch, dtype)).requires_grad_(requires_grad=False)


def inputs(dtype: str, *, frames: int, timed: bool) -> dict[str, Any]:
    kind = getattr(torch, dtype)
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> Any:
        return torch.randn(shape, generator=generator).to(kind)

    return {
        "hidden_states": drawn(1, 16, frames, 8, 12),
        "timestep": drawn(1, 1, frames, 1, 1).abs() if timed else drawn(1).abs(),
        "encoder_hidden_states": drawn(1, 20, 64),
        "condition_mask": torch.ones(1, 1, frames, 8, 12, dtype=kind),
        "padding_mask": torch.zeros(1, 1, 64, 96, dtype=kind),
    }


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("timed", [True, False], ids=["a time a frame", "one time"])
@pytest.mark.parametrize("heads_at_once", [1, 1000])
def test_it_gives_the_same(
    dtype: str, frames: int, timed: bool, heads_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cosmos_handler.families import lean

    monkeypatch.setattr(lean, "_NUMBERS_AT_ONCE", heads_at_once * frames * 4 * 6 * 16)
    model, asked = network(dtype), inputs(dtype, frames=frames, timed=timed)
    with torch.no_grad():
        wanted = model(**asked).sample
        lean.make_lean(model)
        for _ in range(2):
            assert torch.equal(model(**asked).sample, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
def test_with_a_control_branch(dtype: str) -> None:
    from diffusers import CosmosControlNetModel

    from cosmos_handler.families.lean import make_lean
    from scripts.tiny.predict2_5 import NETWORK, WIDTH
    from scripts.tiny.weights import fill

    shared = {name: value for name, value in NETWORK.items() if name != "mlp_ratio"}
    branch = CosmosControlNetModel(
        n_controlnet_blocks=1, in_channels=130, latent_channels=18, model_channels=WIDTH, mlp_ratio=4.0, **shared
    )
    fill(branch, seed=4)
    branch = branch.to(getattr(torch, dtype)).requires_grad_(requires_grad=False)
    model, asked = network(dtype, controlnet_block_every_n=2), inputs(dtype, frames=3, timed=True)
    held = {name: asked[name] for name in ("timestep", "encoder_hidden_states", "condition_mask", "padding_mask")}
    control = torch.randn(1, 16, 3, 8, 12, generator=torch.Generator().manual_seed(2)).to(asked["timestep"].dtype)

    def made() -> Any:
        residuals = branch(
            controls_latents=control, latents=asked["hidden_states"], conditioning_scale=1.0, **held
        ).control_block_samples
        return [*residuals, model(block_controlnet_hidden_states=residuals, **asked).sample]

    with torch.no_grad():
        wanted = made()
        for each in (branch, model):
            make_lean(each)
        for one, other in zip(made(), wanted, strict=True):
            assert torch.equal(one, other)


def test_with_an_adapter_in_every_layer() -> None:
    from peft import LoraConfig

    from cosmos_handler.families.lean import make_lean

    model, asked = network("bfloat16"), inputs("bfloat16", frames=3, timed=True)
    layers = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "linear_1", "linear_2"]
    model.add_adapter(LoraConfig(r=2, target_modules=layers, init_lora_weights=False))
    model.to(torch.bfloat16)
    with torch.no_grad():
        wanted = model(**asked).sample
        make_lean(model)
        assert torch.equal(model(**asked).sample, wanted)


def test_it_takes_little_more_than_half() -> None:
    """Predict2.5-14B's network, two of its layers, for 77 frames of 1280 x 704."""
    from diffusers import CosmosTransformer3DModel

    from cosmos_handler.families.lean import make_lean
    from scripts.tiny.predict2_5 import NETWORK
    from tests.memory.storages import StorageCounter, flash_attention

    sizes = {"num_attention_heads": 40, "attention_head_dim": 128, "text_embed_dim": 1024, "adaln_lora_dim": 256}
    context = {"crossattn_proj_in_channels": 100_352, "encoder_hidden_states_channels": 1024}
    peaks = []
    with torch.device("meta"), torch.no_grad():
        model = CosmosTransformer3DModel(in_channels=17, num_layers=2, **{**NETWORK, **sizes, **context})
        model = model.to(torch.bfloat16)
        asked = {
            "hidden_states": torch.randn(1, 16, 20, 88, 160, dtype=torch.bfloat16),
            "timestep": torch.rand(1, 1, 20, 1, 1, dtype=torch.bfloat16),
            "encoder_hidden_states": torch.randn(1, 512, 100_352, dtype=torch.bfloat16),
            "condition_mask": torch.ones(1, 1, 20, 88, 160, dtype=torch.bfloat16),
            "padding_mask": torch.zeros(1, 1, 704, 1280, dtype=torch.bfloat16),
        }
        for _ in range(2):
            with flash_attention(), StorageCounter() as counter:
                model(**asked)
            peaks.append(counter.peak_bytes)
            make_lean(model)
    assert peaks[1] < 0.6 * peaks[0]
