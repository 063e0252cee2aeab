"""Row 23: the most memory of training steps on a CPU, each detector in a process of its own."""

from collections.abc import Iterator

from benchmarks.commands import run
from benchmarks.harness import Benchmark, Result

_BATCH = 8
_ROUNDS = 2  # one and the same step differs by a few hundredths
_EXPERIMENTS = {
    "SSD300-VGG16": "ssd_300_vgg16_atrous_voc",
    "SSD-300 MobileNetV2": "ssd_300_mobilenet_v2_voc07",
    "Faster R-CNN FPN MobileNetV2": "faster_rcnn_fpn_mobilenet_v2_voc07",
}
# The first argument is the experiment, the second the name of a way, the third the number of images.
_STEPS = """
import sys
from pathlib import Path
import torch
from benchmarks.training import speed

# Not getrusage's, which begins with that of the process that started this one.
def megabytes():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024

speed.quiet()
task, config = speed.make_task(sys.argv[1], getattr(speed, sys.argv[2]))
data = config["data"]
batch = speed.make_batch(data["collate"], data["size"], int(sys.argv[3]), torch.device("cpu"))
before = megabytes()
speed.fit(task, batch, "32-true", "cpu", 3, speed.Measure(2, look=False))
print(megabytes() - before)
"""


def training_steps() -> Iterator[Result]:
    """Row 23."""
    for name, experiment in _EXPERIMENTS.items():
        both = [[peak(experiment, way, _BATCH) for way in ("OURS", "TORCHVISION")] for _ in range(_ROUNDS)]
        ours, theirs = map(min, zip(*both, strict=True))
        work = f"most memory of training steps, {name}, batch {_BATCH}, on top of what it begins with"
        yield Result("23", work, ours, theirs, "MB", ours / theirs, None, "<= 1 x", ours <= theirs)


def peak(experiment: str, way: str, batch: int) -> float:
    """Megabytes that three steps in float32 take at most, on top of what there is before.

    Args:
        experiment: of ``conf/experiment``.
        way: ``OURS``, or ``TORCHVISION`` for its class on the same backbone.
        batch: images of a step.
    """
    done = run(["-c", _STEPS, experiment, way, str(batch)])
    assert done.returncode == 0, done.stderr[-3000:]
    return float(done.stdout.split()[-1])


ROWS: dict[str, Benchmark] = {"23": training_steps}
