"""An exported file as a detector."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from detection.data.classes import wrong_names
from detection.data.transforms import DetectionTransform
from detection.prediction.detector import Detector
from detection.reader import Reader
from detection.system.wording import counted
from detection.types import Detections


class ExportedDetector(Detector):
    """An ONNX or OpenVINO file that ``detection.export`` wrote, run on the CPU.

    Images become its input as they became the network's, by the description in the file. It computes in as
    many threads as torch: ``torch.set_num_threads`` and OMP_NUM_THREADS hold for both.

    Args:
        path: the file.
        make_transform: makes the evaluation transform of the description, or refuses it.

    Raises:
        ImportError: onnxruntime or openvino is not installed.
        ValueError: the file is damaged, or was not written by ``detection.export``.
    """

    def __init__(self, path: Path, make_transform: Callable[[Any], DetectionTransform]) -> None:
        self.reader = Reader(path, threads=torch.get_num_threads())
        about = self.reader.about
        if "data" not in about or "class_names" not in about:
            raise ValueError(
                f"{path} does not say how images become its input: export the checkpoint again, by "
                "detection.export of this version."
            )
        if wrong := wrong_names(self.class_names):
            raise ValueError(f"{path}: {wrong}.")
        # The reader's own resizing, unless the checkpoint names a transform of the user's.
        super().__init__(make_transform(json.loads(about["data"])))

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in label order."""
        return self.reader.class_names

    @property
    def network_name(self) -> str:
        """The name of the file."""
        return self.reader.path.name

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Detect in images, one after another; see `Detector`."""
        return [self._detect(image) for image in images]

    def _detect(self, image: NDArray[np.uint8]) -> Detections:
        pixels = self.prepare(image).image.numpy()
        boxes, scores, labels = self.reader.detect(pixels, image.shape[:2])
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.class_names):
            raise ValueError(
                f"{self.reader.path} finds objects of class {labels.max()} and names "
                f"{counted(len(self.class_names), 'class')}: export it again."
            )
        return Detections(
            boxes=torch.from_numpy(boxes), scores=torch.from_numpy(scores), labels=torch.from_numpy(labels)
        )
