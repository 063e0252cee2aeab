"""What happens to a run when its data, its numbers or its machine fail."""

import csv
import json
import logging
import math
import os
import random
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import resource_sharer
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from PIL import Image

from detection.cli.faults import describe, faults_in_a_sentence, quieten_lightning
from detection.data.shapes import write_shapes
from tests.data.small_set import annotation
from tests.data.test_bad_annotations import BOMB, MANY
from tests.started import children, wait_for
from tests.tasks.test_resuming import assert_equal
from tests.warm_python import warm_python

ROOT = Path(__file__).parents[2]
SMALL = (
    "model=ssd",
    "model/backbone=tiny",
    "trainer=cpu",
    "optimizer.lr=0.01",
    "data.size=128",
    "data.batch_size=4",
    "data.num_workers=1",
    "trainer.max_epochs=3",
    "trainer.log_every_n_steps=1",
    "trainer.enable_model_summary=false",
    "scheduler.warmup_steps=0",
    "callbacks.progress.seconds=0",
)
GENERATED = ("data=shapes", "data.image_size=128", "data.num_train=16", "data.num_val=5", "data.num_test=5")
WANDB = ("logger=[csv,wandb]", "callbacks.wandb.every_n_epochs=1")
TWO = ("trainer=ddp_cpu", "data.batch_size=4", "data.num_workers=0")
MINUTE = 60


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shapes")
    write_shapes(root, 16, 5, 5, size=128, seed=0)
    return root


Start = Callable[..., "subprocess.Popen[str]"]
Own = tuple[Path, tuple[str, ...]]


@pytest.fixture
def start(tmp_path: Path, shapes: Path) -> Start:
    """Starts a small training into the folder ``run``, in a process group of its own."""

    def run(
        *overrides: str, python: tuple[str, ...] = (sys.executable,), **options: Any
    ) -> "subprocess.Popen[str]":
        own = "data=voc_custom" in overrides
        data = () if own else (*GENERATED, f"data.root={shapes}")
        words = {word.partition("=")[0]: word for word in (*SMALL, *data, *overrides)}  # the last one counts
        words.setdefault("hydra.run.dir", f"hydra.run.dir={tmp_path / 'run'}")
        return subprocess.Popen(
            [*python, "train.py", *words.values()],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **{"env": {**os.environ, "OMP_NUM_THREADS": "1"}, **options},
        )

    return run


@pytest.fixture
def own(tmp_path: Path, shapes: Path) -> Own:
    """A copy of the generated set as a user's own, and the overrides that train on it."""
    root = tmp_path / "own"
    shutil.copytree(shapes / "VOCdevkit/Shapes", root)
    return root, ("data=voc_custom", f"data.root={root}")


def cut(image: Path) -> Path:
    image.write_bytes(image.read_bytes()[:1000])
    return image


def fails(process: "subprocess.Popen[str]") -> str:
    """Waits for a run that should end with a sentence; returns what it said."""
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors[-3000:]
    assert "Traceback" not in errors, errors[-3000:]
    return errors


def succeeds(process: "subprocess.Popen[str]") -> str:
    printed, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]
    return printed


def test_a_bad_loss_stops_the_run(start: Start, tmp_path: Path) -> None:
    errors = fails(start("optimizer.lr=1e20", python=warm_python()))
    assert (
        "The loss is not a finite number at step 1 (counted from 0; epoch 1, learning rate 1e+20)" in errors
    )
    assert "images Shapes/train_000" in errors
    assert not list(tmp_path.glob("run/checkpoints/*"))


