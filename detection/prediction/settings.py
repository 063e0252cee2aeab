"""What ``python -m detection.predict`` can be asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Product = Literal["images", "video", "json", "voc", "coco"]


@dataclass(frozen=True)
class Settings:
    """The configuration of ``conf/predict.yaml``, whose comments explain each value.

    Raises:
        ValueError: a value is out of its range.
    """

    ckpt: str
    source: str | int
    output: str
    overwrite: bool = False
    threshold: float = 0.5
    classes: list[str] | None = None
    save: tuple[Product, ...] = ("images", "video", "json")
    batch_size: int = 8
    device: str = "auto"
    plugins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold={self.threshold:g}: scores, and so the threshold, are from 0 to 1.")
        if self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size}: at least one image at a time.")
        if not self.save:
            raise ValueError("save=[] writes nothing: name some of images, video, json, voc, coco.")
        if self.device not in ("auto", "cpu", "cuda") and not self.device.startswith("cuda:"):
            raise ValueError(f"device={self.device}: choose auto, cpu, cuda, or one GPU such as cuda:1.")

    @property
    def output_folder(self) -> Path:
        """The folder to write."""
        return Path(self.output).expanduser()
