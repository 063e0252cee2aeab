"""What programs call: a detector opened by a path, and what it finds in anything that holds images."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import detection

CLASSES = ["circle", "square", "star"]
THRESHOLD = 0.3  # an untrained detector believes a little in everything
Photo = NDArray[np.uint8]


@pytest.fixture(scope="module")
def checkpoint(
    write_checkpoint: Callable[[Path, str, list[str]], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("api"), "quickstart", CLASSES)


@pytest.fixture(scope="module")
def detector(checkpoint: Path) -> detection.Detector:
    return detection.load(checkpoint)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs of different sizes, one of them in a subfolder."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "b").mkdir()
    for name, (height, width), seed in (("b/second.png", (60, 90), 1), ("first.png", (80, 50), 0)):
        small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(folder / name)
    return folder


def same(found: detection.Prediction, other: detection.Prediction) -> bool:
    pairs = ((getattr(found, key), getattr(other, key)) for key in ("image", "boxes", "scores", "labels"))
    return all(np.array_equal(one, two) for one, two in pairs)


def alike(found: detection.Prediction, other: detection.Prediction) -> bool:
    """The same but for rounding: a CPU may add up a batch of two in another order than one image."""
    equal = all(np.array_equal(getattr(found, key), getattr(other, key)) for key in ("image", "labels"))
    pairs = ((getattr(found, key), getattr(other, key)) for key in ("boxes", "scores"))
    return equal and all(np.allclose(one, two, rtol=2e-6, atol=2e-6) for one, two in pairs)


def test_importing_the_package_is_quick_and_imports_nothing() -> None:
    code = (
        "import sys, detection; print(len({m.partition('.')[0] for m in sys.modules} & {'torch', 'numpy'}))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "0\n"
    assert set(detection.__all__) <= set(dir(detection))
    assert detection.__version__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        detection.nonsense  # noqa: B018


def test_an_image_is_the_same_as_file_array_tensor_and_picture(
    detector: detection.Detector, photos: Path
) -> None:
    path = photos / "first.png"
    found = detector.predict(path, threshold=THRESHOLD)
    assert len(found) > 0
    assert found.name == "first.png"
    picture = Image.open(path)
    pixels = np.asarray(picture)
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    for source in (pixels, tensor, picture):
        assert same(detector.predict(source, threshold=THRESHOLD), found)
    grey = np.asarray(picture.convert("L"))
    assert same(
        detector.predict(grey, threshold=THRESHOLD),
        detector.predict(np.stack([grey] * 3, axis=2), threshold=THRESHOLD),
    )


def test_a_turned_photograph_is_upright_however_it_is_given(
    detector: detection.Detector, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    found = detector.predict(tmp_path / "turned.png", threshold=THRESHOLD)
    assert found.image.shape == (60, 40, 3)
    assert same(detector.predict(Image.open(tmp_path / "turned.png"), threshold=THRESHOLD), found)


def test_lists_folders_and_patterns_give_lists(detector: detection.Detector, photos: Path) -> None:
    singly = [detector.predict(photos / name, threshold=THRESHOLD) for name in ("b/second.png", "first.png")]
    together = detector.predict([one.image for one in singly], threshold=THRESHOLD)
    for source in (photos, str(photos), f"{photos}/**/*.png"):
        found = detector.predict(source, threshold=THRESHOLD)
        assert [one.name for one in found] == ["b/second.png", "first.png"]
        assert all(same(one, other) for one, other in zip(found, together, strict=True))
        assert all(alike(one, other) for one, other in zip(found, singly, strict=True))
        one_by_one = detector.predict(source, threshold=THRESHOLD, batch_size=1)
        assert all(same(one, other) for one, other in zip(one_by_one, singly, strict=True))
    mixed = detector.predict([photos / "b/second.png", singly[1].image], threshold=THRESHOLD, batch_size=1)
    assert [len(one) for one in mixed] == [len(one) for one in singly]
    assert detector.predict([], threshold=THRESHOLD) == []


def test_what_cannot_be_read_in_a_folder_is_left_out_with_a_warning(
    detector: detection.Detector, photos: Path, tmp_path: Path
) -> None:
    shutil.copy(photos / "first.png", tmp_path / "b.png")
    (tmp_path / "a.png").write_bytes((photos / "first.png").read_bytes()[:200])
    with pytest.warns(UserWarning, match=r"1 of 2 images cannot be read: .*a\.png"):
        found = detector.predict(tmp_path)
    assert [one.name for one in found] == ["b.png"]
    (tmp_path / "b.png").unlink()
    with pytest.raises(ValueError, match="None of 1 image can be read"):
        detector.predict(tmp_path)


def test_numbers_of_numpy_are_numbers(detector: detection.Detector) -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    given: Any = {
        "batch_size": np.int32(2),
        "tiles": np.int64(64),
        "overlap": np.float32(0.25),
        "threshold": np.float64(THRESHOLD),
    }
    with_numpy = detector.predict(image, **given)
    assert same(
        with_numpy, detector.predict(image, tiles=64, overlap=0.25, threshold=THRESHOLD, batch_size=2)
    )
    grid: Any = list(np.array([1, 2]))
    assert len(detector.predict(image, tiles=grid, threshold=THRESHOLD).boxes)


def test_a_detector_predicts_not_the_package() -> None:
    with pytest.raises(AttributeError, match=r"'predict'.*detection\.load\(\.\.\.\)\.predict"):
        detection.__getattr__("predict")


def test_a_video_is_read_as_it_is_asked(detector: detection.Detector, tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "film.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for grey in range(0, 250, 50):
        writer.write(np.full((48, 64, 3), grey, np.uint8))
    writer.release()
    frames = detector.predict(tmp_path / "film.avi", threshold=THRESHOLD, batch_size=2)
    assert isinstance(frames, Iterator)
    assert [round(frame.image.mean(), -1) for frame in frames] == [0, 50, 100, 150, 200]


def test_threshold_and_classes_choose(detector: detection.Detector, photos: Path) -> None:
    every = detector.predict(photos / "first.png", threshold=0)
    assert (np.diff(every.scores) <= 0).all()
    limit = float(every.scores[len(every) // 2])
    assert len(detector.predict(photos / "first.png", threshold=limit)) == (every.scores >= limit).sum()
    stars = detector.predict(photos / "first.png", threshold=0, classes="star")
    assert set(stars.classes) == {"star"}
    assert len(stars) == every.classes.count("star")


def test_the_folder_of_a_run_is_an_argument_of_its_own() -> None:
    with pytest.raises(ValueError, match="run_dir is an argument of its own, run_dir='mine'"):
        detection.train("quickstart", overrides=["run_dir=mine"])


def test_a_set_of_classes_is_a_choice_as_a_list_is(detector: detection.Detector, photos: Path) -> None:
    listed = detector.predict(photos / "first.png", THRESHOLD, classes=["star", "circle"])
    choices: list[Any] = [{"star", "circle"}, frozenset({"star", "circle"}), ("star", "circle")]
    for classes in choices:
        assert same(detector.predict(photos / "first.png", THRESHOLD, classes=classes), listed)
    with pytest.raises(
        TypeError, match=r"callbacks=\{'ema'\}: a set has no order: give a list, such as \['ema'\]"
    ):
        detection.train("quickstart", callbacks={"ema"})  # type: ignore[arg-type]


def test_last_and_best_are_those_of_the_newest_run(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"^last: .*, and no runs/\*/\*/checkpoints/last\.ckpt\.$"):
        detection.load("last")
    kept = tmp_path / "runs/quickstart/now/checkpoints/last.ckpt"
    kept.parent.mkdir(parents=True)
    shutil.copy(checkpoint, kept)
    opened = detection.load("last", torch.device("cpu:0"))
    assert opened.class_names == CLASSES


def test_a_prediction_is_drawn_saved_and_told(
    detector: detection.Detector, photos: Path, tmp_path: Path
) -> None:
    found = detector.predict(photos / "first.png", threshold=THRESHOLD)
    found.save(tmp_path / "new/out.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "new/out.png")), found.draw())
    assert not np.array_equal(found.draw(), found.image)
    assert found._repr_png_().startswith(b"\x89PNG")
    document = json.loads(json.dumps(found.to_coco()))
    assert [row["name"] for row in document["categories"]] == CLASSES
    assert document["images"] == [{"id": 1, "file_name": "first.png", "width": 50, "height": 80}]
    first, (x1, y1, x2, y2) = document["annotations"][0], found.boxes[0].tolist()
    assert first["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1], abs=1e-3)
    assert first["category_id"] == found.labels[0] + 1
    assert found.to_dicts()[0]["class"] == found.classes[0]
    most = max(CLASSES, key=found.classes.count)
    head = f"Prediction(first.png: {len(found)} detections, {found.classes.count(most)} {most}, "
    assert repr(found).startswith(head)
    assert repr(detector.predict(photos / "first.png", threshold=1)) == "Prediction(first.png: nothing)"


def test_a_picture_is_not_saved_below_a_file(
    detector: detection.Detector, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"is a file\): name another, path="):
        detector.predict(photos / "first.png").save(tmp_path / "file/out.png")


def test_a_detector_finds_the_same_after_somebody_has_trained_it(
    detector: detection.Detector, photos: Path
) -> None:
    found = detector.predict(photos / "first.png", threshold=THRESHOLD)
    detector.task.network.train()  # type: ignore[attr-defined]
    assert np.array_equal(detector.predict(photos / "first.png", threshold=THRESHOLD).boxes, found.boxes)


def test_a_detector_says_what_it_is(detector: detection.Detector) -> None:
    assert repr(detector) == (
        "Detector(SSD on Tiny, 3 classes (circle, square, star), input 128 x 128 pixels)"
    )


def test_supervision_gets_the_same_boxes(detector: detection.Detector, photos: Path) -> None:
    pytest.importorskip("supervision")
    found = detector.predict(photos / "first.png", threshold=THRESHOLD)
    theirs = found.to_supervision()
    assert np.array_equal(theirs.xyxy, found.boxes)
    assert theirs.data["class_name"].tolist() == found.classes


def test_a_runs_folder_stands_for_its_best_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    shutil.copy(checkpoint, tmp_path / "run/checkpoints/best.ckpt")
    assert detection.load(tmp_path / "run").class_names == CLASSES
    with pytest.raises(FileNotFoundError, match=r"has no checkpoints/best\.ckpt"):
        detection.load(tmp_path)


def test_mistakes_raise_a_sentence(detector: detection.Detector, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        detection.load(tmp_path / "nothing.ckpt")
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        detection.load("best.onnx")
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(ValueError, match=r"text\.onnx is damaged, or no ONNX file"):
        detection.load(tmp_path / "text.onnx")
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        detector.predict(tmp_path / "nothing.jpg")
    with pytest.raises(ValueError, match=r"text\.png"):
        detector.predict(tmp_path / "text.png")
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 5\).*\(3, H, W\) RGB in 8 bits, uint8; of several"):
        detector.predict(torch.zeros(2, 3, 4, 5))
    with pytest.raises(ValueError, match=r"\(8, 9, 3\) and type float64: give \(H, W, 3\)"):
        detector.predict(np.zeros((8, 9, 3)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"does not know 'stra'.*Did you mean star"):
        detector.predict(np.zeros((8, 9, 3), np.uint8), classes="stra")
    with pytest.raises(ValueError, match=r"overlap=0\.3: tiles have it"):
        detector.predict(np.zeros((8, 9, 3), np.uint8), overlap=0.3)
    with pytest.raises(ValueError, match="classes is empty"):
        detector.predict(np.zeros((8, 9, 3), np.uint8), classes=[])
    with pytest.raises(ValueError, match="source is empty"):
        detector.predict("")
    aliens: list[Any] = [[None], [5], [["photo.jpg"]]]
    for other in aliens:
        with pytest.raises(TypeError, match=r"An image is a .*: give a path, an array, a tensor"):
            detector.predict(other)
    others: list[Any] = [None, b"photo", {"a": 1}, iter([])]
    for other in others:
        with pytest.raises(TypeError, match=r"source is a .*: give a path"):
            detector.predict(other)
    with pytest.raises(ValueError, match="without pixels"):
        detector.predict(Image.new("RGB", (0, 0)))
    with pytest.raises(ValueError, match=r"out\.xyz: the ending chooses the format"):
        detector.predict(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / "out.xyz")
    for wrong in ({"threshold": 2.0}, {"batch_size": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            detector.predict(np.zeros((8, 9, 3), np.uint8), **wrong)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("threshold", "a", "threshold='a': give a number from 0 to 1."),
        ("threshold", None, "threshold=None: give a number from 0 to 1."),
        ("classes", [5], r"classes=\[5\]: give a word or None or a list of words, such as \['a', 'b'\]"),
        ("batch_size", 1.5, "batch_size=1.5: give a whole number of at least 1."),
        ("overlap", "a", "overlap='a': give a number from 0 to 0.9"),
        ("flip", "yes", "flip='yes': give True or False."),
        ("conf", 0.5, r"conf=0\.5: predict has no such argument; it is threshold=0\.5 here\.$"),
        ("batch", 4, "it is batch_size=4 here"),
        ("iou", 0.5, "the overlap of suppression is set in training, model.nms_threshold=..."),
        ("imgsz", 320, "the checkpoint decides it"),
        ("save", True, r"each prediction has save\(path\)"),
        ("device", "cpu", r"detection\.load\(..., device=...\)"),
        ("treshold", 0.3, "did you mean 'threshold'"),
        ("zzz", 1, "it has source, threshold, classes, "),
    ],
)
def test_what_predict_does_not_take_raises_what_to_give(
    detector: detection.Detector, name: str, value: Any, told: str
) -> None:
    choice: dict[str, Any] = {name: value}
    with pytest.raises(TypeError, match=told):
        detector.predict(np.zeros((8, 9, 3), np.uint8), **choice)


@pytest.mark.parametrize(
    ("verb", "choice", "told"),
    [
        (
            "train",
            {"epochs": 3},
            r"epochs=3: train has .*; it is overrides=\['trainer.max_epochs=3'\] here\.$",
        ),
        ("train", {"optimiser": "sgd"}, "did you mean 'optimizer'"),
        ("train", {"patience": 3}, "callbacks.early_stopping.patience="),
        ("train", {"zzz": 1}, r"it has experiment, .* Settings of the command go into overrides=\["),
        ("evaluate", {"weights": "a.ckpt"}, r"it is ckpt='a\.ckpt' here"),
        ("train", {"lr": 0.5}, r"it is overrides=\['optimizer.lr=0.5'\] here"),
        ("load", {"model": "a.ckpt"}, r"it is source='a\.ckpt' here"),
        ("load", {"source": "a.ckpt", "conf": 0.5}, r"predict\(..., threshold=...\) has it"),
        ("check", {"path": "my set"}, r"overrides=\['data.root=my set'\]"),
    ],
)
def test_what_a_command_does_not_take_raises_what_to_give(
    verb: str, choice: dict[str, Any], told: str
) -> None:
    with pytest.raises(TypeError, match=told):
        getattr(detection, verb)(**choice)


def test_calling_a_detector_takes_a_list_of_arrays(detector: detection.Detector) -> None:
    others: list[Any] = ["photo.jpg", None, np.zeros((8, 9, 3), np.uint8), ["photo.jpg"]]
    for other in others:
        with pytest.raises(TypeError, match=r"images is a .*: give a list of arrays .* predict takes"):
            detector(other)
    wrong: list[Any] = [np.zeros((8, 9, 3))]
    with pytest.raises(ValueError, match=r"\(8, 9, 3\) and type float64: give"):
        detector(wrong)
    assert detector([]) == []


def test_opening_what_is_no_path_raises_a_sentence(checkpoint: Path) -> None:
    others: list[Any] = [None, 5, [], b"best.ckpt"]
    for other in others:
        with pytest.raises(TypeError, match=r"source=.*: give a word or a path"):
            detection.load(other)
    with pytest.raises(ValueError, match="source is empty: give a checkpoint"):
        detection.load("")
    for device in ("gpu", "cuda:x"):
        with pytest.raises(ValueError, match=f"device={device}: choose auto, cpu, cuda, or one GPU"):
            detection.load(checkpoint, device)
    model: Any = None
    with pytest.raises(TypeError, match="name=None: give a word"):
        detection.get_model(model)
