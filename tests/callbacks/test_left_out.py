"""The list of images that were left out."""

from pathlib import Path

import pytest
import pytorch_lightning as pl

from detection.callbacks.left_out import ListLeftOut, beginning
from tests.callbacks.conftest import TinyTask
from tests.data.small_set import SmallSet


def fit_and_test(folder: Path, on_error: str, workers: int = 1) -> None:
    small_set = SmallSet(folder / "mine")
    small_set.add("x", b"no image" if on_error == "skip" else None)
    small_set.add("y")
    module = small_set.module(on_error, workers)
    if on_error == "skip":
        (small_set.root / "JPEGImages/y.jpg").write_bytes(b"")
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=2, callbacks=[ListLeftOut(str(folder))], default_root_dir=folder,
        logger=False, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        num_sanity_val_steps=0, log_every_n_steps=1,
    )  # fmt: skip
    task = TinyTask()
    trainer.fit(task, datamodule=module)
    trainer.test(task, datamodule=module, verbose=False)


def test_left_out_images_are_listed_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit_and_test(tmp_path, "skip")
    told = capsys.readouterr().out
    assert "Left out, because they cannot be used: 2 of train, 2 of val, 2 of test." in told
    assert "Metrics are those of the images that are left" in told
    assert told.count("Left out") == 1
    lines = (tmp_path / "left_out.txt").read_text().splitlines()
    assert len(lines) == 6
    for split in ("train", "val", "test"):
        assert sum(f"{split}: " in line and "x.jpg is not an image" in line for line in lines) == 1
        assert sum(f"{split}: " in line and "y.jpg is an empty file" in line for line in lines) == 1


def test_nothing_to_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit_and_test(tmp_path, "raise")
    assert "Left out" not in capsys.readouterr().out
    assert not (tmp_path / "left_out.txt").exists()


def test_long_lists_are_cut() -> None:
    text = beginning({"train": [f"{number}.jpg is bad" for number in range(9)], "val": []}, Path("a.txt"))
    assert "9 of train. " in text
    assert "4.jpg is bad" in text
    assert "5.jpg" not in text
    assert text.endswith("... and 4 more")
