"""What ``python -m detection.export`` can be asked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Format = Literal["onnx", "torch_export"]
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "torch_export": ".pt2"}


@dataclass(frozen=True)
class Settings:
    """The configuration of ``conf/export.yaml``, whose comments explain each value.

    Raises:
        ValueError: a value is out of its range, or does not go with another.
    """

    ckpt: str
    format: Format = "onnx"
    output: str | None = None
    overwrite: bool = False
    input: Literal["uint8", "float32"] = "uint8"
    images: str | None = None
    num_images: int = 8
    int8: bool = False
    calibration_images: int = 200
    split: Literal["val", "test"] = "val"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_images < 1:
            raise ValueError(f"num_images={self.num_images}: the file is checked on at least one image.")
        if self.calibration_images < 1:
            raise ValueError(f"calibration_images={self.calibration_images}: at least one image.")
        if self.int8 and self.format != "onnx":
            raise ValueError(f"int8=true makes an ONNX file; it does not go with format={self.format}.")

    @property
    def path(self) -> Path:
        """The file to write; beside the checkpoint, or here for a published one, unless ``output`` says."""
        if self.output is not None:
            return Path(self.output).expanduser()
        ckpt = Path(self.ckpt).expanduser()
        published = Path(self.ckpt.partition(":")[0]).name  # <publisher>/<name>:<its file>
        return (ckpt if ckpt.is_file() else Path(published)).with_suffix(SUFFIXES[self.format])

    @property
    def int8_path(self) -> Path:
        """The quantised file, beside the other."""
        return self.path.with_name(f"{self.path.stem}_int8{self.path.suffix}")
