"""Large sets in the three formats, and what reading one costs in a process of its own.

``python -m benchmarks.large_sets --against ../another`` compares this checkout with another, in turns.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

_ROOT = Path(__file__).parents[1]
_NAMES = ("cat", "dog", "car", "person", "bus", "boat")
_WIDTH, _HEIGHT = 500, 375
# What a process does, and what it prints: seconds, and the most memory in MB of what it did.
_READ = {
    "voc": "from detection.data.voc import VOCDetection; read = lambda: VOCDetection(root, ['train'], None)",
    "yolo": """
try:
    from detection.data.yolo import YOLODetection  # of checkouts that have no readers apart from datasets
    read = lambda: YOLODetection(root, "train")
except ImportError:
    from detection.data.dataset import DetectionDataset
    from detection.data.formats.yolo import read_yolo
    read = lambda: DetectionDataset(read_yolo(root, "train"))
""",
    "coco": """
try:
    from detection.data.coco import COCODetection
    read = lambda: COCODetection(root + "/images", root + "/train.json")
except ImportError:
    from detection.data.dataset import DetectionDataset
    from detection.data.formats.coco import read_coco
    read = lambda: DetectionDataset(read_coco(root + "/images", root + "/train.json"))
""",
}
_MEASURE = """
import sys, time
from pathlib import Path
root = sys.argv[1]
{read}
# Not getrusage's, which begins with that of the process that started this one.
memory = lambda: int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
before, start = memory(), time.perf_counter()
read()
print(time.perf_counter() - start, memory() - before)
"""


class Cost(NamedTuple):
    """What reading a set takes."""

    seconds: float
    """Of the clock on the wall: files are read by several processes."""
    megabytes: float
    """The most memory, on top of what the imports take."""


def write_voc(root: Path, images: int) -> None:
    """Write a set in VOC's layout, all images alike."""
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    jpeg, rng = _jpeg(), random.Random(0)
    for number in range(images):
        (root / f"JPEGImages/{number:06d}.jpg").write_bytes(jpeg)
        objects = "".join(_object(rng) for _ in range(rng.choice((1, 1, 2, 2, 3, 5))))
        (root / f"Annotations/{number:06d}.xml").write_text(
            f"<annotation><folder>VOC</folder><filename>{number:06d}.jpg</filename><size><width>{_WIDTH}</width>"
            f"<height>{_HEIGHT}</height><depth>3</depth></size>{objects}</annotation>"
        )
    (root / "ImageSets/Main/train.txt").write_text("".join(f"{number:06d}\n" for number in range(images)))


def write_yolo(root: Path, images: int) -> None:
    """Write a set in YOLO's layout, all images alike."""
    for folder in ("images/train", "labels/train"):
        (root / folder).mkdir(parents=True)
    (root / "data.yaml").write_text(f"train: images/train\nval: images/train\nnames: {list(_NAMES)}\n")
    jpeg, rng = _jpeg(), random.Random(0)
    for number in range(images):
        (root / f"images/train/{number:06d}.jpg").write_bytes(jpeg)
        lines = [
            f"{rng.randrange(6)} {rng.uniform(0.3, 0.7):.6f} 0.5 0.25 0.5\n"
            for _ in range(rng.choice((1, 2, 4)))
        ]
        (root / f"labels/train/{number:06d}.txt").write_text("".join(lines))


def write_coco(root: Path, images: int) -> None:
    """Write a set in COCO's format with 7 outlined objects an image; all images are links."""
    (root / "images").mkdir(parents=True)
    (root / "one.jpg").write_bytes(_jpeg())
    rng, listed = random.Random(0), []
    annotations: list[dict[str, object]] = []
    for number in range(images):
        name = f"{number:012d}.jpg"
        (root / "images" / name).symlink_to(root / "one.jpg")
        listed.append({"id": number, "file_name": name, "height": _HEIGHT, "width": _WIDTH, "license": 1})
        for _ in range(rng.choice((1, 4, 7, 9, 14))):
            x, y, w, h = rng.uniform(0, 300), rng.uniform(0, 250), rng.uniform(20, 180), rng.uniform(20, 110)
            outline = [round(x + rng.random() * w, 2) for _ in range(24)]
            annotations.append(
                {
                    "id": len(annotations), "image_id": number, "category_id": rng.randint(1, 80),
                    "iscrowd": 0, "area": round(w * h, 2), "segmentation": [outline],
                    "bbox": [round(value, 2) for value in (x, y, w, h)],
                }
            )  # fmt: skip
    categories = [{"id": number, "name": f"class {number}"} for number in range(1, 81)]
    document = {"images": listed, "annotations": annotations, "categories": categories}
    (root / "train.json").write_text(json.dumps(document))


def cost_of(kind: str, root: Path, cache: Path, checkout: Path = _ROOT) -> Cost:
    """Read a set in a process of its own.

    Args:
        kind: ``voc``, ``yolo`` or ``coco``.
        root: the set.
        cache: the user's folder for caches.
        checkout: of the project.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(checkout),
        "XDG_CACHE_HOME": str(cache),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", _MEASURE.format(read=_READ[kind]), str(root)]
    printed = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, check=True
    )
    seconds, megabytes = map(float, printed.stdout.split()[-2:])
    return Cost(seconds, megabytes)


def _object(rng: random.Random) -> str:
    x, y = rng.randint(1, 300), rng.randint(1, 250)
    box = {"xmin": x, "ymin": y, "xmax": x + rng.randint(20, 180), "ymax": y + rng.randint(20, 110)}
    corners = "".join(f"<{key}>{value}</{key}>" for key, value in box.items())
    return (
        f"<object><name>{rng.choice(_NAMES)}</name><pose>Left</pose><truncated>1</truncated>"
        f"<difficult>0</difficult><bndbox>{corners}</bndbox></object>"
    )


def _jpeg() -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (_HEIGHT, _WIDTH, 3), dtype=np.uint8)
    return bytes(cv2.imencode(".jpg", cv2.GaussianBlur(noise, (31, 31), 0))[1])


def main() -> None:
    """Compare with another checkout."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_sets", description=__doc__)
    parser.add_argument("--against", type=Path, required=True, help="another checkout of the project")
    parser.add_argument(
        "--images", type=int, default=20_000, help="of VOC and YOLO; COCO has five times as many"
    )
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    sides = {"this": _ROOT, "the other": arguments.against.resolve()}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_voc(folder / "voc", arguments.images)
        write_yolo(folder / "yolo", arguments.images)
        write_coco(folder / "coco", 5 * arguments.images)
        print(f"{'':12} {'this':>10} {'the other':>10} {'ratio':>6}")
        for kind in _READ:
            costs: dict[str, list[list[Cost]]] = {name: [] for name in sides}
            for turn in range(arguments.rounds):
                for name in list(sides)[:: 1 if turn % 2 == 0 else -1]:
                    cache = folder / f"cache-{kind}-{name}-{turn}"
                    runs = 1 if kind == "coco" else 2  # cold, and what the next run takes
                    costs[name].append(
                        [cost_of(kind, folder / kind, cache, sides[name]) for _ in range(runs)]
                    )
            for run, when in enumerate(("cold", "again")[: 1 if kind == "coco" else 2]):
                for unit, field in (("s", 0), ("MB", 1)):
                    ours, others = (
                        statistics.median(turn[run][field] for turn in costs[name]) for name in sides
                    )
                    ratio = f"{ours / others:6.2f}" if others else ""
                    print(f"{kind:5}{when:6} {ours:8.2f} {unit:2} {others:7.2f} {unit:2} {ratio}", flush=True)


if __name__ == "__main__":
    main()