def test_an_image_that_breaks_off_stops_the_run(start: Start, own: Own) -> None:
    root, overrides = own
    image = cut(root / "JPEGImages/val_00002.jpg")
    errors = fails(start(*overrides, "trainer.max_epochs=1", python=warm_python()))
    assert errors.rstrip().endswith(
        f"{image} breaks off before its last pixel: replace the file or leave it out. "
        "python -m detection.check finds all such images, and data.on_error=skip leaves them out"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<annotation>", "is not well-formed XML"),
        (annotation(("nan", 5, 40, 40)), "<xmin>nan</xmin>, which is not a number: correct it"),
        (annotation((40, 5, 5, 40)), "empty or inverted box"),
        (BOMB, "declares XML entities"),
    ],
)
def test_an_annotation_that_is_wrong_stops_the_run(
    start: Start, own: Own, content: str, message: str
) -> None:
    root, overrides = own
    (root / "Annotations/train_00003.xml").write_text(content)
    errors = fails(start(*overrides, python=warm_python()))
    assert message in errors
    assert "Annotations/train_00003.xml" in errors
    assert "data.on_error=skip" in errors


@pytest.mark.slow
@pytest.mark.parametrize("model", ["ssd", "faster_rcnn"])
def test_extreme_images_and_crowds_are_trained_on(start: Start, own: Own, model: str, tmp_path: Path) -> None:
    root, overrides = own
    lists = {split: root / f"ImageSets/Main/{split}.txt" for split in ("train", "val")}
    for width, height in [(1, 1), (1, 60), (20_000, 30), (20_000, 2_000)]:
        name = f"extreme_{width}x{height}"
        Image.new("RGB", (width, height), (200, 100, 50)).save(root / f"JPEGImages/{name}.jpg")
        (root / f"Annotations/{name}.xml").write_text("<annotation/>")
        for path in lists.values():
            path.write_text(f"{path.read_text().rstrip()}\n{name}\n")
    crowd = root / "Annotations/train_00003.xml"
    crowd.write_text(f"<annotation>{MANY.replace('cat', 'star')}</annotation>")
    assert MANY.count("<object>") == 9600
    light = ("model=faster_rcnn_light", "model.backbone.freeze_batchnorm=false", "data.size=[128,200]")
    network = light if model == "faster_rcnn" else ("data.train_transform.crop=false",)
    printed = succeeds(start(*overrides, *network, "trainer.max_epochs=2"))
    assert "Left out" not in printed
    history = list(csv.DictReader((tmp_path / "run/metrics.csv").read_text().splitlines()))
    losses = [float(row["train/loss"]) for row in history if row["train/loss"]]
    assert len(losses) == 2 * 5
    assert all(math.isfinite(loss) for loss in losses)


@pytest.mark.slow
def test_two_processes_skip_bad_images(start: Start, own: Own, tmp_path: Path) -> None:
    """Though one has fewer images to evaluate than the other, neither waits for ever, and all count once."""
    root, overrides = own
    for name in ("train_00001", "train_00004", "val_00000", "val_00002"):
        cut(root / f"JPEGImages/{name}.jpg")
    (root / "Annotations/train_00003.xml").write_text("<annotation>")
    printed = succeeds(start(*overrides, *TWO, "data.on_error=skip", "data.eval_batch_size=1"))
    assert "Left out, because they cannot be used: 3 of train, 2 of val, 2 of test." in printed
    listed = (tmp_path / "run/left_out.txt").read_text()
    for name in ("train_00001", "train_00003", "train_00004"):
        assert listed.count(name) == 1
    assert json.loads((tmp_path / "run/metrics.json").read_text())["test/map"] >= 0


@pytest.mark.slow
def test_a_process_of_whose_images_none_is_left_ends_both(start: Start, own: Own) -> None:
    root, overrides = own
    for name in ("val_00000", "val_00002", "val_00004"):  # all of the first process
        cut(root / f"JPEGImages/{name}.jpg")
    process = start(*overrides, *TWO, "data.on_error=skip", "data.eval_batch_size=1")
    _, errors = process.communicate(timeout=MINUTE)
    assert process.returncode == 1
    assert "None of the 3 images that this process evaluates can be used" in errors


def test_more_processes_than_images_to_evaluate_are_refused(start: Start, own: Own) -> None:
    root, overrides = own
    (root / "ImageSets/Main/val.txt").write_text("val_00001\n")
    errors = fails(start(*overrides, *TWO, python=warm_python()))
    assert "val has 1 image for 2 devices: each needs one or more, so lower trainer.devices" in errors


