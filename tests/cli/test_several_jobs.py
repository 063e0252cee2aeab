"""Several jobs of a command that does not train, as typed with ``-m``."""

import os
import subprocess
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace as Having

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from detection.cli import several_jobs
from detection.data.shapes import write_shapes
from tests.warm_python import warm_python


def test_jobs_that_fail_do_not_end_those_behind_them(tmp_path: Path) -> None:
    for name in ("first", "last"):
        write_shapes(tmp_path / name, 2, 1, 0, size=96)
    sources = ["nowhere", "first/VOCdevkit/Shapes", "elsewhere", "last/VOCdevkit/Shapes"]
    done = subprocess.run(
        [
            *(*warm_python(), "-m", "detection.convert", "-m", f"root={','.join(sources)}"),
            *("from=voc", "to=yolo", "out=out/${hydra:job.num}"),
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1", "3"], done.stderr
    said = done.stderr.splitlines()
    assert said[0].startswith("no VOC-style folder nowhere"), done.stderr
    assert said[1].startswith("no VOC-style folder elsewhere")
    assert said[2] == "2 of 4 jobs failed:"
    assert "root=nowhere " in said[3]
    assert "root=elsewhere " in said[4]
    assert len(said) == 5


@pytest.mark.parametrize(("code", "goes_on"), [("no such data", True), (1, True), (-1, False), (0, False)])
def test_a_job_that_is_queued_again_has_not_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int | str, goes_on: bool
) -> None:
    """By -1 submitit leaves a job that Slurm has queued again; what returns is a job that is done."""

    def main(cfg: DictConfig) -> None:
        raise SystemExit(code)

    config = Having(overrides=Having(task=["seed=1"]), runtime=Having(output_dir=str(tmp_path)))
    monkeypatch.setattr(several_jobs, "in_sweep", lambda: True)
    monkeypatch.setattr(HydraConfig, "get", lambda: config)
    monkeypatch.setattr(several_jobs, "_started", [])
    monkeypatch.setattr(several_jobs, "_failed", [])
    with nullcontext() if goes_on else pytest.raises(SystemExit):
        several_jobs.job_of_several(main)(DictConfig({}))
    assert several_jobs._failed == (["seed=1"] if goes_on else [])
