"""What the folder of a run tells of its detector."""

from pathlib import Path

import pytest

from detection.sharing.run import Run, run_of
from tests.sharing.run_folder import write_run


def test_the_folder_of_a_run_is_read(tmp_path: Path) -> None:
    run = run_of(str(write_run(tmp_path / "run")))
    assert run.overrides == ["experiment=finetune", "data.root=/data/my pets", "optimizer.lr=0.01"]
    assert run.data == "my pets (auto)"
    assert run.metrics == {"test/map": 0.5, "test/ap/cat": 0.75}, "an undefined one is left out"
    assert run.tested_on == "test, 12 images"
    assert run.picture == tmp_path / "run/predictions.png"


def test_another_checkpoint_than_the_tested_one_has_no_metrics(tmp_path: Path) -> None:
    best = write_run(tmp_path / "run")
    last = best.rename(best.with_name("last.ckpt"))
    assert run_of(str(last)).metrics == {}
    assert run_of(str(last)).overrides


@pytest.mark.parametrize("ckpt", ["best.ckpt", "hf://user/name", "tensorflow/ssd_mobilenet_v2_coco"])
def test_nothing_is_known_elsewhere(ckpt: str) -> None:
    assert run_of(ckpt) == Run([], "", {}, "", None)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    best = write_run(tmp_path / "run")
    (tmp_path / "run/config.yaml").write_text("data: [")
    with pytest.raises(ValueError, match=r"config\.yaml cannot be read as YAML"):
        run_of(str(best))
    (tmp_path / "run/metrics.json").write_text("{")
    with pytest.raises(ValueError, match=r"metrics\.json cannot be read as JSON"):
        run_of(str(best))
