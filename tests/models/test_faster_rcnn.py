import pytest
import torch
from torch import Tensor

from detection.models.backbones import ResNetBackbone, TinyBackbone
from detection.models.faster_rcnn import FasterRCNN, FasterRCNNOutput
from detection.models.faster_rcnn_presets import build_faster_rcnn_c4, build_faster_rcnn_fpn
from detection.models.roi_head import RoIOutput
from detection.models.rpn import RPNOutput
from detection.types import Detections

SIZES = [(70, 100), (100, 70), (65, 97), (120, 60)]


def toy_model(kind: str = "light") -> FasterRCNN:
    """A small network whose biases and predictors are large enough that detections differ."""
    torch.manual_seed(0)
    if kind == "light":
        sizes = (32, 64, 128, 256)
        model = build_faster_rcnn_fpn(TinyBackbone(), 3, channels=16, dense_channels=32, anchor_sizes=sizes)
    else:
        backbone = ResNetBackbone(18, None, (16,), freeze_batchnorm=True)
        model = build_faster_rcnn_c4(backbone, 3, rpn_channels=16, post_nms_top=(16, 30))
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith("running_var"):  # keeps activations from growing with every block
                buffer.fill_(4)
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.3)
        model.rpn.score.weight.normal_(std=0.5)
        model.rpn.box.weight.normal_(std=0.05)
        model.roi_head.class_predictor.weight.normal_(std=0.5)
        model.roi_head.box_predictor.weight.normal_(std=0.2)
    return model.eval()


def random_images() -> list[Tensor]:
    torch.manual_seed(2)
    return [torch.randint(256, (3, *size), dtype=torch.uint8) for size in SIZES]


def assert_same_detections(found: Detections, expected: Detections) -> None:
    assert torch.equal(found["labels"], expected["labels"])
    torch.testing.assert_close(found["boxes"], expected["boxes"], atol=1e-3, rtol=0)
    torch.testing.assert_close(found["scores"], expected["scores"], atol=1e-3, rtol=0)


def test_images_are_normalised_then_padded_to_the_stride() -> None:
    model = toy_model()
    images = random_images()
    batch, sizes = model.prepare(images)
    assert batch.shape == (4, 3, 128, 128)
    assert sizes == SIZES
    expected = (images[2][1, 5, 6] - 116.28) / 57.12
    torch.testing.assert_close(batch[2, 1, 5, 6], expected)
    assert (batch[2, :, 65:] == 0).all()
    assert (batch[2, :, :, 97:] == 0).all()


def test_mean_and_std_travel_with_the_weights() -> None:
    first, second = toy_model(), toy_model()
    first.mean.fill_(7)
    second.load_state_dict(first.state_dict())
    assert (second.mean == 7).all()


@pytest.mark.parametrize("kind", ["light", "c4"])
def test_both_stages_speak_in_training_and_evaluation_alike(kind: str) -> None:
    model = toy_model(kind)
    for output in (model.eval()(random_images()), model.train()(random_images())):
        assert isinstance(output, FasterRCNNOutput)
        num_regions = sum(len(proposals) for proposals in output.proposals)
        assert num_regions > 0
        assert output.rpn.deltas.shape == (4, len(output.rpn.anchors), 4)
        assert output.roi.logits.shape == (num_regions, 4)
        assert output.roi.deltas.shape == (num_regions, 3, 4)
        assert output.image_sizes == SIZES


@pytest.mark.parametrize("kind", ["light", "c4"])
def test_every_trainable_parameter_has_a_gradient_even_without_proposals(kind: str) -> None:
    model = toy_model(kind).train()
    model.rpn.min_size = 10_000
    output = model(random_images())
    assert all(len(proposals) == 0 for proposals in output.proposals)
    rpn, roi = output.rpn, output.roi
    (rpn.logits.mean() + rpn.deltas.mean() + roi.logits.sum() + roi.deltas.sum()).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
    assert [len(d["boxes"]) for d in model.detect(output)] == [0, 0, 0, 0]


@pytest.mark.parametrize("kind", ["light", "c4"])
@torch.no_grad()
def test_groups_of_a_mixed_batch_give_the_same_as_image_by_image(kind: str) -> None:
    model = toy_model(kind)
    images = [*random_images(), torch.randint(256, (3, 90, 110), dtype=torch.uint8)]
    groups = model.group_by_padded_size(images)
    assert sorted(i for group in groups for i in group) == [0, 1, 2, 3, 4]
    assert max(len(group) for group in groups) > 1
    for group in groups:
        detections = model.detect(model([images[i] for i in group]), score_threshold=0.1)
        for i, found in zip(group, detections, strict=True):
            (expected,) = model.detect(model([images[i]]), score_threshold=0.1)
            assert len(expected["boxes"]) > 5
            assert_same_detections(found, expected)


@torch.no_grad()
def test_padding_reaches_into_the_image_which_is_why_groups_exist() -> None:
    model = toy_model()
    images = random_images()
    alone = model.features(model.prepare(images[2:3])[0])[0]
    padded = model.features(model.prepare(images[2:])[0])[0][:1, :, : alone.shape[2], : alone.shape[3]]
    assert (alone - padded)[:, :, 0, 0].abs().max() < 1e-5
    assert (alone - padded)[:, :, -1].abs().max() > 1e-2


def test_groups_share_the_number_of_cells() -> None:
    model = toy_model()
    images = [torch.zeros(3, *size) for size in ((64, 96), (65, 96), (50, 70), (96, 96), (33, 65))]
    assert model.group_by_padded_size(images) == [[0, 2, 4], [1, 3]]


@torch.no_grad()
def test_detections_stay_inside_their_own_image() -> None:
    model = toy_model()
    for (height, width), found in zip(SIZES, model.detect(model(random_images())), strict=True):
        assert len(found["boxes"]) > 0
        assert (found["boxes"] >= 0).all()
        assert (found["boxes"] <= torch.tensor([width, height, width, height])).all()
        assert (found["scores"].diff() <= 0).all()


def test_detect_decodes_the_box_of_the_class_and_obeys_its_limits() -> None:
    model = toy_model()
    logits = torch.tensor([[0.0, 0.0, 9.0, 0.0], [0.0, 0.0, 8.0, 0.0], [9.0, 0.0, 0.0, 0.0]])
    deltas = torch.zeros(3, 3, 4)
    deltas[0, 1, 0] = 5  # 5 * 0.1 widths to the right
    proposals = [torch.tensor([[10.0, 20.0, 30.0, 40.0], [50.0, 50.0, 60.0, 70.0]]), torch.ones(1, 4)]
    rpn = RPNOutput(torch.zeros(2, 0), torch.zeros(2, 0, 4), torch.zeros(0, 4), [0])
    output = FasterRCNNOutput(rpn, proposals, RoIOutput(logits, deltas), [(80, 80), (80, 80)])
    first, second = model.detect(output)
    assert first["labels"].tolist() == [1, 1]  # logit 0 is background
    torch.testing.assert_close(first["boxes"][0], torch.tensor([20.0, 20.0, 40.0, 40.0]))
    assert len(second["boxes"]) == 0
    assert len(model.detect(output, max_detections=1)[0]["boxes"]) == 1
    assert len(model.detect(output, score_threshold=0.9998)[0]["boxes"]) == 0
