"""The guardrails of frames: SigLIP of one layer, and RetinaFace a few channels wide, built so that they really work.

Frames of saturated red are "Violence", everything else is "Safe". A yellow disc of about 32 pixels is a face.
The networks are whole; what makes them see is put into a few of their weights, the rest is random or zero.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

from cosmos_handler.artifacts.guardrail_video import CLASSIFIER_FILE, FACE_BLUR_FILE, SIGLIP
from cosmos_handler.guardrails.retina_face import RetinaFace
from cosmos_handler.guardrails.safety_classifier import LABELS, SAFE, SafetyClassifier
from cosmos_handler.guardrails.siglip import SiglipVision
from scripts.tiny.weights import fill, generator

_HIDDEN, _HEADS, _PATCH, _PIXELS = 32, 2, 14, 56
_EXAMPLES = 150  # of each kind, for the classifier to learn from
_REST = 0.05  # how much of a random network is left in what the classifier sees


def write(folder: Path, *, seed: int, report: Callable[[str], None]) -> None:
    """Write SigLIP, the classifier and RetinaFace where NVIDIA's guardrails have them."""
    siglip = _siglip(seed)
    siglip.save_pretrained(folder / SIGLIP)
    size = {"height": _PIXELS, "width": _PIXELS}
    SiglipImageProcessor(size=size).save_pretrained(folder / SIGLIP)
    report("siglip")
    (folder / CLASSIFIER_FILE).parent.mkdir(parents=True)
    vision = SiglipVision.from_pretrained(folder / SIGLIP, dtype=torch.float32)
    classifier = _classifier(vision, seed)
    torch.save({"model": classifier.state_dict()}, folder / CLASSIFIER_FILE)
    report("safety classifier")
    (folder / FACE_BLUR_FILE).parent.mkdir(parents=True)
    # With a head for landmarks, as the published one. That is in the form from before torch 1.6, which cannot be had
    # twice the same: it holds addresses.
    torch.save({**_retina_face().state_dict(), **_landmark_heads()}, folder / FACE_BLUR_FILE)
    report("face detector")


def _siglip(seed: int) -> SiglipModel:
    tower = {
        "hidden_size": _HIDDEN, "intermediate_size": 2 * _HIDDEN, "num_hidden_layers": 1, "num_attention_heads": _HEADS
    }  # fmt: skip
    model = SiglipModel(
        SiglipConfig(
            text_config={
                **tower,
                "vocab_size": 64,
                "max_position_embeddings": 16,
                "bos_token_id": 2,
                "eos_token_id": 3,
            },
            vision_config={**tower, "patch_size": _PATCH, "image_size": _PIXELS},
        )
    )
    fill(model, seed=seed, gain=_REST)
    vision = model.vision_model
    with torch.no_grad():
        # A patch becomes its mean red, green and blue, and their opposites, beside two numbers that never change and
        # are large, so that the norms, which bring every patch to one length, leave dark and light as they are.
        patches = vision.embeddings.patch_embedding
        for channel in range(_HIDDEN - 2):
            sign = 1 if channel % 6 < 3 else -1
            patches.weight[channel, channel % 3] += sign / _PATCH**2
        patches.bias[-2:] += torch.tensor([8.0, -8.0])
        _as_identity(vision.head.attention)
    return model


def _as_identity(attention: torch.nn.MultiheadAttention) -> None:
    """Let the pooling hand on the mean of what it sees."""
    attention.in_proj_weight[2 * _HIDDEN :] += torch.eye(_HIDDEN)
    attention.out_proj.weight += torch.eye(_HIDDEN)


@torch.inference_mode()
def _classifier(vision: SiglipVision, seed: int) -> SafetyClassifier:
    """Two random layers, brought to unit variance by their norms, and a last one fitted to examples."""
    wide, narrow = 4 * _HIDDEN, 2 * _HIDDEN
    shapes = {"network.layers.0.weight": (wide, _HIDDEN), "network.layers.3.weight": (narrow, wide)}
    model = SafetyClassifier({**shapes, "network.layers.6.weight": (len(LABELS), narrow)})
    fill(model, seed=seed, gain=1.0)
    model.float()
    pictures = torch.cat([_harmless(seed), _harmful(seed)])
    seen = vision(pixel_values=pictures * 2 - 1).pooler_output
    hidden = seen / seen.norm(dim=-1, keepdim=True)
    *layers, last = model.network.layers
    for layer in layers:
        if isinstance(layer, torch.nn.BatchNorm1d):
            layer.running_mean.copy_(hidden.mean(dim=0))
            layer.running_var.copy_(hidden.var(dim=0))
        hidden = layer(hidden)
    harmful = torch.arange(len(pictures)) >= len(pictures) - _EXAMPLES
    inputs = torch.cat([hidden, torch.ones(len(hidden), 1)], dim=1).double()
    target = torch.where(harmful, 1.0, -1.0).double()
    weight = torch.where(harmful, 4.0, 1.0).double()[:, None]
    fitted = torch.linalg.solve(
        inputs.T @ (weight * inputs) + 1e-3 * torch.eye(narrow + 1).double(), inputs.T @ (weight[:, 0] * target)
    )
    last.weight.zero_()
    last.bias.fill_(-20.0)
    violence = LABELS.index("Violence")
    for label, sign in ((SAFE, -5.0), (violence, 5.0)):
        last.weight[label] = sign * fitted[:-1]
        last.bias[label] = sign * fitted[-1]
    return model


