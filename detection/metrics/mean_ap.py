"""Mean average precision by VOC's and by COCO's rules, as torchmetrics metrics."""

from typing import Any, Literal

import torch
from torch import Tensor

from detection.metrics.coco_ap import coco_ap_of_tables, import_engine
from detection.metrics.image_metric import ImageMetric
from detection.metrics.voc_ap import voc_ap

Interpolation = Literal["07", "area"]
"""How average precision is summed: at 11 recall levels (VOC 2007), or as an area (VOC 2010 on)."""


class VOCMeanAP(ImageMetric):
    """Mean average precision with the rules of the PASCAL VOC devkit (see ``voc_ap``).

    Equal scores rank in an order that depends on the image ids alone.

    Args:
        num_classes: ``C``, without background.
        interpolation: Which average ``map`` and ``ap`` report: ``"07"`` (11 recall levels, VOC2007) or
            ``"area"`` (VOC2010 and later).
        iou_threshold: A detection is a true positive from this overlap on.
        **kwargs: Passed to ``torchmetrics.Metric``.

    Raises:
        ValueError: If ``interpolation`` is neither.
    """

    def __init__(
        self,
        num_classes: int,
        interpolation: Interpolation = "07",
        iou_threshold: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, **kwargs)
        if interpolation not in ("07", "area"):
            raise ValueError(f"interpolation must be '07' or 'area', got {interpolation!r}")
        self.interpolation = interpolation
        self.iou_threshold = iou_threshold

    def compute(self) -> dict[str, Tensor]:
        """Evaluate all images seen by all processes.

        Returns:
            ``map`` and ``ap`` ``(C,)`` by the chosen interpolation, ``map_07`` and ``map_area``. A class
            without objects to find is nan and left out of the means; nan without any such class.
        """
        result = voc_ap(*self.tables(), self.num_classes, self.iou_threshold)
        by_07 = self.interpolation == "07"
        return {
            "map": self._tensor(result.map_07 if by_07 else result.map_area),
            "map_07": self._tensor(result.map_07),
            "map_area": self._tensor(result.map_area),
            "ap": self._tensor(result.ap_07 if by_07 else result.ap_area),
        }

    def _tensor(self, value: Any) -> Tensor:
        return torch.as_tensor(value, dtype=torch.float32, device=self.device)


class COCOMeanAP(ImageMetric):
    """COCO average precision of the images seen by all processes (see ``coco_ap_of_tables``).

    Args:
        num_classes: ``C``, without background.
        **kwargs: Passed to ``torchmetrics.Metric``.

    Raises:
        ImportError: If the optional dependency is missing; now, not after hours of training.
    """

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(num_classes, **kwargs)
        import_engine()

    def compute(self) -> dict[str, Tensor]:
        """Evaluate all images.

        Returns:
            What ``coco_ap_of_tables`` returns.
        """
        return coco_ap_of_tables(*self.tables(), self.num_classes)
