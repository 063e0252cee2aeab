"""Of the commands that use a detector: evaluate, predict, export and serve."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from detection.bounds import Few, Natural, Overlap, Port, Positive, Seconds, Share, Tiles
from detection.settings.base import Settings, check_device

Product = Literal["images", "video", "json", "voc", "coco", "yolo"]
ExportFormat = Literal["onnx", "openvino", "torch_export"]
SUFFIXES: dict[ExportFormat, str] = {"onnx": ".onnx", "openvino": ".xml", "torch_export": ".pt2"}


@dataclass(frozen=True, kw_only=True)
class Evaluate(Settings):
    """Of ``evaluate``.

    Args:
        ckpt: a checkpoint that a training wrote, the folder of its run, best or last of the newest run, or
            a shared detector (a folder, hf://user/name, or wandb://entity/project/name:alias); its classes
            and its input size are used; of two of the same classes, ckpt=[a.ckpt,b.ckpt], a page compares
            both
        split: test, val; or train, without augmentation
        threshold: score threshold of the confusion matrix, the image pictures and the counts of errors;
            by default the one with the best F1
        num_images: so many of the worst and of the best images are shown, and of those with the most errors
            of each kind
        tiles: look at parts of each image beside the whole, for small objects: auto, as large as the
            network's input; the side in pixels, tiles=512; rows and columns, tiles=[2,3]
        overlap: share of a tile's side that it has in common with the next at least, up to 0.9
        flip: true looks at the mirror image, too
        plugins: packages of yours whose registered classes the checkpoint names: plugins=[my_package]
        name: groups reports in runs/<name>/<date>
        seed: of what is drawn
        run_dir: the folder to write, runs/evaluate/<date> by default; a report is not overwritten
    """

    ckpt: str | Sequence[str]
    split: Literal["test", "val", "train"] = "test"
    threshold: Share | None = None
    num_images: Natural = 6
    tiles: Tiles | None = None
    overlap: Overlap = 0.2
    flip: bool = False
    plugins: Sequence[str] = ()
    name: str = "evaluate"
    seed: int = 0
    run_dir: str


@dataclass(frozen=True)
class Predict(Settings):
    """Of ``predict``.

    Args:
        ckpt: a checkpoint that a training wrote, a run's folder, last or best of the newest run, a shared
            detector (a folder, hf://user/name, or wandb://entity/project/name:alias), an exported .onnx or
            .xml, or a published detector
        source: an image; a folder, with its subfolders; a quoted pattern; a video; a webcam's number
        output: the folder to write, runs/predict/<date> by default; one that holds something is refused
        overwrite: true writes into such a folder all the same; files of the same name are replaced
        threshold: lowest score to keep, from 0 to 1
        classes: keep these classes only, such as [dog,cat]
        save: what to write: images, pictures with boxes; video, an MP4 with boxes, of a video or a
            webcam; json, detections.json: class, score and box (xyxy pixels) by image or by frame; voc,
            coco or yolo, a data set of the images with what was found as their annotations, scores
            beside, to correct and to train on
        link: true links to the images of such a set instead of copying them
        uncertain: list so many images that are most worth labelling next, in uncertain.csv, and show
            them in uncertain.html: those in which the detector expects the most mistakes of its own
        track: true follows objects through a video, with a number for each in the picture and in
            detections.json; from threshold on a detection begins a track, fainter ones may continue it
        tiles: look at parts of each image beside the whole, for small objects: auto, as large as the
            network's input; the side in pixels, tiles=512; rows and columns, tiles=[2,3]
        overlap: share of a tile's side that it has in common with the next at least, up to 0.9
        flip: true looks at the mirror image, too
        batch_size: images at a time; with tiles, so many of them of one image
        device: auto (a GPU where there is one), cpu, cuda, or one GPU such as cuda:1
        plugins: packages of yours whose registered classes the checkpoint names: plugins=[my_package]
    """

    ckpt: str
    source: str | int
    output: str | None = None
    overwrite: bool = False
    threshold: Share = 0.5
    classes: Sequence[str] | None = None
    save: Few[Product] = ("images", "video", "json")
    link: bool = False
    uncertain: Natural = 0
    tiles: Tiles | None = None
    overlap: Overlap = 0.2
    flip: bool = False
    track: bool = False
    batch_size: Positive = 8
    device: str = "auto"
    plugins: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_device(self.device)

    @property
    def output_folder(self) -> Path:
        """The folder to write; of now where none is named."""
        return Path(self.output or f"runs/predict/{datetime.now():%Y-%m-%d_%H-%M-%S}").expanduser()


@dataclass(frozen=True)
class Export(Settings):
    """Of ``export``.

    Args:
        ckpt: a checkpoint that a training wrote, a shared detector (a folder, hf://user/name, or
            wandb://entity/project/name:alias), or a published one
        format: onnx; openvino, a .xml with a .bin; torch_export, a .pt2 for torch.export.load
        output: the file to write, by default beside the checkpoint
        overwrite: true replaces an existing file
        input: type of the images, RGB, on the scale 0..255: uint8 or float32
        images: check on these images of yours: a folder, or a quoted pattern; else on those of
            data=..., else on generated ones
        num_images: how many to check on, besides one of plain colour
        int8: true also writes <name>_int8, of ONNX or OpenVINO; needs data=...
        half: true also writes <name>_half, of OpenVINO, with weights in 16 bits; needs data=...
        calibration_images: of the training split, from which int8 learns its ranges
        split: val or test: of data=..., to check and to measure on
        tiles: check and measure on parts of each image beside the whole, merged as predict merges them,
            the file staying the same: auto, as large as the network's input; the side in pixels,
            tiles=512; rows and columns, tiles=[2,3]
        overlap: share of a tile's side that it has in common with the next at least, up to 0.9
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
    half: bool = False
    calibration_images: Positive = 200
    split: Literal["val", "test"] = "val"
    tiles: Tiles | None = None
    overlap: Overlap = 0.2
    plugins: Sequence[str] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.int8 and self.format == "torch_export") or (self.half and self.format != "openvino"):
            key, files = ("half", "an OpenVINO") if self.half else ("int8", "an ONNX or OpenVINO")
            raise ValueError(f"{key}=true makes {files} file; it does not go with format={self.format}.")

    @property
    def path(self) -> Path:
        """The file to write; beside the checkpoint, or here for a published one, unless ``output`` says."""
        if self.output is not None:
            return Path(self.output).expanduser()
        ckpt = Path(self.ckpt).expanduser()
        # hf://<user>/<name>@<revision>, wandb://<...>/<name>:<alias>, or <publisher>/<name>:<its file>
        end = "@" if self.ckpt.startswith("hf://") else ":"
        published = Path(self.ckpt.rpartition("://")[2].partition(end)[0]).name
        return (ckpt if ckpt.is_file() else Path(published)).with_suffix(SUFFIXES[self.format])

    def variant(self, kind: Literal["half", "int8"]) -> Path:
        """The file of 16 or 8 bits, beside the other."""
        return self.path.with_name(f"{self.path.stem}_{kind}{self.path.suffix}")


@dataclass(frozen=True)
class Serve(Settings):
    """Of ``serve``.

    Args:
        ckpt: a checkpoint, a run's folder, last or best of the newest run, an exported .onnx, or a
            published detector
        host: 127.0.0.1, for programs on this machine; 0.0.0.0, or :: for IPv6, for all that reach it
        port: where it listens
        threshold: lowest score to keep, from 0 to 1, of requests that do not say
        classes: keep these classes only, of requests that do not say, such as [dog,cat]
        batch_size: the most images that the network takes at once
        wait: seconds for which the first image of a batch waits for others
        workers: processes with a network each, which share the cores; by default as many as there are
            cores and memory for, and one on a GPU
        timeout: seconds for a request to arrive, and again for its answer
        max_requests: at one time; the next one is refused
        max_megabytes: of a request
        max_megapixels: of an image, once decoded
        device: auto (a GPU where there is one), cpu, cuda, or one GPU such as cuda:1
        plugins: packages of yours whose registered classes the checkpoint names: plugins=[my_package]
    """

    ckpt: str
    host: Literal["127.0.0.1", "0.0.0.0", "::"] = "127.0.0.1"
    port: Port = 8000
    threshold: Share = 0.5
    classes: Sequence[str] | None = None
    batch_size: Positive = 8
    wait: Seconds = 0.005
    workers: Positive | None = None
    timeout: Positive = 30
    max_requests: Positive = 64
    max_megabytes: Positive = 20
    max_megapixels: Positive = 50
    device: str = "auto"
    plugins: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_device(self.device)
