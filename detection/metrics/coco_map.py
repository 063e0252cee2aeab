"""COCO mean average precision as a torchmetrics metric."""

from typing import Any

from torch import Tensor

from detection.metrics.coco_ap import coco_ap_of_tables, import_engine
from detection.metrics.image_metric import ImageMetric


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
