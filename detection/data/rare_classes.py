"""Rare classes are seen more often: how many times an epoch draws each image, by the classes in it.

Of ``N`` images, ``f(c)`` is the share that has an object of class ``c``, difficult ones included.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from detection.data.dataset import DetectionDataset
from detection.data.sampling import Key, Keys, TrainSampler
from detection.system.wording import counted

Sampling = Literal["uniform", "repeat_factor", "class_balanced"]


def expected_draws(
    dataset: DetectionDataset, how: Literal["repeat_factor", "class_balanced"], threshold: float
) -> Tensor:
    """How many times an epoch should draw each image, on average.

    ``repeat_factor`` (Gupta et al. 2019, section 5) draws an image as often as its rarest class asks for:
    ``max(1, sqrt(threshold / f(c)))``, so that an epoch grows by what is repeated. ``class_balanced`` draws a
    class, then an image that has it, each with equal chances, so that an epoch has ``N`` draws; images
    without objects have no class, and are drawn once.

    Args:
        dataset: the training images.
        how: by which rule.
        threshold: of ``repeat_factor``: the share of images below which a class is rare.

    Returns:
        Float64 ``(N,)``.
    """
    images, labels = dataset.classes_in_images()
    num_images = len(dataset)
    counts = np.bincount(labels, minlength=len(dataset.classes))
    draws = np.ones(num_images)
    if how == "repeat_factor":
        of_class = np.sqrt(threshold * num_images / np.maximum(counts, 1))
        np.maximum.at(draws, images, of_class[labels])
    else:
        draws[images] = 0
        with_objects, num_classes = len(np.unique(images)), np.count_nonzero(counts)
        np.add.at(draws, images, with_objects / (num_classes * counts[labels]))
    return torch.from_numpy(draws)


class RepeatingSampler(Keys):
    """Shuffled keys of an epoch that draws some samples more often than others, over all processes.

    The number of draws is the same in all epochs: the sum of the expected ones, rounded down, less what does
    not fill a step, which lowers all expectations alike. Each sample comes as often as is expected, rounded
    down or up at random, anew in each epoch, so that the mean over epochs is what is expected (systematic
    sampling: as many marks at equal distances as there are draws, on a line on which each sample takes as
    much room as it is to be drawn).

    Args:
        draws: float64 ``(N,)``, how many times each sample is to be drawn.
        seed: seed of the order and of all that is drawn for a sample.
    """

    def __init__(self, draws: Tensor, seed: int) -> None:
        super().__init__(seed)
        self.draws = draws

    def __len__(self) -> int:
        return int(self.draws.sum() + 1e-6)  # a sum of thirds may be a little less than whole

    def whole_steps(self, images_per_step: int) -> list[Key]:
        """The keys of the epoch, as many as fill its steps."""
        generator = self.generator(self.epoch)
        count = len(self) // images_per_step * images_per_step
        order = torch.randperm(len(self.draws), generator=generator)
        ends = (self.draws[order] * (count / self.draws.sum())).cumsum(0)
        ends[-1] = count
        first = torch.rand((), generator=generator, dtype=torch.float64)
        marks = (ends + first).floor().clamp(max=count).long()
        drawn = order.repeat_interleave(marks.diff(prepend=marks.new_zeros(1)))
        drawn = drawn[torch.randperm(count, generator=generator)]
        seeds = torch.randint(2**31, (count,), generator=generator)
        return list(zip(drawn.tolist(), seeds.tolist(), strict=True))


def make_sampler(dataset: DetectionDataset, how: Sampling, threshold: float, seed: int) -> Keys:
    """What draws the images of an epoch.

    Args:
        dataset: the training images.
        how: by which rule.
        threshold: of ``repeat_factor``.
        seed: of order and augmentation.
    """
    if how == "uniform":
        return TrainSampler(len(dataset), seed)
    return RepeatingSampler(expected_draws(dataset, how, threshold), seed)


def describe_sampling(dataset: DetectionDataset, how: Sampling, sampler: Keys, images_per_step: int) -> str:
    """What an epoch draws, and how often it sees the rarest class, in part of a sentence.

    Args:
        dataset: the training images.
        how: by which rule.
        sampler: made for them.
        images_per_step: what does not fill a step is not drawn.

    Returns:
        Nothing where each image is drawn once.
    """
    if not isinstance(sampler, RepeatingSampler):
        return ""
    images, labels = dataset.classes_in_images()
    used, counts = np.unique(labels, return_counts=True)
    rarest = used[counts.argmin()]
    having = torch.from_numpy(images[labels == rarest])
    count = len(sampler) // images_per_step * images_per_step
    of_rarest = sampler.draws[having].sum() * (count / sampler.draws.sum())
    return (
        f"data.sampling={how} draws {counted(count, 'image')} an epoch, "
        f"{of_rarest:.0f} of them with {dataset.classes[rarest]}, the rarest class "
        f"({counted(len(having), 'image')})"
    )
