"""What only a GPU can answer, in one command that may be cut short at any time.

    python -m benchmarks.gpu                    # the published networks beside torchvision's, in 7 minutes
    python -m benchmarks.gpu finetune --help    # two trainings to convergence, on VOC 2007
    python -m benchmarks.gpu --rehearse         # all of it on a CPU, at toy size
    python -m benchmarks.gpu --device cpu --experiments ssd_300_mobilenet_v2_voc07 --batch 8 --steps 5 \\
        --warmup 2 --matmul 2048 --no-compile

Images per second of training and of inference, in float32 (on a GPU convolutions compute in TF32 then, as
torch has it) and in bfloat16; ours contiguous and channels last, each as it is and compiled, an SSD also with
targets that come with the batch; torchvision's class on the same backbone. Beside them the ratio to
torchvision's in the same precision, the share of the measured matrix product that the convolutions and
products of a step reach, and how often a step makes the host wait for the device. Profiles say where the
time goes. What is worth most comes first. Each row is printed, and kept under runs/gpu, as soon as it is
there; what no longer fits into the minutes is passed over, and what fails is a row, too.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch

from benchmarks.gpu import finetune
from benchmarks.gpu.record import Clock, Record, device_name, named
from benchmarks.gpu.work import BF16, FLOAT32, Bench, Work, work_of
from benchmarks.training.speed import ASSIGNED, quiet

EXPERIMENTS = (
    "ssd_300_vgg16_atrous_voc",
    "faster_rcnn_fpn_resnet50_v1b_voc",
    "faster_rcnn_resnet50_v1b_voc",
    "ssd_512_resnet50_v1_voc",
)
_SECONDS = {False: 20.0, True: 90.0}  # what a piece of work may take before one like it was seen; compiled
_TOY = {
    "device": "cpu",
    "experiments": ("quickstart", "quickstart_faster_rcnn"),
    "batch": 2,
    "warmup": 2,
    "steps": 1,
    "matmul": 256,
}


class Goal(NamedTuple):
    """A target for the first network on one H200."""

    what: str
    found: float | None
    least: float
    most: float = float("inf")

    @property
    def met(self) -> bool:
        """Whether what was found is within the bounds."""
        return self.found is not None and self.least <= self.found <= self.most


def goals(rows: Sequence[dict[str, Any]], experiment: str) -> list[Goal]:
    """The targets.

    Args:
        rows: of all networks.
        experiment: whose training they are for.
    """
    rows = [row for row in rows if row.get("experiment") == experiment]
    trained = [row for row in rows if row.get("work") == "training"]
    batch = min((row["batch"] for row in trained), default=0)

    def fastest(precision: str, theirs: bool) -> float | None:
        speeds: list[float] = [
            row["images_per_second"]
            for row in trained
            if row["precision"] == precision
            and row["batch"] == batch
            and row["way"].startswith("torchvision") == theirs
            and row["way"] != ASSIGNED.name  # torchvision's assigns its targets in the step
        ]
        return max(speeds, default=None)

    def times(theirs: float | None) -> float | None:
        return ours / theirs if ours and theirs else None

    ours = fastest(BF16, theirs=False)
    assigned = [row for row in rows if ASSIGNED.name in row["way"]]
    waits = [row["waits"] for row in assigned if row.get("waits") is not None]
    return [
        Goal("training in bf16, images/s", ours, 1500),
        Goal("the same, times torchvision's in float32", times(fastest(FLOAT32, theirs=True)), 2.5),
        Goal("the same, times torchvision's in bf16", times(fastest(BF16, theirs=True)), 1.3),
        Goal("waits of a step, targets by the loader", max(waits, default=None), 0, 0),
    ]


def line_of(row: dict[str, Any]) -> str:
    """A row for the terminal."""
    line = f"{row['experiment']:34}{row['precision']:12}{row['batch']:4} {row['way']:52}"
    if "error" in row:
        return f"{line}failed: {row['error']}"
    waits = "" if row.get("waits") is None else f"{row['waits']:7.3g} waits"
    if row["work"] == "profile":
        kinds = named((kind, f"{time:.3f}") for kind, time in row["ms_per_image"].items())
        return f"{line}{waits}\n    ms per image: {kinds}"
    ratio = "        " if row["ratio"] is None else f"{row['ratio']:6.2f} x"
    share = "" if row.get("of_matmul") is None else f"{row['of_matmul']:8.1%}"
    return f"{line}{row['work']:10}{row['images_per_second']:10.1f}/s{ratio}{share}{waits}"


def measure(options: argparse.Namespace, clock: Clock, record: Record) -> None:
    """Do all work that fits."""
    bench = Bench(options)
    ceilings = {
        f"matrix product {name}": f"{flops / 1e12:.4g}e12/s" for name, flops in bench.ceilings.items()
    }
    record.add({"work": "matrix product", **bench.ceilings}, named(ceilings.items()))
    seconds: dict[tuple[str, bool], float] = {}  # the dearest so far, by network and whether compiled
    passed_over = 0
    for work in work_of(options):
        kind = (work.experiment, work.way.compiled)
        alike = [value for (_, compiled), value in seconds.items() if compiled == work.way.compiled]
        if seconds.get(kind, max(alike, default=_SECONDS[work.way.compiled])) > clock.left:
            passed_over += 1
            continue
        start = time.monotonic()
        do(bench, work, record)
        seconds[kind] = max(seconds.get(kind, 0), time.monotonic() - start)
    if passed_over:
        print(f"{passed_over} more did not fit into {options.minutes:g} minutes.")


def do(bench: Bench, work: Work, record: Record) -> None:
    """Do one piece of work; what goes wrong must not cost the others."""
    try:
        for row in bench.rows(work):
            record.add(row, line_of(row))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        about = {"experiment": work.experiment, "precision": work.precision, "batch": work.batch}
        row = {**about, "way": work.name, "error": reason}
        record.add(row, line_of(row))


def print_goals(found: Sequence[Goal], experiment: str) -> None:
    """Print which targets are met."""
    print()
    for goal in found:
        bound = f"<= {goal.most:g}" if goal.most < float("inf") else f">= {goal.least:g}"
        value = "not measured" if goal.found is None else f"{goal.found:.2f}"
        print(f"{goal.what:48}{value:>14}{bound:>10}{'  met' if goal.met else '  NO'}")
    print(f"{sum(goal.met for goal in found)} of {len(found)} targets met by {experiment}")


def options_of(words: Sequence[str]) -> argparse.Namespace:
    """What the command line asks for."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=style
    )
    parser.add_argument("--minutes", type=float, default=7, help="7 by default, from here on")
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, at toy size, nothing compiled")
    parser.add_argument("--experiments", nargs="+", default=EXPERIMENTS, help="of conf/experiment")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, help="32 of an SSD and 8 of a Faster R-CNN by default")
    parser.add_argument("--warmup", type=int, default=10, help="steps before the clock starts, at least 2")
    parser.add_argument("--steps", type=int, default=50, help="timed ones, at most")
    parser.add_argument("--seconds", type=float, default=3, help="of timing, about, at most")
    parser.add_argument("--matmul", type=int, default=8192, help="side of the matrix product")
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    options = parser.parse_args(words)
    if options.rehearse:
        vars(options).update(_TOY)
    return options


def main(words: Sequence[str]) -> None:
    """Measure, or train."""
    if words and words[0] == "finetune":
        finetune.main(words[1:])
        return
    options = options_of(words)
    clock = Clock(options.minutes)
    quiet()
    about = {"on": device_name(options.device), "tf32": torch.backends.cudnn.allow_tf32}
    record = Record("gpu", about)
    print(named(about.items()))
    # A compiler would take all of a rehearsal.
    with torch.compiler.set_stance("force_eager") if options.rehearse else nullcontext():
        measure(options, clock, record)
    print_goals(goals(record.rows, options.experiments[0]), options.experiments[0])
    print(f"Kept in {record.path}")
    if options.rehearse:
        finetune.main(["--rehearse"])


if __name__ == "__main__":
    main(sys.argv[1:])
