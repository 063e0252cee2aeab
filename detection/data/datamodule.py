"""LightningDataModules: which images to train, validate and test on, and how they become batches."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from detection.bounds import Natural, Positive, Seconds, Share, Size
from detection.data.cache import Cache, open_cache
from detection.data.classes import OtherClasses
from detection.data.collate import CollateList, CollatePadded
from detection.data.dataset import DetectionDataset, classes_of
from detection.data.formats.findings import Finding
from detection.data.formats.judging import judged
from detection.data.formats.records import SPLITS, Reading, SplitName
from detection.data.formats.usable import OnError, settle_repeats
from detection.data.nothing import never_learned, nothing_to_find, refuse_nothing_to_learn
from detection.data.position import Position, ResumableLoader, start_of_worker
from detection.data.rare_classes import Sampling, make_sampler
from detection.data.sampling import EvalSampler, GroupedBatchSampler, Keys, aspect_group
from detection.data.skipping import CollateUsable, LeftOut, UsableLoader, problems_of
from detection.data.splitting import SetApart
from detection.data.step_size import divide_step, step_line
from detection.data.transforms import DetectionTransform
from detection.data.varied import by_key
from detection.system.wording import counted
from detection.types import AnchorTargets

MakeTransform = Callable[[Size], DetectionTransform]


@dataclass(kw_only=True, eq=False)
class DetectionDataModule(pl.LightningDataModule, ABC):
    """From datasets to batches, on any number of processes. Subclasses say where the images come from.

    Args:
        size: input size: the side (SSD), or the shortest and longest side (Faster R-CNN).
        train_transform: makes the training transform from ``size``.
        eval_transform: makes the evaluation transform from ``size``.
        collate: ``padded`` stacks equal sizes (SSD); ``list`` batches images of like shape (Faster R-CNN).
        batch_size: images of one optimizer step over all devices and nodes.
        batch_size_per_device: images of one optimizer step on each device, instead of ``batch_size``. Either
            is cut into ``trainer.accumulate_grad_batches`` parts, which changes memory, not the step.
        eval_batch_size: images that a device evaluates at once; as many as in training when None.
        num_workers: loader processes per device.
        timeout: seconds without a batch from them after which the run ends; 0 waits for ever.
        targets_in_workers: assign training targets in the loader's workers instead of on the device.
        overfit_images: train, validate and test on so many first training images, without augmentation.
        other_classes: what becomes of objects of other classes: ``error`` or ``skip``.
        on_error: what becomes of images that cannot be used, because their annotation is wrong or they cannot
            be decoded: ``raise`` stops the run; ``skip`` leaves them out and notes what is wrong with them
            (:meth:`problems`). In training another image stands in (``Replaced``); in evaluation none
            does (:class:`LeftOut`). Mistakes of a whole set, such as a missing list, always stop the run.
        cache: where decoded images are kept for the next epoch: ``none``, ``ram``, ``disk`` (``open_cache``).
        cache_folder: where to, with ``disk``; None takes the user's folder for caches.
        sampling: how often an epoch draws an image: ``uniform``, once; ``repeat_factor`` and
            ``class_balanced``, oftener those with rare classes (``expected_draws``).
        sampling_threshold: of ``repeat_factor``: classes in a smaller share of the images are repeated.
        seed: seed of order and augmentation.
    """

    size: Size
    train_transform: MakeTransform
    eval_transform: MakeTransform
    collate: Literal["padded", "list"] = "padded"
    batch_size: int | None = 32
    batch_size_per_device: int | None = None
    eval_batch_size: Positive | None = None
    num_workers: Natural = 4
    timeout: Seconds = 300
    targets_in_workers: bool = False
    overfit_images: Positive | None = None
    other_classes: OtherClasses = "error"
    on_error: OnError = "raise"
    cache: Cache = "none"
    cache_folder: str | None = None
    sampling: Sampling = "uniform"
    sampling_threshold: Share = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        super().__init__()
        self.images_per_step = divide_step(self.batch_size, self.batch_size_per_device, 1, 1).images
        """Images of one optimizer step over all devices, known once it is divided (:meth:`divide_among`)."""
        self._divided: tuple[int, int] | None = None  # devices and parts
        self.class_names: list[str] = []  # known after setup
        self.datasets: dict[str, DetectionDataset] = {}
        self.assign: Callable[..., AnchorTargets] | None = None  # targets in the workers; the task's
        self.set_apart: SetApart | None = None  # where the set does not say; known once a split is read
        self.split_lines: list[str] = []  # what is to be told of that
        self._begin = Position()

    @property
    @abstractmethod
    def wanted_classes(self) -> Sequence[str] | None:
        """Class names in label order, where they were given."""

    @abstractmethod
    def read(self, split: SplitName) -> Reading:
        """Read one split (``test``: ``val`` where the set has none). Mistakes are findings, not raised."""

    def unlisted(self) -> list[Finding]:
        """What lies beside the splits and belongs to none of them."""
        return []

    def make_dataset(
        self,
        split: SplitName,
        classes: Sequence[str] | None,
        transform: DetectionTransform,
        reading: Reading | None = None,
    ) -> DetectionDataset:
        """Open one split, and read it if that is not done. Without ``classes``, its own are taken."""
        settled = settle_repeats(reading or self.read(split), training=split == "train")
        classes = classes or self.wanted_classes
        return DetectionDataset(settled, classes, transform, self.other_classes, self.on_error)

    def setup(self, stage: str | None = None) -> None:
        """Read the annotations. The classes of all splits together hold for each of them."""
        if self.datasets:
            return
        overfits = self.overfit_images is not None
        readings = {split: judged(self.read(split)) for split in (SPLITS[:1] if overfits else SPLITS)}
        names = self.wanted_classes or classes_of(readings.values(), self.on_error)
        evaluated = self.eval_transform(self.size)
        train = self.make_dataset("train", names, self.train_transform(self.size), readings["train"])
        refuse_nothing_to_learn(train)
        train.check_training_classes()
        self.class_names = list(train.classes)
        if self.overfit_images is not None:
            few = self.make_dataset("train", names, evaluated, readings["train"]).first(self.overfit_images)
            refuse_nothing_to_learn(few)
            self.datasets = {"train": few, "val": few, "test": few}
        else:
            self.datasets = {"train": train}
            for split in SPLITS[1:]:
                self.datasets[split] = self.make_dataset(split, names, evaluated, readings[split])
            notes = [f"{split}: {note}" for split, opened in self.datasets.items() for note in opened.notes]
            notes += [*never_learned(self.datasets), *nothing_to_find(self.datasets)]
            for line in (*self.split_lines, *notes):
                rank_zero_info(line)
        self._keep_decoded()

    @property
    def test_is_val(self) -> bool:
        """Whether the test is made on the validation images, since there are no others."""
        return False

    def describe_split(self, split: str) -> str:
        """What a split really is and how many images it has: ``test = val, 80 images; no test list``."""
        count = counted(len(self.datasets[split]), "image")
        if self.overfit_images is not None and split != "train":
            return f"{split} = train, {count}; data.overfit_images={self.overfit_images}"
        if split == "test" and self.test_is_val:
            return f"test = val, {count}; no test list"
        return f"{split}, {count}"

    def _keep_decoded(self) -> None:
        if self.cache == "none":
            return
        cache, line = open_cache(self.cache, self.cache_folder, list(self.datasets.values()))
        rank_zero_info(line)
        for dataset in self.datasets.values():
            dataset.decode = cache

    def divide_among(self, devices: int, parts: int = 1) -> str:
        """Divide a training step among the devices, and what each of them takes into parts.

        Args:
            devices: processes, over all nodes.
            parts: ``trainer.accumulate_grad_batches``.

        Returns:
            A line that says what a step is made of.

        Raises:
            ValueError: if the step does not divide, or a device would have no image.
        """
        for split in SPLITS:
            if len(self.datasets[split]) < devices:
                raise ValueError(
                    f"{split} has {counted(len(self.datasets[split]), 'image')} for {devices} devices: each "
                    "needs one or more, so lower trainer.devices or enlarge the split."
                )
        step = divide_step(self.batch_size, self.batch_size_per_device, devices, parts)
        self._divided = devices, parts
        self.images_per_step = min(step.images, len(self.datasets["train"]))
        return step_line(step, self.images_per_step)

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled, augmented batches: each is this process's part of an optimizer step.

        What does not fill a step is left out, other images in each epoch: batch statistics of a tiny last
        batch are noise. A set smaller than a step is kept whole.

        Raises:
            ValueError: if the step does not divide among devices and parts, or the workers should assign
                targets, but nobody said how.
        """
        if self.targets_in_workers and self.assign is None:
            raise ValueError(
                "data.targets_in_workers=true needs the task's function that assigns targets: set "
                "datamodule.assign = task.assigner(datamodule.size) before training, as train.py does."
            )
        assign = self.assign if self.targets_in_workers else None
        images = self.datasets["train"]
        self.divide_among(self._place()[1], self._parts())
        self.sampler.set_epoch(self._begin.epoch)
        padded, step = self.collate == "padded", (self.images_per_step, *self._place(), self._parts())
        groups = None if padded else [aspect_group(size) for size in images.sizes]
        collate = CollatePadded(assign) if padded else CollateList(assign)
        batches = GroupedBatchSampler(self.sampler, groups, *step)
        batches.begin(self._begin.epoch, self._begin.steps_done(batches.num_steps))
        dataset, keys = by_key(images, self.on_error == "skip", batches, self.trainer)
        return self._loader(dataset, batch_sampler=keys, collate_fn=collate)

    @cached_property
    def sampler(self) -> Keys:
        """What draws the images of an epoch."""
        return make_sampler(self.datasets["train"], self.sampling, self.sampling_threshold, self.seed)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps."""
        return len(self.sampler) // self.images_per_step

    @property
    def images_at_once(self) -> int:
        """What a device holds in training, roughly: evaluation does not mind if nothing divides."""
        devices, parts = self._divided or (self._place()[1], self._parts())
        each = self.batch_size_per_device or (self.batch_size or 1) // devices
        return max(1, each // parts)

    def val_dataloader(self) -> DataLoader[Any]:
        """Every validation image once, over all processes."""
        return self.eval_dataloader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        """Every test image once, over all processes."""
        return self.eval_dataloader("test")

    def eval_dataloader(self, split: str) -> DataLoader[Any]:
        """Every image of a split once, over all processes."""
        dataset = self.datasets[split]
        collate = CollatePadded() if self.collate == "padded" else CollateList()
        skip = self.on_error == "skip"
        return self._loader(
            LeftOut(dataset) if skip else dataset,
            sampler=EvalSampler(len(dataset), *self._place()),
            batch_size=self.eval_batch_size or self.images_at_once,
            collate_fn=CollateUsable(collate) if skip else collate,
        )

    def problems(self, gather: Callable[[Tensor], Tensor] = torch.clone) -> dict[str, list[str]]:
        """What is wrong with the images of each split that were left out, as far as it is known.

        Args:
            gather: sums what this process saw, int64 ``(N,)``, over all processes; all of them must call.
        """
        return problems_of(self.datasets, gather)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: where a resumed run begins."""
        assert self.trainer is not None
        return asdict(Position.of(self.trainer, self.steps_per_epoch))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Begin where a checkpoint tells; a step now may have more images or fewer.

        The trainer itself sets the epoch of the sampler, but only after a resumed run has fetched its first
        batches.
        """
        self._begin = Position(**state_dict)

    def _loader(self, dataset: Dataset[Any], **options: Any) -> DataLoader[Any]:
        loader = UsableLoader if isinstance(dataset, LeftOut) else ResumableLoader
        return loader(
            dataset,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            timeout=self.timeout if self.num_workers else 0,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=start_of_worker(),
            # Without its own, it draws from torch's, where sampling draws: whenever it happens to start.
            generator=torch.Generator(),
            **options,
        )

    def _place(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _parts(self) -> int:
        return self.trainer.accumulate_grad_batches if self.trainer else 1
