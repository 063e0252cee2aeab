"""An exported detector as a function of images: ``Reader("best.onnx")(image)``.

``python -m detection.export`` copies this file beside what it exports, as ``detection_reader.py``. It needs
NumPy, OpenCV, and onnxruntime (for ``.onnx``) or openvino (for ``.xml``), and nothing else. Evaluation
resizes by the same functions, and therefore finds the same: OpenCV's rounding cannot be had inside a graph.
"""

import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


class Reader:
    """An exported file, run on the CPU.

    Args:
        path: a ``.onnx`` or a ``.xml`` that ``detection.export`` wrote.
        threads: how many to use; 0 leaves it to the runtime.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: the runtime is not installed.
        ValueError: the file is damaged, or of another kind.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"{path}: there is no such file.")
        open_file = _open_openvino if self.path.suffix == ".xml" else _open_exported
        self.about, self.dtype, self._run = open_file(self.path, threads)
        """What the file says about itself, strings by name; and the type of its input."""

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in label order.

        Raises:
            ValueError: the file does not name them.
        """
        try:
            names = json.loads(self.about["class_names"])
        except (KeyError, ValueError):
            names = None
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise ValueError(f"{self.path} does not name its classes: export it again.")
        return names

    def __call__(
        self, image: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Detect in one image.

        Args:
            image: uint8 ``(H, W, 3)``, RGB and upright, of any size.

        Returns:
            ``(N, 4)`` boxes, x1 y1 x2 y2 in the image's own pixels; ``(N,)`` scores, descending; ``(N,)``
            labels, rows of ``class_names``.

        Raises:
            ValueError: the image has another shape or type, or the file does not say how to resize it.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"An image of {image.shape} and type {image.dtype}: give (H, W, 3) RGB, uint8.")
        if "resize" not in self.about:
            raise ValueError(f"{self.path} does not say how images become its input: export it again.")
        pixels = resize(image, json.loads(self.about["resize"]))
        return self.detect(pixels.transpose(2, 0, 1), image.shape[:2])

    def detect(
        self, pixels: NDArray[np.uint8], size: Sequence[int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Detect in an image that is resized already.

        Args:
            pixels: ``(3, h, w)``.
            size: ``(height, width)`` of the original image, in whose pixels the boxes are returned.
        """
        outputs = self.run(pixels[None])
        count = int(outputs["num_detections"][0])
        scale = [size[1] / pixels.shape[2], size[0] / pixels.shape[1]] * 2
        boxes = outputs["boxes"][0, :count] * np.array(scale, np.float32)
        return boxes, outputs["scores"][0, :count], outputs["labels"][0, :count]

    def run(self, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Run the file as it is: from ``(B, 3, h, w)`` to its outputs by name, padded."""
        outputs: dict[str, NDArray[Any]] = self._run(np.ascontiguousarray(images, self.dtype))
        return outputs


def _open_exported(path: Path, threads: int) -> tuple[dict[str, str], Any, Any]:
    try:
        onnxruntime = import_unreported("onnxruntime")
    except ImportError as error:
        raise ImportError(f"{path} needs onnxruntime ({error}): pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own kinds, of its C++
        raise ValueError(f"{path} is damaged, or no ONNX file.") from error
    names = [output.name for output in session.get_outputs()]
    dtype = np.float32 if session.get_inputs()[0].type == "tensor(float)" else np.uint8
    about = session.get_modelmeta().custom_metadata_map
    return about, dtype, lambda images: dict(zip(names, session.run(names, {"images": images}), strict=True))


def _open_openvino(path: Path, threads: int) -> tuple[dict[str, str], Any, Any]:
    try:
        openvino = import_unreported("openvino")
    except ImportError as error:
        raise ImportError(f"{path} needs openvino ({error}): pip install openvino") from error
    # By itself it computes in bfloat16 where the CPU can, and finds other boxes than the network.
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        options["INFERENCE_NUM_THREADS"] = str(threads)
    core = openvino.Core()
    try:
        model = core.read_model(path)
        compiled = core.compile_model(model, "CPU", options)
    except Exception as error:  # its own kinds, of its C++
        raise ValueError(
            f"{path} is damaged, no OpenVINO file, or without {path.stem}.bin beside it."
        ) from error
    said = model.get_rt_info("detection").astype(dict) if model.has_rt_info("detection") else {}
    about = {name: value.astype(str) for name, value in said.items()}
    dtype = model.input("images").get_element_type().to_dtype()

    def run(images: NDArray[Any]) -> dict[str, NDArray[Any]]:
        outputs = compiled({"images": images})
        return {output.get_any_name(): outputs[output].copy() for output in compiled.outputs}

    return about, dtype, run


def import_unreported(name: str) -> Any:
    """Import onnxruntime, openvino or nncf, which by themselves report their use to their makers."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime's own switch
    reporter = "openvino_telemetry"  # of the others, which know a file in the user's home only
    modules: dict[str, Any] = sys.modules
    before = modules.get(reporter)
    modules[reporter] = None  # as if it were not installed
    try:
        return import_module(name)
    finally:
        del modules[reporter]
        if before is not None:
            modules[reporter] = before


def resize(image: NDArray[np.uint8], rule: dict[str, Any]) -> NDArray[np.uint8]:
    """Resize an image as evaluation does.

    Args:
        image: ``(H, W, 3)``.
        rule: the arguments of `resize_exactly`, or those of `resize_short`.
    """
    return resize_exactly(image, **rule) if "size" in rule else resize_short(image, **rule)


def resize_exactly(image: NDArray[np.uint8], size: Sequence[int], bilinear: bool) -> NDArray[np.uint8]:
    """Resize to a fixed size, ignoring the aspect ratio: area averages to shrink, cubic to enlarge.

    Where one side shrinks and the other one grows this is bilinear, as MXNet does it (interpolation 9 of
    ``mxnet.image.imresize``); a side that loses more than half of its pixels is averaged first.

    Args:
        image: ``(H, W, 3)``.
        size: ``(height, width)``.
        bilinear: interpolate bilinearly in any case, without averaging, as torchvision's SSD does.
    """
    height, width = size
    grows = height >= image.shape[0] and width >= image.shape[1]
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC if grows else cv2.INTER_LINEAR
    interpolation = cv2.INTER_LINEAR if bilinear else interpolation
    if not (bilinear or shrinks or grows):  # bilinear is of two pixels, however many there are
        rows, columns = image.shape[:2]
        averaged = (width if columns > 2 * width else columns, height if rows > 2 * height else rows)
        image = np.asarray(cv2.resize(image, averaged, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), dtype=np.uint8)


def resize_short(image: NDArray[np.uint8], short: int, longest: int, round_down: bool) -> NDArray[np.uint8]:
    """Resize bilinearly, keeping the aspect ratio; see `short_side_size`."""
    height, width = short_side_size(image.shape[:2], short, longest, round_down)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def short_side_size(
    size: Sequence[int], short: int, longest: int, round_down: bool = False
) -> tuple[int, int]:
    """The ``(height, width)`` of an image of ``size`` after `resize_short`.

    Args:
        size: sides of the image in pixels.
        short: length of the shortest side, unless the longest would be too long.
        longest: at most the length of the longest side.
        round_down: cut fractions of a pixel off, as torchvision does, in place of rounding them.
    """
    if round_down:
        scale = min(short / min(size), longest / max(size))
        return max(1, int(size[0] * scale)), max(1, int(size[1] * scale))
    scale = short / min(size)
    if round(scale * max(size)) > longest:
        scale = longest / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
