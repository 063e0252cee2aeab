"""One COCO annotation file for many images."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class COCOWriter:
    """Collects images and their objects, then writes them as one JSON file.

    Images, annotations and categories are numbered from 1, categories in the order of the labels.

    Args:
        class_names: name of each class.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.categories = [{"id": number, "name": name} for number, name in enumerate(class_names, 1)]

    def add(
        self,
        image_name: str,
        size: tuple[int, int],
        boxes: Sequence[Sequence[float]],
        labels: Sequence[int],
        scores: Sequence[float] | None = None,
        crowd: Sequence[bool] | None = None,
        areas: Sequence[float | None] | None = None,
    ) -> None:
        """Adds one image.

        Args:
            image_name: file name of the image, relative to the folder of the images.
            size: ``(height, width)`` of the image.
            boxes: ``xyxy`` in pixels.
            labels: class of each box, ``0..C-1``.
            scores: written as ``score`` where given, for detections.
            crowd: written as ``iscrowd``; 0 where not given.
            areas: in pixels; that of the box where not given, or None.
        """
        image_id = len(self.images) + 1
        self.images.append({"id": image_id, "file_name": image_name, "width": size[1], "height": size[0]})
        for number, (box, label) in enumerate(zip(boxes, labels, strict=True)):
            x1, y1, x2, y2 = map(float, box)
            area = areas[number] if areas is not None else None
            annotation = {
                "id": len(self.annotations) + 1,
                "image_id": image_id,
                "category_id": self.categories[label]["id"],
                "bbox": [round(value, 4) for value in (x1, y1, x2 - x1, y2 - y1)],
                "area": round((x2 - x1) * (y2 - y1), 4) if area is None else area,
                "iscrowd": int(crowd is not None and crowd[number]),
            }
            if scores is not None:
                annotation["score"] = float(scores[number])
            self.annotations.append(annotation)

    def document(self) -> dict[str, Any]:
        """What the file holds."""
        return {"images": self.images, "annotations": self.annotations, "categories": self.categories}

    def write(self, path: Path) -> None:
        """Writes the file."""
        path.write_text(json.dumps(self.document(), ensure_ascii=False), encoding="utf-8")
