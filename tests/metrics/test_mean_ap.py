"""The VOC metric: accumulation, repeated images, empty runs and two processes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from detection.metrics.mean_ap import COCOMeanAP, VOCMeanAP
from detection.metrics.tables import DetectionTable, GroundTruthTable
from detection.metrics.voc_ap import voc_ap
from detection.types import Detections, Target
from tests.warm_python import warm_python

ROOT = Path(__file__).parents[2]
NUM_CLASSES = 4
NUM_IMAGES = 21


def image_pair(index: int, num_detections: int | None = None) -> tuple[Detections, Target]:
    """One image's objects and detections, the same for the same index; some images have neither."""
    generator = torch.Generator().manual_seed(index)

    def integers(low: int, high: int, shape: tuple[int, ...]) -> Tensor:
        return torch.randint(low, high, shape, generator=generator)

    count = index % 5
    corner, size = integers(0, 80, (count, 2)), integers(10, 40, (count, 2))
    boxes = torch.cat([corner, corner + size], dim=1).float()
    target = Target(
        boxes=boxes,
        labels=integers(0, NUM_CLASSES, (count,)),
        difficult=integers(0, 4, (count,)) == 0,
        image_id=f"{index:06d}",
        size=(120, 120),
    )
    if index % 2:  # as in a set of which a part has outlines
        target["areas"] = size.prod(dim=1) * 2.0
    copies = (
        integers(0, count, (7 if num_detections is None else num_detections,))
        if count
        else torch.zeros(0).long()
    )
    detections = Detections(
        boxes=boxes[copies] + integers(-4, 5, (len(copies), 4)),
        # Few different scores: ties across images must rank alike however images are dealt out.
        scores=(integers(1, 6, (len(copies),)).float() / 5).sort(descending=True).values,
        labels=target["labels"][copies],
    )
    return detections, target


def evaluate(batches: list[list[int]], interpolation: str = "07") -> dict[str, Tensor]:
    return result_of(VOCMeanAP(NUM_CLASSES, interpolation), batches)  # type: ignore[arg-type]


