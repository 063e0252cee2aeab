"""Batches of images with different numbers of objects, some with none."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from detection.data.collate import CollateList, CollatePadded
from detection.types import AnchorTargets, ListBatch, PaddedBatch, Sample, Target


def sample(count: int, name: str, height: int = 4, width: int = 6) -> Sample:
    """Boxes, labels and pixels that tell the sample they are from."""
    base = float(len(name))
    target = Target(
        boxes=torch.arange(count * 4, dtype=torch.float32).reshape(count, 4) + base,
        labels=torch.arange(count),
        difficult=torch.arange(count) % 2 == 1,
        image_id=name,
        size=(100 + count, 200 + count),
    )
    return Sample(torch.full((3, height, width), len(name), dtype=torch.uint8), target)


def test_padded() -> None:
    batch = CollatePadded()([sample(2, "a"), sample(0, "bb"), sample(3, "ccc")])
    assert isinstance(batch, PaddedBatch)
    assert batch.images.dtype == torch.uint8
    assert batch.images.shape == (3, 3, 4, 6)
    assert batch.images[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert batch.boxes.dtype == torch.float32
    assert batch.boxes.tolist() == [
        [[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 0, 0]],
        [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        [[3, 4, 5, 6], [7, 8, 9, 10], [11, 12, 13, 14]],
    ]
    assert batch.labels.dtype == torch.int64
    assert batch.labels.tolist() == [[0, 1, -1], [-1, -1, -1], [0, 1, 2]]
    assert batch.difficult.dtype == torch.bool
    assert batch.difficult.tolist() == [[False, True, False], [False] * 3, [False, True, False]]
    assert batch.sizes.dtype == torch.int64
    assert batch.sizes.tolist() == [[102, 202], [100, 200], [103, 203]]
    assert batch.image_ids == ["a", "bb", "ccc"]
    assert batch.targets is None


def test_padded_areas_of_an_evaluation() -> None:
    samples = [sample(2, "a"), sample(0, "bb"), sample(1, "ccc")]
    assert CollatePadded()(samples).areas is None
    for each in samples:
        each.target["areas"] = 7.5 + torch.arange(len(each.target["labels"]))
    areas = CollatePadded()(samples).areas
    assert areas is not None
    assert areas.tolist() == [[7.5, 8.5], [0, 0], [7.5, 0]]


def test_padded_without_any_object() -> None:
    batch = CollatePadded()([sample(0, "a"), sample(0, "bb")])
    assert batch.boxes.shape == (2, 0, 4)
    assert batch.labels.shape == (2, 0)
    assert batch.difficult.shape == (2, 0)
    assert (batch.boxes.dtype, batch.labels.dtype, batch.difficult.dtype) == (
        torch.float32,
        torch.int64,
        torch.bool,
    )


def test_padded_refuses_mixed_sizes() -> None:
    with pytest.raises(ValueError, match="of 4x6 and 5x6 cannot be stacked"):
        CollatePadded()([sample(1, "a"), sample(1, "bb", height=5)])


@pytest.mark.parametrize("counts", [(1, 2), (0, 0)])
def test_targets_are_assigned_from_the_padded_objects(counts: tuple[int, int]) -> None:
    def assign(boxes: Tensor, labels: Tensor) -> AnchorTargets:
        return AnchorTargets((labels >= 0).sum(dim=1, keepdim=True), boxes.sum(dim=1, keepdim=True))

    batch = CollatePadded(assign)([sample(counts[0], "a"), sample(counts[1], "bb")])
    assert batch.targets is not None
    assert batch.targets.labels.flatten().tolist() == list(counts)
    assert torch.equal(batch.targets.deltas[:, 0], batch.boxes.sum(dim=1))


def test_list_keeps_everything_as_it_is() -> None:
    samples = [sample(2, "a", 4, 6), sample(0, "bb", 5, 3)]
    batch = CollateList()(samples)
    assert isinstance(batch, ListBatch)
    assert [image.shape for image in batch.images] == [(3, 4, 6), (3, 5, 3)]
    assert all(image is given.image for image, given in zip(batch.images, samples, strict=True))
    assert all(target is given.target for target, given in zip(batch.targets, samples, strict=True))
    assert batch.rpn_targets is None


def test_list_assigns_from_the_sizes_and_objects_of_the_images() -> None:
    def assign(sizes: Sequence[tuple[int, int]], targets: Sequence[Target]) -> AnchorTargets:
        return AnchorTargets(torch.tensor(sizes), torch.cat([target["boxes"] for target in targets])[None])

    samples = [sample(2, "a", 4, 6), sample(0, "bb", 5, 3)]
    batch = CollateList(assign)(samples)
    assert batch.rpn_targets is not None
    assert batch.rpn_targets.labels.tolist() == [[4, 6], [5, 3]]
    assert torch.equal(batch.rpn_targets.deltas[0], samples[0].target["boxes"])
