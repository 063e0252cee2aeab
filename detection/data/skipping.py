"""Loading goes on where an image turns out to be unusable (``data.on_error=skip``)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from detection.data.dataset import DetectionDataset
from detection.data.image_files import ImageError
from detection.types import Sample, Target

_Read = TypeVar("_Read")

# So many in a row are no accident: the disk is gone, or the data has been moved.
_MAX_IN_A_ROW = 20


class _Marking:
    """Reads images, and marks in their dataset which of them cannot be used.

    Args:
        dataset: the images.
    """

    def __init__(self, dataset: DetectionDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def _marked(self, read: Callable[[int], _Read], index: int) -> _Read:
        try:
            return read(index)
        except ImageError:
            self.dataset.unusable[index] = True
            raise


class Replaced(_Marking, Dataset[Sample]):
    """For training: the next usable image of the set stands in for an unusable one.

    Which image that is depends on the data alone, so neither the number of workers nor that of processes
    changes what is trained on, and no step has fewer images. Unusable images are marked in the dataset.

    Args:
        dataset: the images.
    """

    def seed(self, seed: int) -> None:
        """Fix the random state of the next sample."""
        self.dataset.seed(seed)

    def __getitem__(self, index: int) -> Sample:
        """Decode one image, or else the next that can be.

        Raises:
            ImageError: so many images in a row are unusable that something else is wrong.
        """
        return self._first(self.dataset.__getitem__, index)

    def load(self, index: int) -> tuple[NDArray[np.uint8], Target]:
        """The same without the transform, see ``DetectionDataset.load``."""
        return self._first(self.dataset.load, index)

    def _first(self, read: Callable[[int], _Read], index: int) -> _Read:
        for offset in range(_MAX_IN_A_ROW):
            try:
                return self._marked(read, (index + offset) % len(self))
            except ImageError as error:
                last = error
        raise ImageError(f"{_MAX_IN_A_ROW} images in a row cannot be used, which is no accident: {last}")


class LeftOut(_Marking, Dataset[Sample | None]):
    """For evaluation: None in place of an unusable image, which is marked in the dataset.

    No other image may stand in, for it would be counted twice. The metrics are those of the images that are
    left, without the objects of the others, for nobody knows what would have been found there. So they are
    not comparable with metrics of the whole set, which the list at the end says.

    Args:
        dataset: the images.
    """

    def __getitem__(self, index: int) -> Sample | None:
        """Decode one image, if that can be done."""
        try:
            return self._marked(self.dataset.__getitem__, index)
        except ImageError:
            return None


def problems_of(
    datasets: Mapping[str, DetectionDataset], gather: Callable[[Tensor], Tensor]
) -> dict[str, list[str]]:
    """What is wrong with the images of each split that were left out, as far as it is known.

    Args:
        datasets: by split; one that stands for several of them is looked at once.
        gather: sums what this process saw, int64 ``(N,)``, over all processes; all of them must call.
    """
    known: dict[str, list[str]] = {}
    seen: set[int] = set()
    for split, dataset in datasets.items():
        if id(dataset) in seen:  # with overfit_images all splits are one
            continue
        seen.add(id(dataset))
        unusable = gather(dataset.unusable.long()).nonzero().flatten().tolist()
        known[split] = [*dataset.problems, *(dataset.problem(index) for index in unusable)]
    return known


class CollateUsable:
    """Collate the samples that are there.

    Args:
        collate: makes a batch of one sample or more.
    """

    def __init__(self, collate: Callable[[Sequence[Sample]], Any]) -> None:
        self.collate = collate

    def __call__(self, samples: Sequence[Sample | None]) -> Any:
        """A batch, or None where no sample is left."""
        usable = [sample for sample in samples if sample is not None]
        return self.collate(usable) if usable else None


class UsableLoader(DataLoader[Any]):
    """A loader of :class:`LeftOut` that passes over batches of which nothing is left."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Give what is left.

        Raises:
            ImageError: nothing is. Of several processes, one without any batch would not meet the others
                where they exchange what they found, and they would wait for it for ever.
        """
        left = False
        for batch in super().__iter__():
            if batch is not None:
                left = True
                yield batch
        if not left:
            assert isinstance(self.dataset, LeftOut)
            indices = list(self.sampler)
            raise ImageError(
                f"None of the {len(indices)} images that this process evaluates can be used. "
                f"The first of them: {self.dataset.dataset.problem(indices[0])}"
            )