@pytest.mark.slow
def test_bad_images_are_skipped_and_a_data_set_is_never_written_to(
    start: Start, own: Own, tmp_path: Path
) -> None:
    root, overrides = own
    cut(root / "JPEGImages/val_00002.jpg")
    (root / "Annotations/train_00003.xml").write_text("<annotation>")
    files = [root, *root.rglob("*")]
    for path in files:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    before = [path.stat().st_mtime_ns for path in files]  # root may write whatever the permissions say
    options = ("data.on_error=skip", "trainer.max_epochs=1", "data.num_workers=2")
    printed = succeeds(start(*overrides, *options))
    assert [root, *root.rglob("*")] == files
    assert [path.stat().st_mtime_ns for path in files] == before
    assert "Left out, because they cannot be used: 1 of train, 1 of val, 1 of test." in printed
    listed = (tmp_path / "run/left_out.txt").read_text()
    assert "train_00003.xml is not well-formed XML" in listed
    assert "val_00002.jpg breaks off before its last pixel" in listed
    assert json.loads((tmp_path / "run/metrics.json").read_text())["test/map"] >= 0


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
            "A process that loads images",
        ),
        (RuntimeError("DataLoader worker (pid(s) 7, 8) exited unexpectedly"), "lower data.num_workers"),
        (RuntimeError("unable to allocate shared memory(shm) for file </torch_1>"), "enlarge /dev/shm"),
        (
            RuntimeError("pair.cc Connection closed by peer [127.0.0.1]:1"),
            "Another process of this run has died",
        ),
        (OSError(28, "No space left on device", "metrics.csv"), "No space left on device: 'metrics.csv'"),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated. "),
            "told to end, by SIGTERM",
        ),
        (OSError(24, "Too many open files"), "ulimit -n 4096"),
        (RuntimeError("Too many open files. Communication with the workers"), "lower data.num_workers"),
        (RuntimeError("DataLoader timed out after 300.0 seconds"), "No batch has come for 300.0 seconds"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "lower data.batch_size"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "lower data.batch_size"),
        (MisconfigurationException("`max_epochs` is wrong"), "`max_epochs` is wrong"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (ValueError("a defect"), None),
    ],
)
def test_faults_have_sentences_and_defects_have_not(error: Exception, sentence: str | None) -> None:
    found = describe(error)
    assert found is None if sentence is None else sentence in str(found)


def test_a_defect_ends_in_a_sentence_and_leaves_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        pytest.raises(SystemExit, match=r"KeyError: 'BETAS'. .*traceback\.txt"),
        faults_in_a_sentence(tmp_path),
    ):
        os.environ["BETAS"]
    assert "test_a_defect_ends" in (tmp_path / "traceback.txt").read_text(encoding="utf-8")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(KeyError), faults_in_a_sentence(tmp_path):
        os.environ["BETAS"]


def test_what_failed_first_is_told(tmp_path: Path) -> None:
    """Lightning takes the run apart after an error, and stumbles over a loader that never started."""

    class Task(pl.LightningModule):
        def training_step(self, batch: Any) -> None: ...
        def configure_optimizers(self) -> None: ...
        def train_dataloader(self) -> Any:
            class Loader(torch.utils.data.DataLoader[int]):
                def __iter__(self) -> Any:
                    raise OSError(11, "Resource temporarily unavailable")

            return Loader([1, 2])  # type: ignore[arg-type]

    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, default_root_dir=tmp_path
    )
    with pytest.raises(SystemExit, match="Resource temporarily unavailable"), faults_in_a_sentence(tmp_path):
        trainer.fit(Task())


