"""FasterRCNNTask: one step at a time, against the functions it is made of."""

import pickle
from collections.abc import Sequence
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.training.speed import Way
from benchmarks.training.speed import make_task as task_of_recipe
from detection.models.backbones import ResNetBackbone, TinyBackbone
from detection.models.faster_rcnn import FasterRCNN
from detection.models.faster_rcnn_presets import build_faster_rcnn_c4, build_faster_rcnn_fpn
from detection.targets.roi import sample_proposals
from detection.targets.rpn import assign_rpn_targets
from detection.tasks.faster_rcnn import FasterRCNNTask
from detection.tasks.schedules import Cosine
from detection.types import ListBatch, Target

NAMES = ["cat", "dog", "owl"]
SIZES = ((40, 64), (64, 40), (33, 60))
make_optimizer = partial(torch.optim.Adam, lr=1e-3)
make_fpn = partial(
    build_faster_rcnn_fpn,
    channels=16,
    dense_channels=32,
    anchor_sizes=(8, 16, 32, 64),
    canonical_size=32,
    post_nms_top=(60, 30),
)
make_c4 = partial(
    build_faster_rcnn_c4,
    rpn_channels=16,
    anchor_scales=(0.5, 1, 2),
    post_nms_top=(60, 30),
    min_size=4,
    pooled_size=4,
)


def make_task(kind: str = "fpn", **options: float) -> FasterRCNNTask:
    torch.manual_seed(0)
    backbone = TinyBackbone() if kind == "fpn" else ResNetBackbone(18, None, (16,), True, 2)
    task = FasterRCNNTask(
        backbone,
        make_fpn if kind == "fpn" else make_c4,
        NAMES,
        make_optimizer,
        Cosine(),
        rpn_samples=32,
        ignore_cross_boundary=kind == "c4",
        roi_samples=16,
        **options,  # type: ignore[arg-type]
    )
    task.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    task.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    return task


