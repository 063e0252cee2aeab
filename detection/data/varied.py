"""Training samples of drawn sizes, cut from large images, or made of several images.

What is drawn for a sample follows from its (index, seed) pair, and its size from its step, so that neither
workers nor processes nor a resumed run change any of it.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import albumentations as A
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from detection.bounds import Few, Share, Side, Size, Tiles
from detection.data.chain import DetectionTransform, Picture, Transformed
from detection.data.compositions import (
    cut,
    paste_objects,
    sample_mixture,
    sample_mosaic,
    sample_part,
    sample_tile,
)
from detection.data.dataset import DetectionDataset, SampleTransform, with_objects
from detection.data.sampling import GroupedBatchSampler, SeededDataset, for_training
from detection.data.skipping import Replaced
from detection.data.stepped import Step, SteppedBatchSampler, SteppedKey
from detection.ops.views import tile_size
from detection.types import Sample, Target

TILE_OVERLAP = 0.2
"""Of tiles that are given as rows and columns; as in prediction, where nobody says otherwise."""


class Variations(NamedTuple):
    """What training varies beside the recipe's own transform; see ``ssd_train_transform``."""

    sizes: Few[Side] | None = None
    tiles: Tiles | None = None
    mosaic_probability: Share = 0.0
    mixup_probability: Share = 0.0
    copy_paste_probability: Share = 0.0
    mix_until: Share = 0.85

    @property
    def any(self) -> bool:
        """Whether anything is asked for."""
        mixed = self.mosaic_probability + self.mixup_probability + self.copy_paste_probability
        return self.sizes is not None or self.tiles is not None or mixed > 0


class MakesInputs(NamedTuple):
    """How a recipe makes inputs of a size, in functions of a module, which reach workers that are spawned."""

    geometry: Callable[[Size], Sequence[A.BasicTransform]]
    """The transforms that make an input of a size."""
    canvas: Callable[[tuple[int, int], Size], tuple[int, int]]
    """The ``(height, width)`` that an image of ``(height, width)`` has as an input of a size."""
    colours: Sequence[A.BasicTransform]
    """Transforms that leave all boxes where they are."""
    flip_probability: float


class VariedTransform(DetectionTransform):
    """A training transform with variations. Called by itself it is the recipe's own, at the recipe's size.

    Args:
        size: of the input.
        recipe: makes inputs.
        variations: what varies.
        min_box_side: see ``DetectionTransform``.
    """

    def __init__(self, size: Size, recipe: MakesInputs, variations: Variations, min_box_side: float) -> None:
        super().__init__(A.Compose([*recipe.geometry(size), *recipe.colours]), min_box_side)
        self.size, self.recipe, self.variations = size, recipe, variations
        self.tile_input = recipe.canvas((64, 64), size)
        """``(height, width)`` of the input that a square image gives: of ``auto`` tiles."""
        self._colours = DetectionTransform(A.Compose(recipe.colours), min_box_side)
        sizes = self.sizes
        self._geometries = [
            DetectionTransform(A.Compose(recipe.geometry(size)), min_box_side) for size in sizes
        ]
        self._plain = [
            DetectionTransform(A.Compose([*recipe.geometry(size), *recipe.colours]), min_box_side)
            for size in sizes
        ]

    @property
    def sizes(self) -> list[Size]:
        """All sizes of inputs that may come."""
        return [scaled_to(self.size, side) for side in self.variations.sizes or [_shortest(self.size)]]

    def sample(
        self, base: Picture, other: Callable[[random.Random], Picture], seed: int, step: Step
    ) -> Transformed:
        """Make a sample.

        Args:
            base: the image that it is named after.
            other: gives another image of the set, drawn by the generator that it is handed.
            seed: of all that is drawn, but for the size.
            step: that it belongs to.
        """
        wanted = self.variations
        number = random.Random(f"size: {step.seed}").randrange(len(self._plain))
        rng = random.Random(f"variations: {seed}")
        mosaic = rng.random() < wanted.mosaic_probability
        paste = rng.random() < wanted.copy_paste_probability
        mixup = rng.random() < wanted.mixup_probability
        base = self._tile_of(base, rng)
        if step.done >= wanted.mix_until or not (mosaic or paste or mixup):
            chain = self._plain[number]
            chain.seed(seed)
            return chain(*base)

        def another() -> Picture:
            return self._tile_of(other(rng), rng)

        flip = self.recipe.flip_probability
        if mosaic:
            canvas = self.recipe.canvas(base.size, self.sizes[number])
            picture = sample_mosaic([base, another(), another(), another()], canvas, flip, rng)
        else:
            self._geometries[number].seed(seed)
            picture = self._geometries[number].on(base)
        if paste:
            picture = paste_objects(picture, another(), rng)
        if mixup:
            picture = sample_mixture(picture, sample_part(another(), picture.size, flip, rng), rng)
        self._colours.seed(rng.getrandbits(31))
        return self._colours(*picture)

    def _tile_of(self, picture: Picture, rng: random.Random) -> Picture:
        if self.variations.tiles is None:
            return picture
        tile = tile_size(picture.size, self.variations.tiles, self.tile_input, TILE_OVERLAP)
        return cut(picture, sample_tile(picture.size, tile, picture.boxes, rng))


