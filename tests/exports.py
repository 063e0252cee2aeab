"""Exports as their users make and use them."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import detection
from detection.checkpoints.loading import load_detector
from detection.exporting.build import decisions
from detection.exporting.comparison import Thresholds, compare
from detection.ops.boxes import pairwise_iou
from detection.reader import Reader
from detection.types import Detections
from tests.warm_python import warm_python

ROOT = Path(__file__).parent.parent
# As in docs/how-to/export.md, where neither torch nor this package can be imported.
READER = """\
import sys
sys.modules |= dict.fromkeys(["torch", "detection", "albumentations", "PIL"])

import numpy as np
from detection_reader import Reader

detector = Reader(sys.argv[1])
images = np.load("images.npz")
found = {}
for name in images.files:
    found |= zip([f"{name} boxes", f"{name} scores", f"{name} labels"], detector(images[name]))
np.savez("found.npz", classes=detector.class_names, **found)
"""


# A sitecustomize.py: whoever asks for a host or connects to one is refused, and named in a file. Sockets that
# are files connect processes of one machine.
WATCH = """\
import os, sys

def watch(event, arguments):
    asks = event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect", "socket.sendto")
    is_file = event == "socket.connect" and isinstance(arguments[1], (str, bytes))
    if asks and not is_file:
        with open(os.environ["ASKED"], "a") as file:
            print(event, arguments, file=file)
        raise OSError("there is no network here")

sys.addaudithook(watch)
"""


def watched(folder: Path) -> dict[str, str]:
    """An environment in which nothing forbids reports, and what is asked of the network is written down."""
    (folder / "home").mkdir()
    (folder / "sitecustomize.py").write_text(WATCH)
    # Both libraries report nothing in continuous integration, nor NNCF for its own developers.
    unset = dict.fromkeys(("CI", "TF_BUILD", "JENKINS_URL", "NNCF_CI", "NNCF_DEV"), "")
    return {
        **unset,
        "HOME": str(folder / "home"),
        "ASKED": str(folder / "asked.txt"),
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
    }


def command(
    *arguments: str, cwd: Path = ROOT, environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run ``export`` by its command line; in an environment of its own by a Python of its own."""
    python = warm_python() if environment is None else (sys.executable,)
    environment = dict(environment or {**os.environ, "PYTHONPATH": str(ROOT)})
    # No torch.compile, which would take a minute for its row of the table.
    environment = {"CXX": "none", **environment, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    words = [*python, "-m", "detection.export", *arguments]
    return subprocess.run(
        words, check=False, cwd=cwd, env=environment, text=True, capture_output=True, timeout=500
    )


def nothing_was_reported(folder: Path) -> bool:
    """Whether nothing that ran in the environment of `watched` asked for a host, or gave itself an id."""
    # Both runtimes keep an id in the home before they report; ONNX Runtime does so in C++, unseen by Python.
    kept = [path.name for path in (folder / "home").rglob("*") if path.name in ("Microsoft", "intel")]
    return not (folder / "asked.txt").exists() and not kept


def opens_as_a_detector(out: Path, checkpoint: Path) -> None:
    """It finds what the checkpoint finds, in images of any size."""
    draw = np.random.default_rng(1)
    images = [draw.integers(0, 256, size, dtype=np.uint8) for size in ((90, 200, 3), (301, 128, 3), (40, 33))]
    exported, ours = detection.load(out), detection.load(checkpoint)
    assert exported.class_names == ours.class_names
    for image, found, expected in zip(
        images, exported.predict(images, threshold=0.02), ours.predict(images, threshold=0.02), strict=True
    ):
        assert found.image.shape[:2] == image.shape[:2]
        assert len(found.scores) == len(expected.scores) > 0
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.1)
        assert found.classes == expected.classes


SIZES = ((1, 1), (2, 90), (301, 128), (90, 200), (700, 500))


def reads_without_torch(
    out: Path,
    checkpoint: Path,
    sizes: Sequence[tuple[int, int]] = SIZES,
    environment: dict[str, str] | None = None,
) -> None:
    """The program beside the file finds what the checkpoint finds, in images of many sizes."""
    draw = np.random.default_rng(0)
    images = {str(size): draw.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes}
    np.savez(out.parent / "images.npz", **images)  # type: ignore[arg-type]
    words = [sys.executable, "-c", READER, out.name]
    done = subprocess.run(
        words,
        check=False,
        cwd=out.parent,
        env=environment,
        text=True,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found, detector = np.load(out.parent / "found.npz"), load_detector(checkpoint)
    decide = decisions(detector.task)
    thresholds = Thresholds(decide["score_threshold"], decide["nms_threshold"], decide["max_detections"])
    assert found["classes"].tolist() == detector.class_names
    for name, image in images.items():
        (ours,) = detector([image])
        boxes, scores, labels = (
            torch.from_numpy(found[f"{name} {what}"]) for what in ("boxes", "scores", "labels")
        )
        theirs = Detections(boxes=boxes, scores=scores, labels=labels)
        if image.size > 3:
            assert compare(ours, theirs, thresholds).tolerable, name
        else:  # of one colour whole neighbourhoods score the same, and rounding chooses among them
            np.testing.assert_allclose(scores[0], ours["scores"][0], atol=1e-3)


def finds_nearly_the_same(
    out: Path, checkpoint: Path, images: Sequence[NDArray[np.uint8]], score: float, box: float
) -> None:
    """A file of fewer bits finds what the checkpoint is surest of, up to a mean score and mean pixels."""
    reader, trained = Reader(out, threads=1), load_detector(checkpoint)
    scores, boxes, lost, total = [], [], 0, 0
    for image in images:
        best = {name: values[:20] for name, values in trained([image])[0].items()}  # type: ignore[index]
        theirs = [torch.from_numpy(found) for found in reader(image)]
        overlap = pairwise_iou(best["boxes"], theirs[0]) * (best["labels"].unsqueeze(1) == theirs[2])
        overlap, partner = overlap.max(dim=1)
        paired = overlap > 0.7
        total, lost = total + len(paired), lost + int((~paired).sum())
        scores.append((best["scores"] - theirs[1][partner])[paired].abs())
        boxes.append((best["boxes"] - theirs[0][partner])[paired].abs().amax(dim=1))
    assert total >= 20 * len(images)
    assert lost <= 0.05 * total, f"{lost} of {total}"
    assert float(torch.cat(scores).mean()) < score
    assert float(torch.cat(boxes).mean()) < box
