"""``python -m detection.predict`` as its user meets it: real files in, files out."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree.ElementTree import parse

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import detection
from detection.data.conversion import convert
from detection.predict import predict
from detection.settings import Predict
from tests.prediction.videos import make_video
from tests.warm_python import warm_python

ROOT = Path(__file__).parent.parent
command: Any = import_module("detection.predict")
CLASSES = ["circle", "square", "star"]
THRESHOLD = 0.3  # an untrained detector believes a little in everything


def start(*arguments: str, cwd: Path = ROOT) -> "subprocess.Popen[str]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [*warm_python(), "-m", "detection.predict", *arguments]
    return subprocess.Popen(
        command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def run(*arguments: str, cwd: Path = ROOT) -> tuple[int, str, str]:
    with start(*arguments, cwd=cwd) as process:
        out, err = process.communicate(timeout=240)
        return process.returncode, out, err


@pytest.fixture(scope="module")
def ssd(
    write_checkpoint: Callable[[Path, str, list[str]], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("ssd"), "quickstart", CLASSES)


@pytest.fixture(scope="module")
def faster_rcnn(
    write_checkpoint: Callable[[Path, str, list[str]], Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("faster"), "quickstart_faster_rcnn", CLASSES)


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    draw = np.random.default_rng(seed)
    small = draw.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def write_photos(folder: Path) -> None:
    """Pictures of many kinds, one name twice, one turned copy, and files that are no pictures."""
    (folder / "sub folder").mkdir(parents=True)
    noise(90, 120, 1).save(folder / "a.png")
    noise(200, 150, 2).save(folder / "sub folder/a.png")
    noise(90, 120, 1).convert("L").save(folder / "grey.jpg")
    noise(90, 120, 3).convert("CMYK").save(folder / "Zürich (1).jpg")
    noise(90, 120, 4).convert("RGBA").save(folder / "rgba.webp", lossless=True)
    noise(90, 120, 5).save(folder / "moving.gif", save_all=True, append_images=[noise(90, 120, 6)])
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(90, 120, 1).transpose(Image.Transpose.ROTATE_90).save(folder / "turned.png", exif=exif)
    (folder / "broken.jpg").write_bytes(b"not a picture")
    (folder / "empty.png").touch()
    (folder / "notes.txt").write_text("not looked at")
    (folder / "film.MP4").write_bytes(b"looked at by itself only")


def read_json(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "detections.json").read_text(encoding="utf-8"))
    return content


def settings(ckpt: Path, source: Path | str, output: Path, **options: Any) -> Predict:
    return Predict(
        str(ckpt), str(source), str(output), **{"threshold": THRESHOLD, "device": "cpu", **options}
    )


@pytest.fixture(scope="module")
def whole_run(ssd: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, tuple[int, str, str]]:
    """The photos, the output, and what the command printed."""
    folder = tmp_path_factory.mktemp("mein Ordner") / "Fotos"
    write_photos(folder)
    output = folder.parent / "out (1)"
    options = (f"threshold={THRESHOLD}", "batch_size=3", "save=[images,json,voc,coco]", "device=cpu")
    result = run(f"ckpt={ssd}", f"source={folder}", f"output={output}", *options)
    return folder, output, result


def test_the_end_says_what_was_found_skipped_and_written(
    whole_run: tuple[Path, Path, tuple[int, str, str]],
) -> None:
    _, output, (code, printed, errors) = whole_run
    assert code == 0, errors
    assert "7 images in" in printed
    assert f"Written to {output}" in printed
    assert "1 video left out: give each as a source of its own." in printed
    assert "2 could not be read and were skipped:" in printed
    assert "broken.jpg: is not an image" in printed
    assert "empty.png: is an empty file" in printed
    total = sum(len(row["detections"]) for row in read_json(output)["images"])
    assert f"{total} detections" in printed
    assert any(name in printed for name in CLASSES)


def test_tiles_on_the_command_line_are_those_of_python(ssd: Path, tmp_path: Path) -> None:
    noise(150, 230).save(tmp_path / "a.png")
    words = ["tiles=[2,3]", "overlap=0.3", "flip=true", "threshold=0.1", "save=[json]", "device=cpu"]
    out = f"output={tmp_path / 'out'}"
    code, printed, errors = run(f"ckpt={ssd}", f"source={tmp_path / 'a.png'}", out, *words)
    assert code == 0, errors
    assert "No image is larger" not in printed
    found = detection.load(ssd, device="cpu").predict(
        tmp_path / "a.png", threshold=0.1, tiles=[2, 3], overlap=0.3, flip=True
    )
    rows = read_json(tmp_path / "out")["images"][0]["detections"]
    assert len(rows) == len(found) > 20
    assert np.array([row["box"] for row in rows]) == pytest.approx(found.boxes, abs=0.01)


def test_json_has_every_image(whole_run: tuple[Path, Path, tuple[int, str, str]]) -> None:
    _, output, _ = whole_run
    content = read_json(output)
    assert content["classes"] == CLASSES
    assert content["threshold"] == THRESHOLD
    assert [row["file"] for row in content["skipped"]] == ["broken.jpg", "empty.png"]
    rows = {row["file"]: row for row in content["images"]}
    assert set(rows) == {
        *("a.png", "grey.jpg", "moving.gif", "rgba.webp", "turned.png", "Zürich (1).jpg", "sub folder/a.png")
    }
    assert (rows["sub folder/a.png"]["width"], rows["sub folder/a.png"]["height"]) == (150, 200)
    for row in rows.values():
        assert row["detections"], f"{row['file']} has no detections: the test shows nothing"
        scores = [found["score"] for found in row["detections"]]
        assert scores == sorted(scores, reverse=True)
        assert min(scores) >= THRESHOLD
        for found in row["detections"]:
            assert found["class"] in CLASSES
            x1, y1, x2, y2 = found["box"]
            assert 0 <= x1 < x2 <= row["width"]
            assert 0 <= y1 < y2 <= row["height"]


def test_a_turned_copy_gives_the_boxes_of_the_upright_image(
    whole_run: tuple[Path, Path, tuple[int, str, str]],
) -> None:
    folder, output, _ = whole_run
    rows = {row["file"]: row for row in read_json(output)["images"]}
    with Image.open(folder / "turned.png") as stored:
        assert stored.size == (90, 120)
    assert (rows["turned.png"]["width"], rows["turned.png"]["height"]) == (120, 90)
    assert len(rows["turned.png"]["detections"]) == len(rows["a.png"]["detections"])
    for turned, upright in zip(rows["turned.png"]["detections"], rows["a.png"]["detections"], strict=True):
        assert turned["class"] == upright["class"]
        assert turned["box"] == pytest.approx(upright["box"], abs=0.05)
    with Image.open(output / "images/turned.png") as drawn:
        assert drawn.size == (120, 90)


def test_pictures_keep_their_places_and_show_boxes(
    whole_run: tuple[Path, Path, tuple[int, str, str]],
) -> None:
    folder, output, _ = whole_run
    drawn = sorted(path.relative_to(output / "images").as_posix() for path in output.glob("images/**/*.*"))
    assert drawn.pop(drawn.index(".predicted")), "by which the next prediction knows what they are"
    assert drawn == sorted(
        (
            "a.png",
            "grey.jpg",
            "moving.gif.png",
            "rgba.webp",
            "turned.png",
            "Zürich (1).jpg",
            "sub folder/a.png",
        )
    )
    for name in ("a.png", "sub folder/a.png"):
        with Image.open(folder / name) as before, Image.open(output / "images" / name) as after:
            assert before.size == after.size
            assert (np.asarray(before) != np.asarray(after)).any()


def test_annotations_for_datasets_hold_the_same_boxes(
    whole_run: tuple[Path, Path, tuple[int, str, str]],
) -> None:
    _, output, (_, printed, _) = whole_run
    rows = {row["file"]: row for row in read_json(output)["images"]}
    assert f"data=auto 'data.root={output / 'coco'}'" in printed
    coco = json.loads((output / "coco/annotations/instances_train2017.json").read_text(encoding="utf-8"))
    assert len(coco["images"]) == len(rows)
    assert len(coco["annotations"]) == sum(len(row["detections"]) for row in rows.values())
    turned = parse(output / "voc/Annotations/turned.xml")
    # VOC's boxes belong to the pixels as stored: the turned copy is 90 wide there.
    assert (turned.findtext("size/width"), turned.findtext("size/height")) == ("90", "120")
    for item, found in zip(turned.findall("object"), rows["turned.png"]["detections"], strict=True):
        assert item.findtext("name") == found["class"]
        assert float(item.findtext("score", "")) == pytest.approx(found["score"], abs=1e-4)
        corners = [float(item.findtext(f"bndbox/{key}", "")) for key in ("xmin", "ymin", "xmax", "ymax")]
        x1, y1, x2, y2 = found["box"]
        stored = (y1 + 1, 120 - x2 + 1, y2, 120 - x1)
        assert corners == pytest.approx(stored, abs=0.51)  # rounded to whole pixels


def test_the_most_uncertain_images_are_listed_and_shown(ssd: Path, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos")
    options = {"threshold": 0.9, "save": ("json",), "uncertain": 3}
    predict(settings(ssd, tmp_path / "photos", tmp_path / "out", **options))
    rows = (tmp_path / "out/uncertain.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "file,expected_mistakes"
    values = [float(row.rpartition(",")[2]) for row in rows[1:]]
    assert len(values) == 3
    assert values == sorted(values, reverse=True)
    assert values[0] > 0, "what is below the threshold counts"
    page = (tmp_path / "out/uncertain.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64") == 3
    assert all(row.rpartition(",")[0] in page for row in rows[1:])


def test_a_set_is_not_written_over(ssd: Path, tmp_path: Path) -> None:
    noise(90, 120, 1).save(tmp_path / "a.png")
    (tmp_path / "out/yolo").mkdir(parents=True)
    options = {"save": ("yolo",), "overwrite": True}
    with pytest.raises(FileExistsError, match="yolo is a set already, which is not overwritten"):
        predict(settings(ssd, tmp_path / "a.png", tmp_path / "out", **options))


@pytest.mark.parametrize(("kind", "threshold"), [("ssd", 0.3), ("faster_rcnn", 0.1)])
def test_a_batch_gives_what_its_images_give_alone(
    kind: str, threshold: float, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    ckpt = request.getfixturevalue(kind)
    write_photos(tmp_path / "photos")
    for size in (1, 4):
        options = {"batch_size": size, "threshold": threshold, "save": ("json",)}
        predict(settings(ckpt, tmp_path / "photos", tmp_path / f"{size}", **options))
    alone, together = read_json(tmp_path / "1")["images"], read_json(tmp_path / "4")["images"]
    assert sum(len(row["detections"]) for row in alone) > 10
    for one, other in zip(alone, together, strict=True):
        assert one["file"] == other["file"]
        assert len(one["detections"]) == len(other["detections"])
        for first, second in zip(one["detections"], other["detections"], strict=True):
            assert first["class"] == second["class"]
            assert first["score"] == pytest.approx(second["score"], abs=1e-3)
            assert first["box"] == pytest.approx(second["box"], abs=0.05)


def test_some_classes_only(ssd: Path, tmp_path: Path) -> None:
    noise(90, 120, 1).save(tmp_path / "a.png")
    predict(settings(ssd, tmp_path / "a.png", tmp_path / "all", threshold=0.0, save=("json",)))
    everything = read_json(tmp_path / "all")["images"][0]["detections"]
    name = everything[0]["class"]
    some = settings(
        ssd, tmp_path / "a.png", tmp_path / "one", threshold=0.0, save=("json",), classes=[name.upper()]
    )
    predict(some)
    kept = read_json(tmp_path / "one")["images"][0]["detections"]
    assert kept == [found for found in everything if found["class"] == name]
    assert len(kept) < len(everything)
    with pytest.raises(ValueError, match=r"does not know 'sqare'\. Did you mean square\? It knows: circle"):
        predict(settings(ssd, tmp_path / "a.png", tmp_path / "none", classes=["sqare"]))


def test_an_output_that_holds_something_is_refused(ssd: Path, tmp_path: Path) -> None:
    noise(90, 120, 1).save(tmp_path / "a.png")
    (tmp_path / "out").mkdir()
    predict(settings(ssd, tmp_path / "a.png", tmp_path / "out"))
    before = (tmp_path / "out/detections.json").stat().st_mtime_ns
    with pytest.raises(FileExistsError, match=r"out holds something already: .* overwrite=true"):
        predict(settings(ssd, tmp_path / "a.png", tmp_path / "out"))
    assert (tmp_path / "out/detections.json").stat().st_mtime_ns == before
    predict(settings(ssd, tmp_path / "a.png", tmp_path / "out", overwrite=True))
    assert (tmp_path / "out/detections.json").stat().st_mtime_ns > before
    with pytest.raises(FileExistsError, match="is a file: name a folder"):
        predict(settings(ssd, tmp_path / "a.png", tmp_path / "a.png"))


def test_objects_are_followed_through_a_video(
    ssd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    still = np.asarray(noise(64, 96, 1), dtype=np.uint8)
    film = make_video(tmp_path / "film.mp4", [number / 25 for number in range(6)], picture=still)
    output = tmp_path / "out"
    predict(settings(ssd, film, output, track=True))
    rows = read_json(output)["frames"]
    tracks = [sorted(found["track"] for found in row["detections"]) for row in rows]
    assert tracks[0] == list(range(1, len(tracks[0]) + 1))
    assert all(row == tracks[0] for row in tracks)
    assert "6 frames in" in (said := capsys.readouterr().out)
    assert f"{len(tracks[0])} objects followed" in said
    with av.open(str(output / "film.mp4")) as file:
        assert [stream.codec_context.name for stream in file.streams] == ["h264"]
    noise(90, 120, 1).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="track=true follows objects through a video"):
        predict(settings(ssd, tmp_path / "a.png", tmp_path / "other", track=True))


def test_a_video_is_called_damaged_where_its_end_is_missing(
    ssd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = [0.0, 0.4, 0.44, 0.48, 0.88, 0.92, 0.96, 1.36, 1.4, 1.44]
    film = make_video(tmp_path / "film.mkv", times, picture=np.asarray(noise(64, 96, 1), dtype=np.uint8))
    predict(settings(ssd, film, tmp_path / "out"))
    said = capsys.readouterr().out
    assert "10 frames in" in said
    assert "may be damaged" not in said, "though its length times its rate is more"
    still = make_video(tmp_path / "still.mkv", [number / 25 for number in range(200)])
    still.write_bytes(still.read_bytes()[: still.stat().st_size * 2 // 3])
    predict(settings(ssd, still, tmp_path / "cut"))
    assert "of 200 frames could be read: the file may be damaged." in capsys.readouterr().out


def test_images_are_never_written_over(ssd: Path, tmp_path: Path) -> None:
    (tmp_path / "set/images").mkdir(parents=True)
    noise(90, 120, 1).save(tmp_path / "set/images/a.png")
    before = (tmp_path / "set/images/a.png").read_bytes()
    with pytest.raises(ValueError, match="is one of the images to read"):
        predict(settings(ssd, tmp_path / "set/images", tmp_path / "set", overwrite=True))
    assert (tmp_path / "set/images/a.png").read_bytes() == before
    with pytest.raises(ValueError, match="writes nothing of images: name some of images, json, voc, coco"):
        predict(settings(ssd, tmp_path / "set/images", tmp_path / "out", save=("video",)))


def test_images_of_one_name_and_of_long_ones_are_all_in_the_sets(ssd: Path, tmp_path: Path) -> None:
    long = "z" * 251 + ".png"
    names = ("a.b/c.png", "a_b/c.png", "x_a_b_c_png.png", f"a.b/{long}", f"a_b/{long}", f"{'y' * 250}.jpeg")
    for seed, name in enumerate(names):
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        noise(90, 120, seed).save(tmp_path / "x" / name)
    predict(settings(ssd, tmp_path / "x", tmp_path / "out", save=("voc", "coco", "yolo")))
    expected = sorted((tmp_path / "x" / name).read_bytes() for name in names)
    for place in ("voc/JPEGImages", "coco/train2017", "yolo/images/train"):
        written = list((tmp_path / "out" / place).iterdir())
        assert sorted(path.read_bytes() for path in written) == expected
        kept = {"x_a_b_c_png.png", "x_a_b_c_png_2.png", "x_a_b_c_png_3.png", names[-1]}
        assert kept <= {path.name for path in written}


def test_two_that_the_clock_gives_one_name_have_folders_of_their_own(
    ssd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clock = SimpleNamespace(now=lambda: datetime(2026, 11, 30, 12, 0, 0))
    monkeypatch.setattr("detection.settings.detector.datetime", clock)
    load, taken = command._job, tmp_path / "runs/predict/2026-11-30_12-00-00_2"

    def slow(given: Predict) -> Any:
        job = load(given)
        if "_2" in str(given.output):  # while the second one loads, a third one is quicker
            taken.mkdir()
            (taken / "detections.json").write_text("of the third")
        return job

    monkeypatch.setattr(command, "_job", slow)
    for name in "ab":
        (tmp_path / name).mkdir()
        noise(90, 120, 1).save(tmp_path / name / f"{name}.png")
        predict(Predict(str(ssd), str(tmp_path / name), threshold=THRESHOLD, device="cpu"))
    found = {path.parent.name: path.read_text() for path in tmp_path.glob("runs/predict/*/detections.json")}
    assert found.pop(taken.name) == "of the third"
    assert [
        [image["file"] for image in json.loads(found[f"2026-11-30_12-00-00{end}"])["images"]]
        for end in ("", "_3")
    ] == [["a.png"], ["b.png"]]
    assert not [*tmp_path.glob("runs/predict/*/.running")]


def test_what_another_process_has_written_meanwhile_stays(
    ssd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise(90, 120, 1).save(tmp_path / "a.png")
    load, out = command._job, tmp_path / "out"

    def slow(given: Predict) -> Any:
        job = load(given)
        out.mkdir()
        (out / "detections.json").write_text("of another")
        return job

    monkeypatch.setattr(command, "_job", slow)
    with pytest.raises(FileExistsError, match=f"output={out} holds something already"):
        predict(settings(ssd, tmp_path / "a.png", out))
    assert [path.name for path in out.iterdir()] == ["detections.json"]
    assert (out / "detections.json").read_text() == "of another"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_images_whose_names_no_list_can_hold_are_left_out(
    ssd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "Fotos \udce9"  # a byte of Latin-1
    folder.mkdir()
    for name in ("a.png", "b\udce9.png", "c\x1b]0;x.png", "d\ne.png", " f.png", "g\\h.png"):
        noise(90, 120, 1).save(folder / name)
    output = tmp_path / "out"
    predict(settings(ssd, folder, output, save=("images", "json", "voc", "coco", "yolo")))
    written = json.loads((output / "detections.json").read_text(encoding="utf-8"))
    assert [image["file"] for image in written["images"]] == [" f.png", "a.png", "g\\h.png"]
    assert written["source"] == str(folder)
    left_out = {"b\\xe9.png": "not in UTF-8", "c\\x1b]0;x.png": "control", "d\\ne.png": "control"}
    assert {row["file"] for row in written["skipped"]} == {*left_out}
    shown = capsys.readouterr().out
    assert "\x1b]0" not in shown
    for name, reason in left_out.items():
        assert re.search(rf"  {re.escape(name)}: has .*{reason}.*: rename it", shown)
    for kind in ("voc", "coco", "yolo"):
        first, *_ = convert(kind, "coco", str(output / kind), str(tmp_path / f"from_{kind}"))
        assert "train 3 images" in first


@pytest.mark.parametrize("kind", ["voc", "coco", "yolo"])
def test_a_set_that_cannot_be_written_whole_is_not_there(
    ssd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for number in range(3):
        noise(90, 120, number).save(tmp_path / f"{number}.png")
    copy = shutil.copyfile

    def full(source: Path, target: Path) -> Any:
        if "2.png" in str(source):
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        return copy(source, target)

    monkeypatch.setattr("detection.data.writers.sets.shutil.copyfile", full)
    with pytest.raises(OSError, match=r"No space left on device"):
        predict(settings(ssd, tmp_path / "*.png", tmp_path / "out", save=("json", kind)))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["detections.json"]


def test_nothing_readable_is_an_error_and_leaves_nothing(ssd: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"broken")
    (tmp_path / "photos/b.heic").touch()
    with pytest.raises(
        ValueError, match=r"None of 2 images could be read:\n  a\.jpg: .*\n  b\.heic: is in HEIC"
    ):
        predict(settings(ssd, tmp_path / "photos", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_said(ssd: Path, tmp_path: Path) -> None:
    noise(90, 120, 1).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"device=cuda: no GPU can be used here; set device=cpu"):
        predict(settings(ssd, tmp_path / "a.png", tmp_path / "out", device="cuda"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "ckpt: needs a value (ckpt=best.ckpt, or without a training ckpt=tensorflow/"),
        (["sorce=x"], "sorce: no such key; did you mean source?"),
        (
            ["ckpt=x", "source=x", "threshold=high", "save=[image]"],
            "threshold=high: give a number from 0 to 1\nsave=",
        ),
        (
            ["ckpt=x", "source=x", "threshold=7"],
            "threshold=7: give",
        ),
        (["ckpt=x", "source=nö (1)/*.jpg"], "The pattern nö (1)/*.jpg has no image"),
    ],
)
def test_a_mistake_ends_in_a_sentence_and_leaves_nothing(
    arguments: list[str], expected: str, tmp_path: Path
) -> None:
    code, _, errors = run(*arguments, cwd=tmp_path)
    assert code == 1
    assert expected in errors
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_help_shows_the_ways_to_call_it() -> None:
    code, printed, _ = run("--help")
    assert code == 0
    for word in ("source=photos", "source=0", "overwrite", "threshold", "detections.json", "upright"):
        assert word in printed


def test_start_up_does_not_import_torch() -> None:
    code = (
        "import sys, detection.predict, detection.settings, detection.prediction.capture;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_ctrl_c_keeps_what_was_found_in_a_video(faster_rcnn: Path, tmp_path: Path) -> None:
    film = tmp_path / "ein Film.mp4"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"mp4v"), 10, (96, 64))
    frames = [np.asarray(noise(64, 96, number), dtype=np.uint8) for number in range(7)]
    for number in range(3000):
        writer.write(frames[number % 7])
    writer.release()
    output = tmp_path / "out"
    with start(
        f"ckpt={faster_rcnn}", f"source={film}", f"output={output}", "batch_size=2", "device=cpu"
    ) as process:
        deadline = time.monotonic() + 300
        while not output.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Stopped after" in printed
    assert "Traceback" not in errors
    content = read_json(output)
    rows = content["frames"]
    assert 0 < len(rows) < 3000
    assert [row["frame"] for row in rows] == list(range(len(rows)))
    assert rows[-1]["seconds"] == pytest.approx((len(rows) - 1) / 10, abs=1e-3)
    assert (content["fps"], content["width"], content["height"]) == (10, 96, 64)
    capture = cv2.VideoCapture(str(output / "ein Film.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == len(rows)
    assert capture.read()[0]
