"""Numbers that the published SSD recipe shows its users, from VOC files to the loss."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch.utils.data import DataLoader

from detection.cli.compose import model_config
from detection.cli.hydra_versions import instantiate
from detection.data.collate import CollatePadded
from detection.data.sampling import TrainSampler
from detection.data.transforms import ssd_eval_transform, ssd_train_transform
from detection.data.voc import VOCDetection
from detection.losses.multibox import multibox_loss
from detection.models.ssd import SSD
from detection.models.zoo import get_model
from detection.reader import short_side_size
from detection.targets.ssd import assign_ssd_targets
from detection.types import AnchorTargets

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture(scope="module")
def network() -> SSD:
    network = get_model("ssd_300_vgg16_atrous_voc", pretrained_backbone=False)
    assert isinstance(network, SSD)
    return network


@pytest.fixture
def voc_root(tmp_path: Path) -> Path:
    """Two images as VOC has them: 375x500 with five objects, and 333x500 with three."""
    folder = tmp_path / "VOCdevkit/VOC2007"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for image_id, height, count in (("000005", 375, 5), ("000007", 333, 3)):
        pixels = rng.integers(0, 256, (height, 500, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"JPEGImages/{image_id}.jpg"), pixels)
        objects = "".join(
            f"<object><name>chair</name><difficult>{i % 2}</difficult><bndbox><xmin>{1 + 60 * i}</xmin>"
            f"<ymin>{20 + 10 * i}</ymin><xmax>{90 + 60 * i}</xmax><ymax>{200 + 10 * i}</ymax></bndbox>"
            "</object>"
            for i in range(count)
        )
        (folder / f"Annotations/{image_id}.xml").write_text(
            f"<annotation><filename>{image_id}.jpg</filename><size><width>500</width><height>{height}</height>"
            f"<depth>3</depth></size>{objects}</annotation>"
        )
    (folder / "ImageSets/Main/trainval.txt").write_text("000005\n000007\n")
    return tmp_path


def test_a_sample_is_as_the_devkit_has_it(voc_root: Path) -> None:
    image, target = VOCDetection(voc_root, [(2007, "trainval")])[0]
    assert image.shape == (3, 375, 500)
    assert target["boxes"].shape == (5, 4)
    assert target["boxes"][0].tolist() == [0, 19, 90, 200]  # the edges of columns 1 to 90, rows 20 to 200
    assert target["labels"].tolist() == [8] * 5
    assert target["difficult"].tolist() == [False, True, False, True, False]


def test_transformed_samples_are_512_by_512(voc_root: Path) -> None:
    for transform in (ssd_train_transform(512), ssd_eval_transform(512)):
        dataset = VOCDetection(voc_root, [(2007, "trainval")], transform=transform)
        assert dataset[0].image.shape == (3, 512, 512)
    resized = dataset[0].target["boxes"]
    expected = torch.tensor([0, 19, 90, 200]) * torch.tensor([512 / 500, 512 / 375] * 2)
    torch.testing.assert_close(resized[0], expected)


def test_the_loader_serves_targets_of_24656_anchors(voc_root: Path, network: SSD) -> None:
    with torch.no_grad():
        anchors = network.eval()(torch.zeros(1, 3, 512, 512)).anchors

    def assign(boxes: torch.Tensor, labels: torch.Tensor) -> AnchorTargets:
        return assign_ssd_targets(anchors, boxes, labels)

    dataset = VOCDetection(voc_root, [(2007, "trainval")], transform=ssd_eval_transform(512))
    batch = next(iter(DataLoader(dataset, batch_size=2, collate_fn=CollatePadded(assign))))
    assert batch.images.shape == (2, 3, 512, 512)
    assert batch.boxes.shape == (2, 5, 4)
    assert batch.labels.tolist() == [[8] * 5, [8, 8, 8, -1, -1]]
    assert batch.targets.labels.shape == (2, 24656)
    assert batch.targets.deltas.shape == (2, 24656, 4)
    assert set(batch.targets.labels.unique().tolist()) == {0, 9}


def test_shapes_in_training_and_at_most_100_detections(network: SSD) -> None:
    images = torch.randint(0, 256, (1, 3, 512, 512), dtype=torch.uint8)
    with torch.no_grad():
        output = network.train()(images)
        assert output.logits.shape == (1, 24656, 21)
        assert output.deltas.shape == (1, 24656, 4)
        assert output.anchors.shape == (24656, 4)
        [found] = network.eval().detect(network(images), image_size=(512, 512), score_threshold=0.0)
    assert len(found["boxes"]) == 100
    assert found["labels"].max() < 20
    # An object that no anchor overlaps is background, and its loss is zero, not NaN.
    nowhere = torch.tensor([[[-900.0, -900.0, -850.0, -850.0]]])
    targets = assign_ssd_targets(output.anchors, nowhere, torch.zeros(1, 1, dtype=torch.int64))
    assert multibox_loss(output.logits, output.deltas, *targets).total == 0


def test_the_published_optimizer_and_schedule() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=["experiment=ssd_512_resnet50_v1_voc"])
    parameter = torch.nn.Parameter(torch.zeros(1))
    config: Any = OmegaConf.to_container(cfg)
    optimizer = model_config(config, [], batch_size=None)["optimizer"]
    [group] = instantiate(optimizer)([parameter]).param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.001, 0.9, 0.0005)
    schedule = instantiate(cfg.scheduler)
    assert cfg.trainer.max_epochs == 240
    steps = 240 * 517  # 16,551 images in batches of 32
    rates = [schedule(epoch * 517 + 1, steps) for epoch in (0, 159, 160, 199, 200, 239)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert cfg.seed == 233


def test_the_seed_fixes_the_order_of_images() -> None:
    first, second = (list(TrainSampler(50, seed=233)) for _ in range(2))
    assert first == second
    assert first != list(TrainSampler(50, seed=234))


@pytest.mark.parametrize(
    ("size", "resized"),
    [
        ((375, 500), (600, 800)),
        ((333, 500), (600, 901)),
        ((281, 500), (562, 1000)),
        ((332, 500), (600, 904)),
        ((338, 500), (600, 888)),
        ((500, 333), (901, 600)),
    ],
)
def test_sizes_of_faster_rcnn_inputs(size: tuple[int, int], resized: tuple[int, int]) -> None:
    assert short_side_size(size, 600, 1000) == resized
