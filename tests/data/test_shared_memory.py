"""Whether batches have room in shared memory is known before a loader starts."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from detection.data import shared_memory
from detection.data.datamodule import DetectionDataModule
from detection.data.shared_memory import check_shared_memory


class Disk(NamedTuple):
    free: int


class NoData(DetectionDataModule):
    wanted_classes = None

    def read(self, split: object) -> Any:
        raise AssertionError


def data(**options: Any) -> NoData:
    known: dict[str, Any] = {"size": 300, "batch_size": 32, "num_workers": 4}
    return NoData(train_transform=None, eval_transform=None, **{**known, **options})  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shared_memory, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: Disk(64 * 2**20))


def test_docker_s_shared_memory_is_refused_with_the_numbers() -> None:
    expected = (
        r"67\.1 MB free and needs 86\.4 MB: 4 processes .* 2 batches of 8\.6 MB .*data\.num_workers=2, "
    )
    with pytest.raises(ValueError, match=expected):
        check_shared_memory(data(), devices=1)
    check_shared_memory(data(num_workers=2), devices=1)
    check_shared_memory(data(num_workers=0, batch_size=1000), devices=1)


def test_each_device_has_a_loader() -> None:
    check_shared_memory(data(num_workers=1), devices=1)
    with pytest.raises(ValueError, match=r"on each of 4 devices. Set data.num_workers=0"):
        check_shared_memory(data(num_workers=1), devices=4)


def test_the_larger_batch_counts() -> None:
    small = data(batch_size=4)
    check_shared_memory(small, devices=1)
    with pytest.raises(ValueError, match="free and needs"):
        check_shared_memory(data(batch_size=4, eval_batch_size=64), devices=1)


def test_targets_that_are_assigned_in_the_loader_count() -> None:
    padded = data(batch_size=20)
    check_shared_memory(padded, devices=1)
    padded.assign = lambda boxes, labels: (torch.zeros(len(boxes), 8732, 6),)  # type: ignore[assignment]
    with pytest.raises(ValueError, match="free and needs"):
        check_shared_memory(padded, devices=1)


def test_systems_without_shared_memory_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "SHARED_MEMORY", Path("/no/such/folder"))
    check_shared_memory(data(batch_size=10_000), devices=8)
