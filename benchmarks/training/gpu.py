"""Everything that wants a GPU, in one command: it measures, trains, and prints which targets are met.

    python -m benchmarks.training.gpu data.root=... model.backbone.weights=.../mobilenet_v2.pth

1. The published networks beside torchvision's on the same tensors (speed.py); its options hold here, too.
2. Where the time of their training steps goes (step_profile.py).
3. The loader, with a worker on every core.
4. SSD-300 trained to convergence: the words KEY=VALUE are overrides for this and for the loader.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.training import speed, step_profile
from benchmarks.training.run import configuration, train_one
from detection.benchmarking.measure import measure_loader
from detection.cli.compose import make_data_and_task


class Goal(NamedTuple):
    """A target for SSD300-VGG16 on one H200."""

    what: str
    found: float | None
    least: float
    most: float = float("inf")

    @property
    def met(self) -> bool:
        """Whether what was found is within the bounds."""
        return self.found is not None and self.least <= self.found <= self.most


def goals(rows: Sequence[dict[str, Any]], experiment: str) -> list[Goal]:
    """The targets, from the rows of speed.py.

    Args:
        rows: of all networks.
        experiment: whose training they are for.
    """
    of_network = [row for row in rows if row["experiment"] == experiment and row["work"] == "training"]

    def fastest(precision: str, theirs: bool) -> float:
        speeds: list[float] = [
            row["images_per_second"]
            for row in of_network
            if row["precision"] == precision
            and (row["way"] == "torchvision") == theirs
            and row["way"] != speed.ASSIGNED.name  # torchvision's assigns its targets in the step
        ]
        return max(speeds)

    bf16 = fastest("bf16-mixed", theirs=False)
    waits = [
        row["waits"] for row in of_network if row["way"] == speed.ASSIGNED.name and row["waits"] is not None
    ]
    return [
        Goal("training in bf16, images/s", bf16, 1500),
        Goal("the same, times torchvision's in float32", bf16 / fastest("32-true", theirs=True), 2.5),
        Goal("the same, times torchvision's in bf16", bf16 / fastest("bf16-mixed", theirs=True), 1.3),
        Goal("waits of a step, targets by the loader", max(waits, default=None), 0, 0),
    ]


def main(words: Sequence[str] | None = None) -> None:
    """Do all, keep ``runs/gpu/<date>.json``, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[speed.options()]
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--trained", default="ssd_300_mobilenet_v2_voc07", help="the experiment to train")
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    arguments = parser.parse_intermixed_args(words)
    path = Path("runs/gpu") / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    for part, figures in parts(arguments):
        found[part] = figures
        path.write_text(json.dumps(found, indent=2) + "\n")
    print()
    targets = goals(found["speed"]["rows"], arguments.experiments[0])
    for goal in targets:
        bound = f"<= {goal.most:g}" if goal.most < float("inf") else f">= {goal.least:g}"
        value = "not counted" if goal.found is None else f"{goal.found:.2f}"
        print(f"{goal.what:48}{value:>14}{bound:>10}{'  met' if goal.met else '  NO'}")
    print(f"{sum(goal.met for goal in targets)} of {len(targets)} targets met by {arguments.experiments[0]}")
    print(f"Kept in {path}")


def parts(arguments: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """One part after the other: its name and its figures."""
    yield "speed", speed.run(arguments)
    yield "profile", step_profile.run(arguments, "bf16-mixed")
    overrides = [
        f"experiment={arguments.trained}",
        f"trainer={'gpu' if arguments.device == 'cuda' else 'cpu'}",
        "trainer.precision=bf16-mixed",
        "data.batch_size=32",
        f"data.num_workers={arguments.workers}",
        f"trainer.max_epochs={arguments.epochs}",
        *arguments.overrides,
    ]
    datamodule, _ = make_data_and_task(configuration(overrides, seed=0))
    loading = measure_loader(datamodule.train_dataloader(), arguments.warmup, arguments.steps)
    print(f"\nLoader, {arguments.workers} workers: {loading.images_per_second:.0f} images/s", flush=True)
    yield "loader", loading._asdict()
    trained = train_one(overrides, seed=0)
    print(f"{arguments.trained}, {arguments.epochs} epochs:", end=" ")
    print(", ".join(f"{name} {value:.3f}" for name, value in trained.items()), flush=True)
    yield "trained", trained


if __name__ == "__main__":
    main()
