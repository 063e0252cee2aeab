"""Train a detector and test its best checkpoint: ``python train.py --help``."""

from detection.cli.entry import run_with_hints
from detection.train import main

if __name__ == "__main__":
    run_with_hints(main)
