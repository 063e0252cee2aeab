"""The files of a run that ``share`` reads."""

import json
from pathlib import Path

from tests.data.small_set import jpeg

METRICS = {"test/map": 0.5, "test/ap/cat": 0.75, "test/ap/dog": None, "tested_on": "test, 12 images"}


def write_run(folder: Path) -> Path:
    """Writes them beside an empty best checkpoint, whose path is returned."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    words = "- experiment=finetune\n- data.root=/data/my pets\n- optimizer.lr=0.01\n"
    (folder / ".hydra/overrides.yaml").write_text(words)
    (folder / ".hydra/hydra.yaml").write_text("hydra: {runtime: {choices: {data: auto}}}\n")
    (folder / "config.yaml").write_text("data: {root: /data/my pets}\n")
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    (folder / "predictions.png").write_bytes(jpeg())
    best = folder / "checkpoints/best.ckpt"
    best.touch()
    return best
