"""Row 7: from JPEGs on disk, by two workers, to batches in the training process."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import torch
from torch.utils.data import DataLoader

from benchmarks.harness import Benchmark, Result, timed
from benchmarks.input_peers import Peer, albumentations_ssd_train
from benchmarks.pictures import photographs
from detection.data.datamodule import DetectionDataModule
from detection.data.formats.records import ImageRecord, Reading
from detection.data.transforms import ssd_eval_transform, ssd_train_transform
from detection.data.voc import VOC_CLASSES

_BATCH, _BATCHES, _WORKERS = 32, 10, 2


@dataclass(kw_only=True, eq=False)
class Photographs(DetectionDataModule):
    """Our loader over generated photographs."""

    records: list[ImageRecord]

    wanted_classes = VOC_CLASSES

    def read(self, split: object) -> Reading:
        return Reading("the photographs", records=self.records)


def loader() -> Iterator[Result]:
    """Row 7."""
    with photographs(_BATCH * _BATCHES) as records:
        data = Photographs(
            records=records,
            size=300,
            train_transform=ssd_train_transform,
            eval_transform=ssd_eval_transform,
            batch_size=_BATCH,
            num_workers=_WORKERS,
        )
        data.setup()
        other = DataLoader(
            albumentations_ssd_train(records),
            batch_size=_BATCH,
            num_workers=_WORKERS,
            persistent_workers=True,
            worker_init_fn=_start,
            collate_fn=_stack,
        )
        yield timed(
            "7",
            f"loader, {_WORKERS} workers, {_BATCHES} batches of {_BATCH}, against albumentations float32",
            _epoch(data.train_dataloader()),
            _epoch(other),
            at_most=0.4,
            rounds=9,
            clock=time.perf_counter,
        )


def _epoch(batches: "DataLoader[object]") -> Callable[[], None]:
    def run() -> None:
        for _ in batches:
            pass

    return run


def _start(worker: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _stack(samples: Sequence[Peer]) -> Peer:
    return Peer(torch.stack([sample.image for sample in samples]), samples[0].boxes)


ROWS: dict[str, Benchmark] = {"7": loader}
