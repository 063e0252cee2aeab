"""What was found in one image, for programs and notebooks."""

import io
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detection.data.writers.coco_writer import COCOWriter
from detection.drawing.painter import draw_detections
from detection.prediction.writing import described, save_picture
from detection.system.files import refuse_unwritable
from detection.system.wording import counted
from detection.types import Detections
from detection.validation.arguments import check_arguments

if TYPE_CHECKING:
    import supervision


@dataclass(frozen=True)
class Prediction:
    """What was found in one image, the surest first."""

    image: NDArray[np.uint8] = field(repr=False)
    """``(H, W, 3)`` RGB, upright."""
    detections: Detections = field(repr=False)
    """As tensors on the CPU; boxes in the pixels of the image."""
    class_names: Sequence[str] = field(repr=False)
    """Of the detector, in label order."""
    name: str = ""
    """Of the file, below the folder that was given; empty where there is none."""

    @property
    def boxes(self) -> NDArray[np.float32]:
        """``(N, 4)``: x1, y1, x2, y2 in pixels."""
        return np.asarray(self.detections["boxes"].numpy(), np.float32)

    @property
    def scores(self) -> NDArray[np.float32]:
        """``(N,)``, from 0 to 1, falling."""
        return np.asarray(self.detections["scores"].numpy(), np.float32)

    @property
    def labels(self) -> NDArray[np.int64]:
        """``(N,)``, each an index of ``class_names``."""
        return np.asarray(self.detections["labels"].numpy(), np.int64)

    @property
    def classes(self) -> list[str]:
        """The name of the class of each."""
        return [self.class_names[label] for label in self.labels]

    def __len__(self) -> int:
        return len(self.detections["labels"])

    def __repr__(self) -> str:
        by_class = ", ".join(f"{number} {name}" for name, number in Counter(self.classes).most_common())
        found = f"{counted(len(self), 'detection')}, {by_class}" if by_class else "nothing"
        return f"Prediction({self.name or 'image'}: {found})"

    def _repr_png_(self) -> bytes:
        """The picture that a notebook shows."""
        buffer = io.BytesIO()
        Image.fromarray(self.draw()).save(buffer, "PNG")
        return buffer.getvalue()

    def draw(self) -> NDArray[np.uint8]:
        """Paint the boxes: ``(H, W, 3)`` RGB."""
        return draw_detections(self.image, self.detections, self.class_names)

    def show(self) -> None:
        """Open the picture with boxes: in a notebook below the cell, else in the system's viewer."""
        try:
            from IPython.core.getipython import get_ipython
        except ImportError:
            notebook = False
        else:
            notebook = get_ipython() is not None
        if notebook:
            from IPython.display import display

            display(self)  # type: ignore[no-untyped-call]
        elif sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
            raise RuntimeError("There is no screen to show a picture on: write it to a file by save(path).")
        else:
            Image.fromarray(self.draw()).show()

    def save(self, path: str | Path) -> None:
        """Write the picture with boxes; the ending chooses the format, folders are made.

        Args:
            path: of the file.

        Raises:
            OSError: its folder cannot be written to.
            TypeError: it is no path.
            ValueError: its ending is that of no format.
        """
        check_arguments(Prediction.save, {"path": path})
        file = Path(path).expanduser()
        if file.suffix.lower() not in Image.registered_extensions():
            raise ValueError(f"{file}: the ending chooses the format; give one such as .jpg or .png.")
        refuse_unwritable(file.parent, "path")
        save_picture(file, self.image, self.detections, self.class_names)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Plain values: ``class``, ``score`` and ``box`` (x1, y1, x2, y2) of each."""
        return described(self.detections, self.class_names)

    def to_coco(self) -> dict[str, Any]:
        """A COCO document of this image, scores with its annotations, as ``predict save=[coco]`` has it."""
        writer = COCOWriter(self.class_names)
        height, width = self.image.shape[:2]
        boxes, scores, labels = (self.detections[key].tolist() for key in ("boxes", "scores", "labels"))
        writer.add(self.name or "image", (height, width), boxes, labels, scores)
        return writer.document()

    def to_supervision(self) -> "supervision.Detections":
        """``supervision.Detections``, with the names of the classes; needs ``pip install supervision``."""
        try:
            import supervision
        except ImportError as error:
            raise ImportError("to_supervision needs a package: pip install supervision") from error

        return supervision.Detections(
            xyxy=self.boxes,
            confidence=self.scores,
            class_id=self.labels,
            data={"class_name": np.array(self.classes, dtype=str)},
        )