def _harmful(seed: int) -> torch.Tensor:
    """Red from one edge to the other, a little unevenly."""
    numbers = generator(seed, "harmful")
    shades = torch.rand(_EXAMPLES, 3, 1, 1, generator=numbers)
    colour = torch.tensor([0.85, 0.0, 0.0])[:, None, None] + torch.tensor([0.15, 0.2, 0.2])[:, None, None] * shades
    noise = torch.rand(_EXAMPLES, 3, _PIXELS, _PIXELS, generator=numbers) - 0.5
    return (colour + 0.1 * noise).clamp(0, 1)


def _harmless(seed: int) -> torch.Tensor:
    """Noise, and patches of every colour that is not that red, coarse and fine."""
    numbers = generator(seed, "harmless")
    pictures = []
    for cells in (1, 1, 1, 1, 2, 4, 8, _PIXELS):
        colours = torch.rand(_EXAMPLES, 3, cells, cells, generator=numbers)
        mean = colours.mean(dim=(2, 3))
        red = (mean[:, 0] > 0.75) & (mean[:, 1:] < 0.3).all(dim=1)
        colours[red] = colours[red].flip(1)  # blue, then
        pictures.append(torch.nn.functional.interpolate(colours, size=(_PIXELS, _PIXELS)))
    greys = torch.linspace(0, 1, _EXAMPLES)[:, None, None, None].expand(-1, 3, _PIXELS, _PIXELS)
    return torch.cat([*pictures, greys])


def _retina_face() -> RetinaFace:
    """A body that sees yellow, and a finest level that looks for a round piece of it with something else around."""
    model = RetinaFace(retina_face_shapes())
    for tensor in model.parameters():
        torch.nn.init.zeros_(tensor)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)
    with torch.no_grad():
        _see_yellow(model)
        _look_for_discs(model)
    return model.eval()


def retina_face_shapes() -> dict[str, tuple[int, ...]]:
    """Of those tensors that tell how wide the network is: 4 and 8 channels, one block a stage."""
    shapes = {"body.conv1.weight": (4, 3, 7, 7)}
    for stage, wide_in in ((1, 4), (2, 8), (3, 8), (4, 8)):
        block = f"body.layer{stage}.0"
        shapes[f"{block}.conv1.weight"] = (4, wide_in, 1, 1)
        shapes[f"{block}.conv3.weight"] = (8, 4, 1, 1)
        shapes[f"{block}.downsample.0.weight"] = (8, wide_in, 1, 1)
    for level in range(3):
        shapes[f"fpn.output{level + 1}.0.weight"] = (8, 8, 1, 1)
        shapes[f"ClassHead.{level}.conv1x1.weight"] = (4, 8, 1, 1)
        shapes[f"BboxHead.{level}.conv1x1.weight"] = (8, 8, 1, 1)
    return shapes


def _see_yellow(model: RetinaFace) -> None:
    """Channel 0 of the finest level: 0 where seven pixels around are not yellow on the whole, 1 where they are."""
    body = model.body
    body.conv1.weight[0] = torch.tensor([-1.0, 0.5, 0.5])[:, None, None] / 7**2  # blue, green, red
    # Yellow (255, 220, 0) gives 221, white and grey and black about 16 either way, noise no more than 60.
    body.bn1.weight[0], body.bn1.bias[0] = 0.01, -1.2
    for stage in (body.layer1, body.layer2):
        stage[0].downsample[0].weight[0, 0] = 1
    model.fpn.output1[0].weight[0, 0] = 1
    model.fpn.merge1[0].weight[0, 0, 1, 1] = 1


def _look_for_discs(model: RetinaFace) -> None:
    look = model.ssh1
    look.conv3X3[0].weight[0, 0] = 1 / 9
    around = torch.full((3, 3), 1 / 8)
    around[1, 1] = 0
    for layer in (look.conv5X5_1, look.conv7X7_2, look.conv7x7_3):
        layer[0].weight[0, 0] = around
    for head in model.ClassHead:
        head.conv1x1.bias[:] = torch.tensor([8.0, -8.0, 8.0, -8.0])  # for each anchor: none, a face
    face = model.ClassHead[0].conv1x1
    face.bias[2:] = torch.tensor([0.0, -11.0])
    face.weight[3, 0], face.weight[3, 6] = 30.0, -24.0
    # Larger by two thirds than the anchor of 32 pixels, since a disc may lie anywhere between the cells.
    model.BboxHead[0].conv1x1.bias[6:] = 2.5


def _landmark_heads() -> dict[str, torch.Tensor]:
    shapes = {"weight": (20, 8, 1, 1), "bias": (20,)}
    return {
        f"LandmarkHead.{level}.conv1x1.{name}": torch.zeros(shape)
        for level in range(3)
        for name, shape in shapes.items()
    }
