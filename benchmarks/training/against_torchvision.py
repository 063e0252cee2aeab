"""Train ours and torchvision's detector side by side, and print mAP and images per second of both.

    python -m benchmarks.training.against_torchvision experiment=ssd_300_mobilenet_v2_voc07 seeds=0,1 \
        trainer=cpu trainer.max_epochs=12 data.root=... model.backbone.weights=...

Every other word is an override of the configuration, the same for both. Runs alternate: ours, theirs, ours,
theirs. Each result is kept under ``runs/against_torchvision`` as soon as there is one.
"""

import sys
from typing import Any

from benchmarks.training.peers import TorchvisionTask, torchvision_of
from benchmarks.training.run import Record, seeds_of, train_one


def theirs(task: Any, config: dict[str, Any]) -> TorchvisionTask:
    """Torchvision's detector of the same kind, on the features of ours."""
    return TorchvisionTask(task, torchvision_of(task, config["data"]["size"]))


def main(words: list[str]) -> None:
    """Run all."""
    seeds, overrides = seeds_of(words)
    record = Record("against_torchvision", overrides)
    for seed in seeds:
        record.add("ours", seed, train_one(overrides, seed))
        record.add("torchvision", seed, train_one(overrides, seed, theirs))


if __name__ == "__main__":
    main(sys.argv[1:])