def result_of(metric: VOCMeanAP | COCOMeanAP, batches: list[list[int]]) -> dict[str, Tensor]:
    for batch in batches:
        pairs = [image_pair(index) for index in batch]
        metric.update([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    result: dict[str, Tensor] = metric.compute()
    return result


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("interpolation", ["07", "area"])
def test_equals_the_pure_function(interpolation: str) -> None:
    result = evaluate([[0, 1, 2, 3], [4, 5], [6], list(range(7, NUM_IMAGES))], interpolation)

    # The metric ranks ties by the hash of the id; distinct scores here leave the order of images open.
    metric = VOCMeanAP(NUM_CLASSES, interpolation)  # type: ignore[arg-type]
    pairs = [image_pair(index) for index in range(NUM_IMAGES)]
    for index, (detections, _) in enumerate(pairs):
        detections["scores"] = detections["scores"] - index / 1000
    metric.update([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    distinct = metric.compute()
    expected = voc_ap(
        DetectionTable(
            np.repeat(np.arange(NUM_IMAGES), [len(d["labels"]) for d, _ in pairs]),
            *(torch.cat([d[key] for d, _ in pairs]).numpy() for key in ("labels", "scores", "boxes")),
        ),
        GroundTruthTable(
            np.repeat(np.arange(NUM_IMAGES), [len(t["labels"]) for _, t in pairs]),
            *(torch.cat([t[key] for _, t in pairs]).numpy() for key in ("labels", "boxes", "difficult")),
        ),
        NUM_CLASSES,
    )
    by_07 = interpolation == "07"
    np.testing.assert_allclose(distinct["ap"], expected.ap_07 if by_07 else expected.ap_area, rtol=1e-6)
    assert distinct["map_07"].item() == pytest.approx(expected.map_07, rel=1e-6)
    assert distinct["map_area"].item() == pytest.approx(expected.map_area, rel=1e-6)
    assert distinct["map"] == distinct["map_07" if by_07 else "map_area"]
    assert distinct["map_07"] != distinct["map_area"]
    assert 0.1 < float(result["map"]) < 1


def test_order_and_batches_do_not_matter() -> None:
    everything = evaluate([list(range(NUM_IMAGES))])
    shuffled = torch.randperm(NUM_IMAGES, generator=torch.Generator().manual_seed(0)).tolist()
    assert_same(everything, evaluate([[index] for index in shuffled]))


def test_repeated_image_counts_once() -> None:
    assert_same(evaluate([list(range(NUM_IMAGES))]), evaluate([[0, 4, *range(NUM_IMAGES)], [20, 0, 7]]))


def test_reset_forgets_and_forward_gives_the_batch() -> None:
    metric = VOCMeanAP(NUM_CLASSES)
    pairs = [image_pair(index) for index in range(NUM_IMAGES)]
    metric.update([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    metric.reset()
    for batch in (pairs[:10], pairs[10:]):
        step = metric([pair[0] for pair in batch], [pair[1] for pair in batch])
    assert_same(step, evaluate([list(range(10, NUM_IMAGES))]))
    assert_same(metric.compute(), evaluate([list(range(NUM_IMAGES))]))


def test_without_update_is_nan() -> None:
    with pytest.warns(UserWarning, match="before the ``update``"):
        result = VOCMeanAP(NUM_CLASSES).compute()
    assert all(torch.isnan(value).all() for value in result.values())
    assert result["ap"].shape == (NUM_CLASSES,)


def test_without_images_detections_or_objects() -> None:
    metric = VOCMeanAP(NUM_CLASSES)
    metric.update([], [])
    assert torch.isnan(metric.compute()["map"])

    nothing, without_objects = image_pair(0)
    metric.update([nothing], [without_objects])
    assert torch.isnan(metric.compute()["map"])

    _, target = image_pair(4)
    metric.update([nothing], [target])
    assert metric.compute()["map"] == 0


def test_half_precision_detections() -> None:
    detections, target = image_pair(4)
    detections["scores"] = detections["scores"].half()
    detections["boxes"] = detections["boxes"].bfloat16()
    metric = VOCMeanAP(NUM_CLASSES)
    metric.update([detections], [target])
    assert metric.detection_boxes[-1].dtype == torch.float32
    assert torch.isfinite(metric.compute()["map"])


def test_bad_input_is_refused() -> None:
    detections, target = image_pair(3)
    with pytest.raises(ValueError, match="1 detections for 2 targets"):
        VOCMeanAP(NUM_CLASSES).update([detections], [target, target])
    with pytest.raises(ValueError, match="interpolation must be '07' or 'area', got '11'"):
        VOCMeanAP(NUM_CLASSES, "11")  # type: ignore[arg-type]


def worker(rank: int, folder: str, shares: list[list[list[list[int]]]]) -> None:
    """Evaluate this rank's share of each deal and leave the results on disk."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    results = [evaluate(deal[rank]) for deal in shares]
    results.append(result_of(COCOMeanAP(NUM_CLASSES), shares[0][rank]))
    torch.save(results, Path(folder) / f"rank{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_give_the_single_process_numbers(tmp_path: Path) -> None:
    """21 images on two ranks: padded as the distributed sampler does, and all on one rank."""
    even, odd = [*range(0, NUM_IMAGES, 2)], [*range(1, NUM_IMAGES, 2), 0]
    assert len(even) == len(odd) == 11  # image 0 is seen by both
    shares = [
        [[even[:4], even[4:]], [odd[:5], odd[5:]]],
        [[list(range(NUM_IMAGES))], []],
        [[], [list(range(NUM_IMAGES))]],
        [[[0]], [[0]]],
    ]
    words = (*warm_python(), "-m", "tests.metrics.test_mean_ap", str(tmp_path), json.dumps(shares))
    processes = [subprocess.Popen([*words, str(rank)], cwd=ROOT) for rank in range(2)]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    single = evaluate([list(range(NUM_IMAGES))])
    assert torch.isfinite(single["map"])
    of_coco = result_of(COCOMeanAP(NUM_CLASSES), [list(range(NUM_IMAGES))])
    assert of_coco["map_small"] > 0
    assert of_coco["map_medium"] > 0
    for rank in range(2):
        padded, first_only, second_only, nothing_to_find, by_coco = torch.load(tmp_path / f"rank{rank}.pt")
        assert_same(by_coco, of_coco)
        assert_same(padded, single)
        assert_same(first_only, single)
        assert_same(second_only, single)
        assert torch.isnan(nothing_to_find["map"])


if __name__ == "__main__":
    worker(int(sys.argv[3]), sys.argv[1], json.loads(sys.argv[2]))
