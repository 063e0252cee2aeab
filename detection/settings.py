"""What each command can be asked for: its own keys, their types, defaults and meanings.

This page is where a key is documented: ``--help`` is made from it, and what is typed is compared with it.
Hydra reads the same defaults from ``conf/<command>.yaml``. Data, model, trainer and so on are groups of
``conf``; the constructors that they name document their keys.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

from detection.bounds import Division, Few, Least, Natural, Positive, Share

Product = Literal["images", "video", "json", "voc", "coco"]
ExportFormat = Literal["onnx", "torch_export"]
SUFFIXES: dict[ExportFormat, str] = {"onnx": ".onnx", "torch_export": ".pt2"}


@dataclass(frozen=True)
class Settings:
    """What all commands have in common."""

    @classmethod
    def keys(cls) -> list[str]:
        """The keys of the command, in the order of the fields."""
        return [key_of(field.name) for field in fields(cls)]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Self:
        """Take a command's own keys out of its configuration.

        Args:
            config: the whole configuration, checked.

        Raises:
            ValueError: a value does not go with another.
        """
        return cls(**{field.name: config[key_of(field.name)] for field in fields(cls)})


@dataclass(frozen=True, kw_only=True)
class Train(Settings):
    """Of ``train``, and of what chooses data and model by the same words.

    Args:
        name: groups runs in runs/<name>/<date>; the model's name by default
        seed: of weights, sampling and augmentation
        ckpt: resume a run: last, best, a checkpoint, or a run's folder
        init_from: start from the weights of a checkpoint or of a run (its best one), other classes
            welcome; or of a published detector, such as tensorflow/ssd_mobilenet_v2_coco
        init_reuse: {new class: old class}: with init_from, classes to take from one of another name
        find: look for a setting instead of training: lr, or batch_size (of a device)
        plugins: packages of yours that register classes: plugins=[my_package]
        optimized_metric: what a sweep compares; a choice made by test/map would spoil the test
        optimized_direction: maximize; or minimize, as for val/loss
        run_dir: the folder of the run, runs/<name>/<date> by default
    """

    name: str
    seed: int = 233
    ckpt: str | None = None
    init_from: str | None = None
    init_reuse: dict[str, str] | None = None
    find: Literal["lr", "batch_size"] | None = None
    plugins: Sequence[str] = ()
    optimized_metric: str = "val/map"
    optimized_direction: Literal["maximize", "minimize"] = "maximize"
    run_dir: str


@dataclass(frozen=True, kw_only=True)
class Check(Train):
    """Of ``check``, beside those of ``train``.

    Args:
        min_side: boxes with a side below so many pixels of the file are reported
        workers: threads that decode images
        fail_on: the exit code is 1 where there are errors; with warning, errors or warnings; else 0
        fix: true writes a copy that training takes, in VOC's layout whatever was read, to output, and
            lists what it left out in changes.txt
        output: the folder of that copy, which must not exist yet
        run_dir: the folder to write, runs/check/<date> by default: report.html, one page with pictures
            of what is wrong, classes per split, box sizes and anchors, near-duplicates and the most
            unusual images; report.json with all findings; report.png with the figures
    """

    min_side: Least = 4
    workers: Positive = 4
    fail_on: Literal["error", "warning"] = "error"
    fix: bool = False
    output: str | None = None

    def __post_init__(self) -> None:
        if self.fix and self.output is None:
            raise ValueError("fix=true needs a folder to write the corrected copy to: output=...")
        if self.output is not None and not self.fix:
            raise ValueError(
                f"output={self.output} is for the corrected copy: add fix=true; the report goes to run_dir"
            )
        if self.output_folder is not None and self.output_folder.exists():
            raise ValueError(f"output={self.output_folder} exists already: choose another folder")

    @property
    def output_folder(self) -> Path | None:
        """Where the corrected copy goes; None where none is asked for."""
        return Path(self.output).expanduser() if self.output is not None else None


@dataclass(frozen=True, kw_only=True)
class Benchmark(Train):
    """Of ``benchmark``, beside those of ``train``.

    Args:
        warmup: batches before the clock starts
        batches: batches that count, of each measurement
        run_dir: the folder to write, runs/benchmark/<date> by default: benchmark.json
    """

    warmup: Positive = 5
    batches: Positive = 20


@dataclass(frozen=True, kw_only=True)
class Evaluate(Settings):
    """Of ``evaluate``.

    Args:
        ckpt: a checkpoint that a training wrote; its classes and its input size are used; of two of the
            same classes, ckpt=[a.ckpt,b.ckpt], a page compares both
        split: test, val; or train, without augmentation
        threshold: score threshold of the confusion matrix, the image pictures and the counts of errors;
            by default the one with the best F1
        num_images: so many of the worst and of the best images are shown, and of those with the most errors
            of each kind
        plugins: packages of yours whose registered classes the checkpoint names: plugins=[my_package]
        name: groups reports in runs/<name>/<date>
        seed: of what is drawn
        run_dir: the folder to write, runs/evaluate/<date> by default; a report is not overwritten
    """

    ckpt: str | Sequence[str]
    split: Literal["test", "val", "train"] = "test"
    threshold: Share | None = None
    num_images: Natural = 6
    plugins: Sequence[str] = ()
    name: str = "evaluate"
    seed: int = 0
    run_dir: str


@dataclass(frozen=True)
class Predict(Settings):
    """Of ``predict``.

    Args:
        ckpt: a checkpoint that a training wrote, a run's folder, last or best of the newest run, or a
            published detector
        source: an image; a folder, with its subfolders; a quoted pattern; a video; a webcam's number
        output: the folder to write, runs/predict/<date> by default; one that holds something is refused
        overwrite: true writes into such a folder all the same; files of the same name are replaced
        threshold: lowest score to keep, from 0 to 1
        classes: keep these classes only, such as [dog,cat]
        save: what to write: images, pictures with boxes; video, an MP4 with boxes, of a video or a
            webcam; json, detections.json: class, score and box (xyxy pixels) by image or by frame; voc,
            an XML file for each image, in the pixels as stored; coco, coco.json
        batch_size: images at a time
        device: auto (a GPU where there is one), cpu, cuda, or one GPU such as cuda:1
        plugins: packages of yours whose registered classes the checkpoint names: plugins=[my_package]
    """

    ckpt: str
    source: str | int
    output: str
    overwrite: bool = False
    threshold: Share = 0.5
    classes: Sequence[str] | None = None
    save: Few[Product] = ("images", "video", "json")
    batch_size: Positive = 8
    device: str = "auto"
    plugins: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu", "cuda") and not self.device.startswith("cuda:"):
            raise ValueError(f"device={self.device}: choose auto, cpu, cuda, or one GPU such as cuda:1.")

    @property
    def output_folder(self) -> Path:
        """The folder to write."""
        return Path(self.output).expanduser()


@dataclass(frozen=True)
class Export(Settings):
    """Of ``export``.

    Args:
        ckpt: a checkpoint that a training wrote, or a published detector
        format: onnx; or torch_export, a .pt2 for torch.export.load
        output: the file to write, by default beside the checkpoint
        overwrite: true replaces an existing file
        input: type of the images, RGB, on the scale 0..255: uint8 or float32
        images: check on these images of yours: a folder, or a quoted pattern; else on those of
            data=..., else on generated ones
        num_images: how many to check on, besides one of plain colour
        int8: true also writes <name>_int8.onnx, with sizes, mAP and times of both; needs data=...
        calibration_images: of the training split, from which int8 learns its ranges
        split: val or test: of data=..., to check and to measure on
        plugins: packages of yours whose registered classes the checkpoint names: plugins=[my_package]
        seed: of generated images
    """

    ckpt: str
    format: ExportFormat = "onnx"
    output: str | None = None
    overwrite: bool = False
    input: Literal["uint8", "float32"] = "uint8"
    images: str | None = None
    num_images: Positive = 8
    int8: bool = False
    calibration_images: Positive = 200
    split: Literal["val", "test"] = "val"
    plugins: Sequence[str] = ()
    seed: int = 0

    def __post_init__(self) -> None:
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


@dataclass(frozen=True)
class Convert(Settings):
    """Of ``convert``.

    Args:
        from_: voc, coco or yolo; auto: look which
        to: voc, coco or yolo
        root: the set to read: what data.root is for its format
        out: a new folder
        splits: train, and val if it is there; or [train,val,test]; for VOC also
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


@dataclass(frozen=True)
class ScaleRule:
    """What of ``optimizer`` is not the optimizer's: whether its learning rate is scaled to the batch.

    Args:
        scale_lr: whether ``optimizer.lr`` is that of ``base_batch_size`` images per step
        base_batch_size: see there
    """

    scale_lr: bool
    base_batch_size: Positive


def key_of(field: str) -> str:
    """The key of a field: ``from`` of ``from_``, which Python keeps for itself."""
    return field.rstrip("_")
