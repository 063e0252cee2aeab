"""The same input pipelines by albumentations' and torchvision's own steps, one after the other.

The recipes are ours: the same strengths and probabilities, and for albumentations the same sampler of crops,
so that only the way of computing differs. Both give what they are used for, normalised float32 images.
"""

import random
from pathlib import Path
from typing import Any, NamedTuple

import albumentations as A
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from detection.data.formats.records import ImageRecord
from detection.data.geometry import INTERPOLATIONS, Box, sample_crop, sample_expansion
from detection.data.transforms import IMAGENET_MEAN

IMAGENET_STD = (58.395, 57.12, 57.375)
_TARGETS = (A.core.type_definitions.Targets.IMAGE, A.core.type_definitions.Targets.BBOXES)


class Peer(NamedTuple):
    """A peer's sample."""

    image: Tensor
    boxes: NDArray[np.float32]


class Expand(A.DualTransform):  # type: ignore[misc]
    """Puts the image on a larger canvas: albumentations has none that keeps the aspect ratio."""

    _targets = _TARGETS

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        height, width = params["shape"][:2]
        left, top, right, bottom = sample_expansion(height, width, 4.0, self.py_random)
        return {"sides": (round(-top), round(bottom - height), round(-left), round(right - width))}

    def apply(self, img: NDArray[np.uint8], sides: tuple[int, ...], **params: Any) -> NDArray[np.uint8]:
        top, bottom, left, right = sides
        canvas = cv2.copyMakeBorder(img, top, bottom, left, right, cv2.BORDER_CONSTANT, value=IMAGENET_MEAN)
        return np.asarray(canvas, dtype=np.uint8)

    def apply_to_bboxes(
        self, bboxes: NDArray[np.float32], sides: tuple[int, ...], **params: Any
    ) -> NDArray[np.float32]:
        (top, bottom, left, right), (height, width) = sides, params["shape"][:2]
        moved = bboxes.copy()
        moved[:, [0, 2]] = (moved[:, [0, 2]] * width + left) / (width + left + right)
        moved[:, [1, 3]] = (moved[:, [1, 3]] * height + top) / (height + top + bottom)
        return moved


class Crop(A.DualTransform):  # type: ignore[misc]
    """SSD's crop by our sampler: albumentations has none with a least IoU."""

    _targets = _TARGETS

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        height, width = params["shape"][:2]
        scale = np.array([width, height, width, height])
        boxes: list[Box] = [tuple(box) for box in (data["bboxes"][:, :4] * scale).tolist()]
        crop = sample_crop((0.0, 0.0, float(width), float(height)), boxes, self.py_random)
        return {"crop": tuple(round(side) for side in crop)}

    def apply(self, img: NDArray[np.uint8], crop: tuple[int, ...], **params: Any) -> NDArray[np.uint8]:
        x1, y1, x2, y2 = crop
        return img[y1:y2, x1:x2]

    def apply_to_bboxes(
        self, bboxes: NDArray[np.float32], crop: tuple[int, ...], **params: Any
    ) -> NDArray[np.float32]:
        (x1, y1, x2, y2), (height, width) = crop, params["shape"][:2]
        moved = bboxes.copy()
        moved[:, [0, 2]] = (moved[:, [0, 2]] * width - x1) / (x2 - x1)
        moved[:, [1, 3]] = (moved[:, [1, 3]] * height - y1) / (y2 - y1)
        centres = (moved[:, :2] + moved[:, 2:4]) / 2
        return moved[((centres > 0) & (centres < 1)).all(axis=1)]


def _ssd_steps() -> list[A.BasicTransform]:
    colours = [
        A.RandomBrightnessContrast((-32 / 255, 32 / 255), (0, 0), brightness_by_max=True, p=0.5),
        A.RandomBrightnessContrast((0, 0), (-0.5, 0.5), p=0.5),
        A.ColorJitter((1, 1), (1, 1), (0.5, 1.5), (0, 0), p=0.5),
        A.ColorJitter((1, 1), (1, 1), (1, 1), (-0.05, 0.05), p=0.5),
    ]
    resizes = [A.Resize(300, 300, interpolation=interpolation) for interpolation in INTERPOLATIONS]
    return [*colours, Expand(p=0.5), Crop(p=1), A.HorizontalFlip(p=0.5), A.OneOf(resizes, p=1)]


class Albumentations(Dataset[Peer]):
    """Samples by albumentations' steps and OpenCV's decoder.

    Args:
        records: the images.
        steps: from the decoded to the resized image.
        normalise: give float32 images, as users do; else uint8.
    """

    def __init__(
        self, records: list[ImageRecord], steps: list[A.BasicTransform], normalise: bool = True
    ) -> None:
        end = [A.Normalize(np.divide(IMAGENET_MEAN, 255), np.divide(IMAGENET_STD, 255))] if normalise else []
        self.records = records
        self.pipeline = A.Compose(
            [*steps, *end, A.ToTensorV2()],
            bbox_params=A.BboxParams(format="pascal_voc", label_fields=["labels"], clip=True),
        )

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Peer:
        record = self.records[index]
        content = np.frombuffer(record.path.read_bytes(), np.uint8)
        image = cv2.imdecode(content, cv2.IMREAD_COLOR_RGB)
        boxes = np.array([item.box for item in record.objects], dtype=np.float32)
        out = self.pipeline(image=image, bboxes=boxes, labels=np.arange(len(boxes)))
        return Peer(out["image"], out["bboxes"])

    def seed(self, seed: int) -> None:
        """Fix the random state of the next samples."""
        self.pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))


def albumentations_ssd_train(records: list[ImageRecord], normalise: bool = True) -> Albumentations:
    """SSD's training samples."""
    return Albumentations(records, _ssd_steps(), normalise)


def albumentations_ssd_eval(records: list[ImageRecord], interpolation: int) -> Albumentations:
    """SSD's evaluation samples."""
    return Albumentations(records, [A.Resize(300, 300, interpolation=interpolation)])


def albumentations_faster_rcnn_train(records: list[ImageRecord]) -> Albumentations:
    """Faster R-CNN's training samples; the short side decides the size of all pictures here."""
    return Albumentations(records, [A.HorizontalFlip(p=0.5), A.SmallestMaxSize(600)])


class TorchvisionSSD(Dataset[Peer]):
    """SSD's training samples by torchvision's reference recipe, on PIL images, its faster backend here.

    Args:
        records: the images.
    """

    def __init__(self, records: list[ImageRecord]) -> None:
        self.records = records
        fill = {tv_tensors.Image: IMAGENET_MEAN, Image.Image: tuple(map(int, IMAGENET_MEAN)), "others": 0}
        self.pipeline = v2.Compose(
            [
                v2.RandomPhotometricDistort(),
                v2.RandomZoomOut(fill=fill),
                v2.RandomIoUCrop(),
                v2.RandomHorizontalFlip(),
                v2.Resize((300, 300)),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([mean / 255 for mean in IMAGENET_MEAN], [std / 255 for std in IMAGENET_STD]),
                v2.SanitizeBoundingBoxes(),
            ]
        )

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Peer:
        record = self.records[index]
        with Image.open(Path(record.path)) as file:
            image = file.convert("RGB")
        boxes = tv_tensors.BoundingBoxes(
            [item.box for item in record.objects],
            format=tv_tensors.BoundingBoxFormat.XYXY,
            canvas_size=record.size,
        )
        image, target = self.pipeline(image, {"boxes": boxes, "labels": torch.arange(len(boxes))})
        return Peer(image, target["boxes"].numpy())