def test_a_batch_of_a_loader_that_has_died_is_told_as_its_death() -> None:
    read, write = os.pipe()
    announced = resource_sharer.DupFd(read)
    os.close(write)
    resource_sharer.stop()  # as if its process were gone
    with pytest.raises((EOFError, OSError)) as caught:
        announced.detach()
    assert "A process that loads images has died" in str(describe(caught.value))
    assert describe(EOFError()) is None, "of another origin"


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.RMSprop, torch.optim.AdamW])
def test_the_state_of_another_optimizer_is_said_to_be_one(tmp_path: Path, kind: Any) -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    other = torch.optim.Adagrad([weight], lr=0.1)
    weight.grad = torch.ones(2)
    other.step()
    optimizer = kind([weight], lr=0.1)
    message = r"The checkpoint does not fit what is configured \(KeyError.*init_from"
    optimizer.load_state_dict(other.state_dict())
    with pytest.raises(SystemExit, match=message), faults_in_a_sentence(tmp_path):
        optimizer.step()


@pytest.mark.slow
def test_a_dead_loader_process_ends_the_run(start: Start) -> None:
    process = start("trainer.max_epochs=99")
    wait_for(process, "epoch 2/99")
    started = time.monotonic()
    os.kill(children(process.pid)[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=MINUTE)
    assert time.monotonic() - started < MINUTE
    assert process.returncode == 1
    assert "A process that loads images has died" in errors


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["first", "second"])
def test_a_dead_process_takes_the_run_down(start: Start, victim: str) -> None:
    process = start(*TWO, "trainer.max_epochs=99")
    wait_for(process, "epoch 2/99")
    (second,) = children(process.pid)
    started = time.monotonic()
    os.kill(process.pid if victim == "first" else second, signal.SIGKILL)
    process.wait(MINUTE)
    while Path(f"/proc/{second}").exists() and "State:\tZ" not in Path(f"/proc/{second}/status").read_text():
        assert time.monotonic() - started < MINUTE, "the other process waits for the dead one"
        time.sleep(0.1)
    _, errors = process.communicate(timeout=MINUTE)
    assert process.returncode != 0
    if victim == "second":
        assert "Another process of this run has died" in errors


@pytest.mark.slow
def test_a_fault_of_one_process_ends_both_in_a_sentence(start: Start, own: Own) -> None:
    root, overrides = own
    cut(root / "JPEGImages/train_00002.jpg")
    process = start(*overrides, *TWO, "trainer.max_epochs=99")
    _, errors = process.communicate(timeout=MINUTE)
    assert process.returncode != 0
    assert "train_00002.jpg breaks off before its last pixel: replace the file or leave it out" in errors


@pytest.mark.slow
def test_a_training_survives_the_death_of_wandb(start: Start, tmp_path: Path) -> None:
    process = start("trainer.max_epochs=6", *WANDB, "logger.wandb.mode=offline")
    wait_for(process, "epoch 2/6")
    (recorder,) = (child for child in children(process.pid) if "wandb-core" in program_of(child))
    os.kill(recorder, signal.SIGKILL)
    printed = succeeds(process)
    assert printed.count("Weights & Biases does not record any more") == 1
    assert "Upload what it has with: wandb sync" in printed
    assert json.loads((tmp_path / "run/metrics.json").read_text())["test/map"] >= 0


@pytest.mark.slow
def test_a_training_needs_no_server(start: Start, tmp_path: Path) -> None:
    unreachable = {
        **{name: value for name, value in os.environ.items() if not name.startswith("WANDB_")},
        "WANDB_API_KEY": "0123456789" * 4,
        "WANDB_BASE_URL": "http://127.0.0.1:9",  # nobody listens at the discard port
        "OMP_NUM_THREADS": "1",
    }
    printed = succeeds(start("trainer.max_epochs=1", *WANDB, env=unreachable))
    assert "Weights & Biases: offline (no connection:" in printed
    assert json.loads((tmp_path / "run/metrics.json").read_text())["test/map"] >= 0


@pytest.mark.slow
def test_runs_that_start_together_do_not_meet(start: Start, tmp_path: Path) -> None:
    name = f"name=together_{tmp_path.name}"
    folders = ROOT / "runs" / name.partition("=")[2]
    same_second = "hydra.run.dir=${run_folder:${ckpt},${name},now}"
    try:
        runs = [start("trainer.max_epochs=1", name, same_second) for _ in range(3)]
        for run in runs:
            succeeds(run)
        assert len(list(folders.iterdir())) == 3
        for folder in folders.iterdir():
            assert json.loads((folder / "metrics.json").read_text())["test/map"] >= 0
            assert (folder / "checkpoints/last.ckpt").is_file()
    finally:
        shutil.rmtree(folders, ignore_errors=True)