def _shortest(size: Size) -> int:
    return size if isinstance(size, int) else min(size)


def scaled_to(size: Size, side: int) -> Size:
    """A size of the same shape whose shortest side is ``side``."""
    return side if isinstance(size, int) else [round(each * side / min(size)) for each in size]


class VariedDataset(Dataset[Sample]):
    """Serves samples by key and step.

    Args:
        images: of the training split, from which others are drawn, too.
        transform: makes samples of them.
    """

    def __init__(self, images: DetectionDataset | Replaced, transform: VariedTransform) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: SteppedKey) -> Sample:
        (index, seed), step = key
        image, target = self.images.load(index)
        used = [index]

        def other(rng: random.Random) -> Picture:
            used.append(_another(rng, len(self.images), used))
            return _picture(*self.images.load(used[-1]))

        made = self.transform.sample(_picture(image, target), other, seed, step)
        return with_objects(for_training(target, seed), *made)


def _another(rng: random.Random, count: int, used: Sequence[int]) -> int:
    """Draw one of ``count`` images that is not in use yet, as long as there is one."""
    free = count - len(set(used))
    number = rng.randrange(free or count)
    for taken in sorted(set(used)) if free else ():
        number += number >= taken
    return number


def _picture(image: NDArray[np.uint8], target: Target) -> Picture:
    objects = target["boxes"], target["labels"], target["difficult"]
    return Picture(image, *(values.numpy() for values in objects))


def steps_of(trainer: Any, num_steps: int) -> tuple[int, int]:
    """Optimizer steps of a run, and of an epoch of it.

    Args:
        trainer: Lightning's, whose run ends after a number of epochs or steps; None is for one whole epoch.
        num_steps: of a whole epoch.
    """
    if trainer is None:
        return num_steps, num_steps
    limit = trainer.limit_train_batches  # a share, or a number of batches, which are parts of steps
    steps = limit * num_steps if isinstance(limit, float) else limit / trainer.accumulate_grad_batches
    of_epoch = max(1, min(int(steps), num_steps))
    limits = (trainer.max_epochs or -1) * of_epoch, trainer.max_steps
    return min((limit for limit in limits if limit > 0), default=of_epoch), of_epoch


def by_key(
    images: DetectionDataset, skip: bool, batches: GroupedBatchSampler, trainer: Any
) -> tuple[SeededDataset | VariedDataset, GroupedBatchSampler | SteppedBatchSampler]:
    """The dataset of a training and the batches of keys that it is asked for.

    Args:
        images: the training split; a transform with variations is asked for samples by their steps, too.
        skip: whether other images stand in for unusable ones.
        batches: of keys.
        trainer: see ``steps_of``.
    """
    usable = Replaced(images) if skip else images
    if not isinstance(images.transform, VariedTransform):
        return SeededDataset(usable), batches
    stepped = SteppedBatchSampler(batches, *steps_of(trainer, batches.num_steps))
    return VariedDataset(usable, images.transform), stepped


def input_sizes(transform: SampleTransform | None, size: Size) -> list[Size]:
    """All sizes of inputs that a training transform for inputs of ``size`` makes."""
    return transform.sizes if isinstance(transform, VariedTransform) else [size]