def make_batch(boxes: Sequence[Tensor], sizes: Sequence[tuple[int, int]] = SIZES) -> ListBatch:
    """Noise images whose files are twice as high and as wide."""
    generator = torch.Generator().manual_seed(1)
    images = [torch.randint(256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes]
    targets = [
        Target(
            boxes=image_boxes,
            labels=torch.arange(len(image_boxes)) % 3,
            difficult=torch.zeros(len(image_boxes), dtype=torch.bool),
            image_id=str(i),
            size=(2 * height, 2 * width),
        )
        for i, (image_boxes, (height, width)) in enumerate(zip(boxes, sizes, strict=True))
    ]
    return ListBatch(images, targets)


def random_boxes(count: int, largest_side: float = 20) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    corners = torch.rand(count, 2, generator=generator) * 13
    sides = (0.3 + 0.7 * torch.rand(count, 2, generator=generator)) * largest_side
    return torch.cat((corners, corners + sides), dim=1)


def mixed_batch() -> ListBatch:
    return make_batch([random_boxes(2), torch.zeros(0, 4), random_boxes(1)])


def spread_predictions(network: FasterRCNN) -> None:
    """Make the predictions of a new network differ from each other."""
    with torch.no_grad():
        network.rpn.score.weight.normal_(std=0.5)
        network.rpn.box.weight.normal_(std=0.05)
        network.roi_head.class_predictor.weight.normal_(std=0.5)
        network.roi_head.box_predictor.weight.normal_(std=0.2)


@pytest.mark.parametrize("beta", [1.0, 1 / 9])
def test_training_step_is_the_sum_of_the_four_losses(beta: float) -> None:
    task, batch = make_task(roi_beta=beta), mixed_batch()
    logged: dict[str, Tensor] = {}
    task.log = lambda name, value, **kwargs: logged.update({name: value})  # type: ignore[method-assign]
    torch.manual_seed(3)
    loss = task.training_step(batch, 0)

    network = task.network
    padded, sizes = network.prepare(batch.images)
    assert padded.shape == (3, 3, 64, 64)
    features = network.features(padded)
    rpn = network.rpn(features)
    proposals = network.rpn.propose(rpn, sizes)
    boxes = [target["boxes"] for target in batch.targets]
    labels = [target["labels"] for target in batch.targets]
    torch.manual_seed(3)
    rpn_gt = assign_rpn_targets(rpn.anchors, boxes, sizes, num_samples=32, ignore_cross_boundary=False)
    roi_gt = sample_proposals(proposals, boxes, labels, num_samples=16)
    roi = network.roi_head(features, roi_gt.proposals)

    sampled, positive = rpn_gt.labels >= 0, rpn_gt.labels == 1
    assert sampled.sum() == 3 * 32
    assert positive.any()
    foreground = (roi_gt.labels > 0).nonzero().flatten()
    assert len(foreground)
    own_class = roi.deltas[foreground, roi_gt.labels[foreground] - 1]
    expected = {
        "train/loss_rpn_cls": F.binary_cross_entropy_with_logits(
            rpn.logits[sampled], positive[sampled].float()
        ),
        "train/loss_rpn_box": F.smooth_l1_loss(
            rpn.deltas[positive], rpn_gt.deltas[positive], beta=1 / 9, reduction="sum"
        )
        / sampled.sum(),
        "train/loss_roi_cls": F.cross_entropy(roi.logits, roi_gt.labels),
        "train/loss_roi_box": F.smooth_l1_loss(
            own_class, roi_gt.deltas[foreground], beta=beta, reduction="sum"
        )
        / len(roi_gt.labels),
    }
    expected["train/loss"] = sum(expected.values(), torch.tensor(0.0))
    assert set(logged) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(logged[name], value.detach(), msg=name)
    torch.testing.assert_close(loss, expected["train/loss"])


@pytest.mark.parametrize("kind", ["fpn", "c4"])
@pytest.mark.parametrize(
    "boxes",
    [
        pytest.param([torch.zeros(0, 4)] * 3, id="no objects"),
        pytest.param([torch.tensor([[0.0, 0.0, w, h]]) for h, w in SIZES], id="objects that fill the image"),
        pytest.param([random_boxes(200)] * 3, id="200 objects"),
        pytest.param([random_boxes(3, largest_side=0.5)] * 3, id="objects smaller than a pixel"),
        pytest.param([random_boxes(2), torch.zeros(0, 4), random_boxes(20)], id="some of each"),
    ],
)
def test_every_parameter_has_a_finite_gradient(kind: str, boxes: list[Tensor]) -> None:
    task = make_task(kind)
    loss = task.training_step(make_batch(boxes), 0)
    assert loss.isfinite()
    loss.backward()
    assert sum(parameter.requires_grad for parameter in task.parameters()) > 20
    for name, parameter in task.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_an_image_too_small_for_any_anchor_or_proposal_trains() -> None:
    task = make_task("c4")
    loss = task.training_step(make_batch([torch.zeros(0, 4)], sizes=[(3, 3)]), 0)
    loss.backward()
    assert loss == 0
    assert all(p.grad is not None for p in task.parameters() if p.requires_grad)


@pytest.mark.parametrize("kind", ["fpn", "c4"])
@torch.no_grad()
def test_a_batch_is_evaluated_like_its_images_one_by_one(kind: str) -> None:
    task = make_task(kind).eval()
    spread_predictions(task.network)
    sizes = (*SIZES, (60, 70), (64, 35))
    batch = make_batch([random_boxes(count) for count in (2, 0, 1, 4, 3)], sizes)
    detections, targets, losses, weight = task.evaluate_batch(batch)
    assert weight == 5
    alone = [task.evaluate_batch(ListBatch([i], [t])) for i, t in zip(*batch[:2], strict=True)]
    for found, target, (expected, expected_target, _, _) in zip(detections, targets, alone, strict=True):
        assert len(found["boxes"])
        assert torch.equal(found["labels"], expected[0]["labels"])
        torch.testing.assert_close(found["boxes"], expected[0]["boxes"], atol=1e-3, rtol=0)
        torch.testing.assert_close(found["scores"], expected[0]["scores"], atol=1e-3, rtol=0)
        assert target["image_id"] == expected_target[0]["image_id"]
        assert torch.equal(target["boxes"], expected_target[0]["boxes"])
    assert set(losses) == set(task.loss_names)
    for name, value in losses.items():
        of_images = torch.stack([image_losses[name] for _, _, image_losses, _ in alone])
        torch.testing.assert_close(value, of_images.mean(), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_detections_and_targets_return_to_original_pixels() -> None:
    task, batch = make_task().eval(), mixed_batch()
    spread_predictions(task.network)
    detections, targets, _, _ = task.evaluate_batch(batch)
    for image, found, target, given in zip(batch.images, detections, targets, batch.targets, strict=True):
        (expected,) = task.network.detect(task.network([image]))
        torch.testing.assert_close(found["boxes"], 2 * expected["boxes"], atol=2e-3, rtol=0)
        torch.testing.assert_close(target["boxes"], 2 * given["boxes"])
        assert target["size"] == given["size"]
    assert batch.targets[0]["boxes"].equal(random_boxes(2)), "the batch itself stays as it is"


@torch.no_grad()
def test_evaluation_samples_the_same_each_time_and_leaves_the_random_state_alone() -> None:
    task, batch = make_task().eval(), mixed_batch()
    spread_predictions(task.network)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first = task.evaluate_batch(batch)[2]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(8)
    second = task.evaluate_batch(batch)[2]
    assert first["loss_rpn_cls"] > 0
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_a_few_steps_learn_one_batch() -> None:
    task, batch = make_task(), mixed_batch()
    optimizer = make_optimizer(task.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = task.training_step(batch, 0)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 < 0.3 * losses[0]


@torch.no_grad()
def test_boxes_stay_float32_where_the_network_computes_in_bfloat16() -> None:
    task, batch = make_task(), mixed_batch()
    spread_predictions(task.network)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        stage = task.propose(batch.images)
        assert stage.rpn.logits.dtype == torch.bfloat16
        assert all(proposals.dtype == torch.float32 for proposals in stage.proposals)
        loss = task.training_step(batch, 0)
        detections, _, losses, _ = task.eval().evaluate_batch(batch)
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert all(value.isfinite() for value in losses.values())
    for found in detections:
        assert len(found["boxes"])
        assert found["boxes"].dtype == found["scores"].dtype == torch.float32


# Targets from the loader's workers


@pytest.mark.parametrize("kind", ["fpn", "c4"])
def test_targets_from_the_workers_give_the_same_loss(kind: str) -> None:
    task, batch = make_task(kind), mixed_batch()
    assign = pickle.loads(pickle.dumps(task.assigner([40, 64])))  # spawned workers unpickle it
    torch.manual_seed(5)
    on_device = task.training_step(batch, 0)
    torch.manual_seed(5)
    loaded = batch._replace(rpn_targets=assign(SIZES, batch.targets))
    assert loaded.rpn_targets is not None
    assert loaded.rpn_targets.labels.shape == (3, len(task.propose(batch.images).rpn.anchors))
    assert (loaded.rpn_targets.labels == 1).any()
    torch.manual_seed(5)
    assign(SIZES, batch.targets)  # the draws that the step does not make any more
    torch.testing.assert_close(task.training_step(loaded, 0), on_device)


def test_an_image_draws_the_same_samples_in_any_company() -> None:
    task, batch = make_task(), make_batch([random_boxes(9), random_boxes(2), random_boxes(4)], [(64, 64)] * 3)
    targets = [target.copy() for target in batch.targets]
    for i, target in enumerate(targets):
        target["seed"] = 40 + i
    assign = task.assigner([64, 64])
    together = assign([(64, 64)] * 3, targets)
    for i, target in enumerate(targets):
        torch.manual_seed(i)
        alone = assign([(64, 64)], [target])
        assert torch.equal(alone.labels[0], together.labels[i])
    targets[0]["seed"] = 7
    other = assign([(64, 64)], targets[:1])
    assert not torch.equal(other.labels[0], together.labels[0])


def test_the_published_numbers_of_targets_from_the_workers() -> None:
    backbone = ResNetBackbone(18, None, (16,))
    task = FasterRCNNTask(backbone, build_faster_rcnn_c4, NAMES, make_optimizer, Cosine())
    target = make_batch([random_boxes(5, largest_side=300)], sizes=[(600, 800)]).targets
    labels, deltas = task.assigner([600, 1000])([(600, 800)], target)
    assert labels.shape == (1, 28500)
    assert deltas.shape == (1, 28500, 4)
    assert set(labels.unique().tolist()) == {-1, 0, 1}
    assert (labels >= 0).sum() == 256
    assert 0 < (labels == 1).sum() <= 128
    assert (deltas[labels < 1] == 0).all()
    assert (deltas[labels == 1] != 0).any(dim=1).all()


def test_a_compiled_training_is_refused_on_a_cpu_alone() -> None:
    way = Way("compiled", theirs=False, channels_last=True, compiled=True)
    task, _ = task_of_recipe("quickstart_faster_rcnn", way)
    task.check_device("cuda")
    with pytest.raises(ValueError, match=r"^model\.compile=true: on a CPU .* leave it out"):
        task.check_device("cpu")
    task_of_recipe("quickstart", way)[0].check_device("cpu")
