"""Our RetinaFace against what it is made of elsewhere."""

import pytest

pytestmark = pytest.mark.model


def test_the_body_is_torchvisions_resnet_50_by_name_and_number() -> None:
    import torch
    from torchvision.models import resnet50
    from torchvision.models._utils import IntermediateLayerGetter

    from cosmos_handler.guardrails.retina_face import RetinaFace

    torch.manual_seed(0)
    theirs = IntermediateLayerGetter(resnet50(), {"layer2": "fine", "layer3": "middle", "layer4": "coarse"}).eval()
    shapes = {f"body.{name}": tuple(tensor.shape) for name, tensor in theirs.state_dict().items()}
    for level, wide_in in enumerate((512, 1024, 2048)):
        shapes[f"fpn.output{level + 1}.0.weight"] = (256, wide_in, 1, 1)
        shapes[f"ClassHead.{level}.conv1x1.weight"] = (4, 256, 1, 1)
        shapes[f"BboxHead.{level}.conv1x1.weight"] = (8, 256, 1, 1)
    ours = RetinaFace(shapes).eval()
    ours.body.load_state_dict(theirs.state_dict(), strict=True)
    pixels = torch.randn(2, 3, 70, 100)
    with torch.inference_mode():
        for ours_of_level, theirs_of_level in zip(ours.body(pixels), theirs(pixels).values(), strict=True):
            assert torch.equal(ours_of_level, theirs_of_level)


def test_every_anchor_has_an_answer_in_the_same_order() -> None:
    import torch

    from cosmos_handler.guardrails.anchors import make_anchors
    from cosmos_handler.guardrails.retina_face import RetinaFace
    from scripts.tiny.guardrails_video import retina_face_shapes

    network = RetinaFace(retina_face_shapes()).eval()
    for height, width in ((64, 96), (70, 101), (20, 20)):
        offsets, scores = network(torch.zeros(2, 3, height, width))
        anchors = make_anchors(height, width, device=torch.device("cpu"))
        assert offsets.shape == (2, len(anchors), 4)
        assert scores.shape == (2, len(anchors))
    assert anchors[:4].tolist() == [[4, 4, 16], [4, 4, 32], [12, 4, 16], [12, 4, 32]]


@pytest.mark.parametrize(("confidence", "faces"), [(0.7, 2), (0.95, 0)])
def test_boxes_of_one_face_become_one(confidence: float, faces: int) -> None:
    import torch

    from cosmos_handler.guardrails.anchors import find_boxes

    anchors = torch.tensor([[50.0, 50, 32], [54, 50, 32], [150, 50, 64], [10, 10, 16]])
    offsets = torch.zeros(4, 4)
    offsets[2] = torch.tensor([5.0, 0, 0, 0])  # half a side to the right
    boxes = find_boxes(offsets, torch.tensor([0.8, 0.9, 0.75, 0.7]), anchors, confidence=confidence)
    assert boxes.tolist() == [[38, 34, 70, 66], [150, 18, 214, 82]][:faces]


def test_small_faces_stay_and_those_partly_outside_do_not() -> None:
    import torch

    from cosmos_handler.guardrails.face_blur import large_boxes

    boxes = torch.tensor([[10.0, 10, 29, 40], [10, 10, 30, 30], [-30, -10, 10, 12.5], [200, 0, 240, 40]])
    assert list(large_boxes(boxes, height=64, width=96)) == [(10, 10, 30, 30), (0, 0, 10, 13)]
