"""Write a trained detector for other runtimes, and check it: ``python -m detection.export --help``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from detection.checkpoints.kept_split import keep_split, kept_split, told_of_evaluation
from detection.checkpoints.loading import inputs_of, load_detector, open_split
from detection.checkpoints.notes import notes
from detection.cli.compose import checked_config, errors_in_a_sentence
from detection.cli.entry import run_with_hints
from detection.cli.faults import quieten_lightning
from detection.cli.hydra_versions import hydra_main, instantiate
from detection.cli.quoting import as_value
from detection.cli.run_lines import next_uses
from detection.settings import SUFFIXES, Export
from detection.sweeps.job import in_sweep
from detection.system.files import refuse_unwritable
from detection.system.wording import counted

if TYPE_CHECKING:
    from detection.data.datamodule import DetectionDataModule
    from detection.exporting.verification import Scene
    from detection.prediction.tiled_inputs import InTiles
    from detection.prediction.trained import TrainedDetector
    from detection.tasks.base import DetectionTask

_VIEWS_CHECKED = 9  # of one image, the whole among them: a large one has hundreds of tiles
# What users of an exported file run it by; it is copied beside the file.
_READER = Path(__file__).with_name("reader.py").read_bytes()


@hydra_main("export")
def main(cfg: DictConfig) -> None:
    """Run as configured."""
    config = checked_config(cfg, Export)
    with errors_in_a_sentence():
        data = config["data"] if "_target_" in config["data"] else None
        export(Export.of(config), data)


def export(settings: Export, data: dict[str, Any] | None) -> None:
    """Write the file, compare it with the network, and keep it if they agree.

    Args:
        settings: what to do.
        data: configuration of a datamodule, or None.

    Raises:
        SystemExit: the file differs from the network; it is renamed.
        ValueError: the settings do not fit each other, the data or the checkpoint.
        OSError: there is no such checkpoint, or a file cannot be written.
    """
    _refuse_mistakes(settings, data)
    refuse_unwritable(settings.path.parent, "output")
    # Heavy imports wait until there is something to do: --help and typing errors answer at once.
    from detection.exporting.writers import require_onnx, require_openvino, write_half

    if settings.format == "onnx":
        require_onnx()
    elif settings.format == "openvino":
        require_openvino(settings.int8)
    quieten_lightning()
    detector = load_detector(settings.ckpt)
    if told := notes(detector.described, settings.ckpt):
        print(told)
    datamodule = _open_data(settings, data, detector) if data else None
    in_tiles = _in_tiles(settings, detector)
    if in_tiles is not None and datamodule is not None:
        datamodule.datasets[settings.split].transform = None  # tiles are cut from whole images
    scenes = _scenes(settings, datamodule, detector, in_tiles)
    _write(settings, detector, scenes)
    if datamodule is not None:
        if settings.half:
            write_half(settings.path, settings.variant("half"))
            print(f"{settings.variant('half')}: weights in 16 bits.")
        if settings.int8:
            _write_int8(settings, datamodule)
        _measure(settings, detector, datamodule, in_tiles)
    if settings.format != "torch_export" and not in_sweep():  # torch runs such a file, and predict does not
        print(next_uses(str(settings.path)))


def _refuse_mistakes(settings: Export, data: dict[str, Any] | None) -> None:
    suffix = SUFFIXES[settings.format]
    if settings.path.suffix != suffix:
        kind = {"onnx": "an ONNX", "openvino": "an OpenVINO", "torch_export": "a torch.export"}
        raise ValueError(f"output={settings.output}: {kind[settings.format]} file ends in {suffix}.")
    for key, purpose in (("int8", "calibrate"), ("half", "measure")):
        if getattr(settings, key) and data is None:
            raise ValueError(
                f"{key}=true needs images to {purpose} on: give the data, such as data=voc_custom "
                "data.root=my/set."
            )
    for path in _files(settings):
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder: name a file, output=...")
        if path.exists() and not settings.overwrite:
            source = Path(settings.ckpt).expanduser()
            older = source.is_file() and path.stat().st_mtime < source.stat().st_mtime
            exists = f"exists{', and is older than the checkpoint' if older else ''}"
            raise FileExistsError(f"{path} {exists}: overwrite=true replaces it, output=... names another.")
    reader = _reader_path(settings)
    if reader is not None and reader.exists() and not settings.overwrite and reader.read_bytes() != _READER:
        raise FileExistsError(f"{reader} is another version of it: overwrite=true replaces it.")


def _files(settings: Export) -> list[Path]:
    """All that is to be written, without the reader."""
    variants = {settings.variant("half"): settings.half, settings.variant("int8"): settings.int8}
    return [settings.path, *(path for path, wanted in variants.items() if wanted)]


def _reader_path(settings: Export) -> Path | None:
    """Where the program goes that runs the file without this package; torch runs its own."""
    return None if settings.format == "torch_export" else settings.path.with_name("detection_reader.py")


def _open_data(
    settings: Export, data: dict[str, Any], detector: "TrainedDetector[DetectionTask]"
) -> "DetectionDataModule":
    datamodule: DetectionDataModule = instantiate(data, **inputs_of(detector.task))
    datamodule.prepare_data()
    kept = keep_split(datamodule, kept_split(detector.task.hparams, settings.ckpt))
    for split in [settings.split, *(["train"] if settings.int8 else [])]:
        open_split(datamodule, split, detector.class_names, settings.ckpt)  # type: ignore[arg-type]
    for told in told_of_evaluation(datamodule, kept, settings.ckpt):
        print(told)
    return datamodule


def _in_tiles(settings: Export, detector: "TrainedDetector[DetectionTask]") -> "InTiles | None":
    from detection.prediction.tiled_inputs import InTiles

    return None if settings.tiles is None else InTiles(detector, settings.tiles, settings.overlap)


def _scenes(
    settings: Export,
    datamodule: "DetectionDataModule | None",
    detector: "TrainedDetector[DetectionTask]",
    in_tiles: "InTiles | None",
) -> "list[Scene]":
    from torch import from_numpy

    from detection.exporting.verification import (
        Scene,
        generated_scenes,
        plain_scene,
        scenes_of_dataset,
        scenes_of_files,
    )

    def prepare(image: Any) -> Any:
        return detector.prepare(image).image

    def whole(image: Any) -> Any:
        return from_numpy(image).permute(2, 0, 1)

    make = prepare if in_tiles is None else whole
    if settings.images is not None:
        found = scenes_of_files(settings.images, settings.num_images, make)
    elif datamodule is not None:
        found = scenes_of_dataset(datamodule.datasets[settings.split], settings.num_images)
    else:
        found = generated_scenes(settings.num_images, settings.seed, make)
    if in_tiles is not None:
        found = [
            Scene(f"{name}, {place}" if place else name, shown)
            for name, image in found
            for place, shown in in_tiles.inputs(image, _VIEWS_CHECKED)
        ]
    return [*found, plain_scene(prepare)]


def _write(settings: Export, detector: "TrainedDetector[DetectionTask]", scenes: "list[Scene]") -> None:
    """Write and check the file; it gets its name only if it is right."""
    from detection.exporting.build import build_program
    from detection.exporting.programs import IN_ONNX, IN_TORCH
    from detection.exporting.runners import open_exported, open_torch
    from detection.exporting.verification import HEADING, agree, row, summary, verify
    from detection.exporting.writers import (
        describe,
        files_of,
        rename,
        write_onnx,
        write_openvino,
        write_torch,
    )

    primitives, write, load = {
        "onnx": (IN_ONNX, write_onnx, open_exported),
        "openvino": (IN_ONNX, write_openvino, open_exported),
        "torch_export": (IN_TORCH, write_torch, open_torch),
    }[settings.format]
    print(f"Exporting {settings.ckpt}: a minute or so.", flush=True)
    program = build_program(detector.task, primitives, settings.input)
    settings.path.parent.mkdir(parents=True, exist_ok=True)
    unverified = settings.path.with_name(f"{settings.path.stem}.unverified{settings.path.suffix}")
    resizing = detector.transform.resizing
    described = describe(detector.task, resizing, settings.ckpt, settings.input, program.outputs)
    try:
        write(program, unverified, described)
        run = load(unverified)
        results = []
        print(HEADING)
        for result in verify(detector.task, run, scenes):
            results.append(result)
            print(row(result), flush=True)
    except BaseException:  # Ctrl-C, a full disk: nobody needs what nobody has compared
        for path in files_of(unverified):
            path.unlink(missing_ok=True)
        raise
    if not agree(results):
        rename(unverified, settings.path, ".rejected")
        raise SystemExit(
            f"The exported file does not find what the checkpoint finds ({summary(results)}); allowed are "
            f"0.1 px and 0.001. It is kept as {settings.path}.rejected, to look into; do not use it."
        )
    rename(unverified, settings.path)
    _write_reader(settings)
    print(f"{settings.path} finds the same as the checkpoint: {summary(results)}.")


def _write_reader(settings: Export) -> None:
    reader = _reader_path(settings)
    if reader is not None:
        reader.write_bytes(_READER)
        print(f'{reader} runs it without this package: Reader("{settings.path.name}")(image).')


def _write_int8(settings: Export, datamodule: "DetectionDataModule") -> None:
    from detection.exporting.int8 import quantise_onnx, quantise_openvino
    from detection.exporting.verification import spread

    train = datamodule.datasets["train"]
    rows = spread(settings.calibration_images, len(train))
    images = (train[row].image for row in rows)
    quantise = quantise_onnx if settings.format == "onnx" else quantise_openvino
    layers = quantise(settings.path, settings.variant("int8"), images, len(rows))
    print(
        f"{settings.variant('int8')}: {counted(layers, 'layer')} in eight bits, ranges from "
        f"{counted(len(rows), 'training image')}."
    )


def _measure(
    settings: Export,
    detector: "TrainedDetector[DetectionTask]",
    datamodule: "DetectionDataModule",
    in_tiles: "InTiles | None",
) -> None:
    from detection.exporting.measurement import losses, measure, table

    evaluated = datamodule.datasets[settings.split]
    print(f"Measuring on {settings.split}, {counted(len(evaluated), 'image')}.", flush=True)
    rows = measure(detector.task, detector.collate, _files(settings), evaluated, in_tiles)
    views = f"tiles={as_value(settings.tiles)} overlap={settings.overlap:g}"
    tiled = "" if in_tiles is None else f" of an image with its tiles ({views}), resizing included,"
    print(f"On {settings.split}, {counted(len(evaluated), 'image')}; times{tiled} on one core:")
    print(*table(rows), sep="\n")
    half = " or half=true" if settings.format == "openvino" else ""
    images = settings.calibration_images
    more = f", or give eight bits more images to learn, calibration_images={2 * images}"
    all_used = images >= len(datamodule.datasets.get("train", ()))
    for name, points in losses(rows).items():
        loss = f"{name} loses {points:.1f} points of mAP against float32"
        print(f"{loss}: take {settings.path.name}{half}{'' if all_used else more}.")


if __name__ == "__main__":
    run_with_hints(main, "export")