def program_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text()


def small_files_only() -> None:
    """As if the disk were full for a file of more than 500 KB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))


@pytest.mark.slow
def test_a_full_disk_ends_the_run_and_keeps_the_checkpoint(start: Start, tmp_path: Path) -> None:
    run = tmp_path / "run"
    succeeds(start("trainer.max_epochs=1"))
    before = (run / "checkpoints/last.ckpt").read_bytes()
    errors = fails(start(f"ckpt={run}", preexec_fn=small_files_only))
    assert ".ckpt cannot be written (File too large): the one before is kept" in errors
    assert (run / "checkpoints/last.ckpt").read_bytes() == before
    assert list(run.glob("checkpoints/.*")) == [], "the half file takes no place"


@pytest.mark.slow
def test_twenty_kills_in_a_row_change_nothing(start: Start, tmp_path: Path) -> None:
    """A run is killed at a random moment, resumed, killed again; in the end it is like the whole one."""
    epochs = ("trainer.max_epochs=30", "callbacks=[default,ema]")
    succeeds(start(*epochs, f"hydra.run.dir={tmp_path / 'whole'}"))
    draw, checkpoint = random.Random(0), tmp_path / "run/checkpoints/last.ckpt"
    resumed: list[bool] = []

    def resume() -> "subprocess.Popen[str]":
        # The best one alone, where a kill has come between the first two.
        left = [path for path in (checkpoint, checkpoint.with_name("best.ckpt")) if path.exists()]
        resumed.append(bool(left))
        return start(*epochs, *(f"ckpt={path}" for path in left[:1]))

    half_written = [kill_at_random(resume(), draw, checkpoint) for _ in range(20)]
    succeeds(resume())
    counts = {name: sum(name in names for names in half_written) for name in ("last", "best")}
    print(f"of {len(resumed)} starts {sum(resumed)} went on; kills inside of the writing of {counts}")
    assert sum(resumed) >= 17, "most kills are after the first checkpoint"
    assert counts["last"] >= 2
    assert sum(map(bool, half_written)) >= 5
    names = ("whole", "run")
    expected, found = (
        torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True) for name in names
    )
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert_equal(found[part], expected[part])
    figures = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in names]
    assert figures[0] == figures[1]
    histories = [(tmp_path / name / "metrics.csv").read_text() for name in names]
    rows = [list(csv.DictReader(history.splitlines())) for history in histories]
    assert rows[0] == rows[1]


def kill_at_random(process: "subprocess.Popen[str]", draw: random.Random, last: Path) -> str:
    """Kills after none to two more epochs: while a checkpoint is being written, or up to half a second later.

    Returns:
        The names of the checkpoints that were left half-written.
    """
    for left in last.parent.glob(".*.new"):
        left.unlink()
    wait_for(process, "step")
    for _ in range(draw.randrange(3)):
        wait_until(partial(is_newer, last, written(last)))
    if draw.random() < 0.6:
        wanted = draw.choice([".last*.new", ".*.new"])
        wait_until(lambda: bool(list(last.parent.glob(wanted))))
    else:
        time.sleep(draw.random() / 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=MINUTE)
    return " ".join(path.name for path in last.parent.glob(".*.new"))


def written(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def is_newer(path: Path, time_ns: int) -> bool:
    return written(path) > time_ns


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + MINUTE
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.0002)


def test_lightning_does_not_repeat_what_was_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    monkeypatch.setattr(logger, "filters", [])
    quieten_lightning()
    told = "`Trainer(limit_train_batches=1)` was configured so 1 batch per epoch will be used."
    for message, heard in ((told, False), ("Something went wrong.", True)):
        record = logging.makeLogRecord({"msg": message, "levelno": logging.INFO})
        assert bool(logger.filter(record)) is heard
