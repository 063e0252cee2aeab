"""Of the command that changes the format of a data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from detection.bounds import Division
from detection.settings.base import Settings


@dataclass(frozen=True)
class Convert(Settings):
    """Of ``convert``.

    Args:
        from_: voc, coco or yolo; auto: look which
        to: voc, coco or yolo
        root: the set to read: what data.root is for its format
        out: a new folder
        splits: all that the set lists; or some, [train,val]; for VOC also
            [[2007,trainval],[2012,trainval]]; one name, one split
        split: or: divide into train, val and test, [0.8,0.1,0.1], as a training would
        seed: of that division
        classes: all; or a list, [cat,dog]
        other_classes: error; or skip, which leaves out objects of classes that are not listed
        link: true links to the images instead of copying them
        coco_images: where a COCO set that is read keeps the images of a split, relative to root
        coco_annotations: and its annotation file
    """

    from_: Literal["voc", "coco", "yolo", "auto"]
    to: Literal["voc", "coco", "yolo"]
    root: str
    out: str
    splits: Sequence[str | int | Sequence[str | int]] | None = None
    split: Division | None = None
    seed: int = 233
    classes: Sequence[str] | None = None
    other_classes: Literal["error", "skip"] = "error"
    link: bool = False
    coco_images: str = "{split}2017"
    coco_annotations: str = "annotations/instances_{split}2017.json"
