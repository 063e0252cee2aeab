"""An exported file as a detector."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from detection.data.transforms import DetectionTransform
from detection.ops.boxes import scale_boxes
from detection.prediction.detector import Detector
from detection.types import Detections


class ExportedDetector(Detector):
    """An ONNX file that ``detection.export`` wrote, run by onnxruntime on the CPU.

    Images become its input as they became the network's, by the description in the file.

    Args:
        path: the file.
        make_transform: makes the evaluation transform of the description, or refuses it.

    Raises:
        ImportError: onnxruntime is not installed.
        ValueError: it is no ONNX file, or was not written by ``detection.export``.
    """

    def __init__(self, path: Path, make_transform: Callable[[Any], DetectionTransform]) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError(f"{path} needs onnxruntime ({error}): pip install -e '.[export]'") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its own kinds, of its C++
            raise ValueError(f"{path} is damaged, or no ONNX file.") from error
        about = self.session.get_modelmeta().custom_metadata_map
        if "data" not in about or "class_names" not in about:
            raise ValueError(
                f"{path} does not say how images become its input: export the checkpoint again, by "
                "detection.export of this version."
            )
        self.names: list[str] = json.loads(about["class_names"])
        self.transform = make_transform(json.loads(about["data"]))
        is_float = self.session.get_inputs()[0].type == "tensor(float)"
        self.dtype = np.float32 if is_float else np.uint8

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in label order."""
        return self.names

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Detect in images, one after another.

        Args:
            images: each ``(H, W, 3)`` RGB, of any size.

        Returns:
            Detections of each image, in its own pixels.
        """
        return [self._detect(image) for image in images]

    def _detect(self, image: NDArray[np.uint8]) -> Detections:
        pixels = self.prepare(image).image.numpy()
        names = ["boxes", "scores", "labels", "num_detections"]
        boxes, scores, labels, counts = self.session.run(names, {"images": pixels[None].astype(self.dtype)})
        real = slice(int(counts[0]))
        height, width = pixels.shape[1:]
        return Detections(
            boxes=scale_boxes(torch.from_numpy(boxes[0, real]), (height, width), image.shape[:2]),
            scores=torch.from_numpy(scores[0, real]),
            labels=torch.from_numpy(labels[0, real]),
        )
