"""A set without lists, from the command line: the split goes with the run and its checkpoints."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from detection.checkpoints.description import (
    DescriptionError,
    _checked_learned,
    _checked_split,
    check_description,
)
from detection.checkpoints.kept_split import (
    described_split,
    keep_split,
    kept_split,
    learned_and_judged,
    learned_before,
    told_of_evaluation,
)
from detection.checkpoints.loading import read_checkpoint
from detection.data.learned import MOST, in_two_splits
from tests.data.test_own_sets import module_of
from tests.data.unsplit import COUNT, UNSPLIT, image, xml
from tests.warm_python import warm_python

ROOT = Path(__file__).parents[2]
SMALL = ("model/backbone=tiny", "data.size=64", "trainer=cpu", "data.batch_size=2", "data.num_workers=0")


def run(folder: Path, *arguments: str, code: int = 0) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(folder / "cache")}
    ended = subprocess.run(
        [*warm_python(), *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert ended.returncode == code, ended.stderr[-2000:]
    return " ".join(f"{ended.stdout} {ended.stderr}".split())


@pytest.mark.slow
def test_a_split_goes_with_the_run_and_its_checkpoints(tmp_path: Path) -> None:
    UNSPLIT["voc folders"][1](tmp_path / "set")
    data, folder = f"data={tmp_path}/set", tmp_path / "run"
    training = ("train.py", data, *SMALL, f"run_dir={folder}")
    said = run(tmp_path, *training, "trainer.max_epochs=1", "data.val_fraction=0.3")
    assert f"{data} is read as data=auto data.root={tmp_path}/set" in said
    assert "lists no images for val: of its 10, 3 for val are set apart by data.seed=233" in said
    split = json.loads((folder / "split.json").read_text())
    assert (split["seed"], split["fractions"]) == (233, {"val": 0.3})
    assert sorted(map(len, split["images"].values())) == [3, 7]
    assert read_checkpoint(folder / "checkpoints/last.ckpt")["hyper_parameters"]["split"] == split

    # Another seed, and another module for the same files.
    test = ("-m", "detection.evaluate", f"ckpt={folder}", f"data.root={tmp_path}/set", "trainer=cpu")
    said = run(tmp_path, *test, "data=voc_custom", "split=val", f"run_dir={tmp_path}/evaluation")
    assert "is split as in" in said
    assert "trained on" not in said
    told = json.loads((tmp_path / "evaluation/metrics.json").read_text())
    assert "3 images set apart" in json.dumps(told)

    image(tmp_path / "set/JPEGImages/new.jpg", 99)
    xml(tmp_path / "set/Annotations/new.xml", 0)
    said = run(tmp_path, *training, "trainer.max_epochs=2", f"ckpt={folder}")
    assert "New since: 1 image, with those that they look like or for train: 1 for train, 0 for val" in said
    resumed = json.loads((folder / "split.json").read_text())["images"]
    assert resumed["val"] == split["images"]["val"]
    assert resumed["train"] == sorted([*split["images"]["train"], "JPEGImages/new.jpg"])


@pytest.mark.parametrize("says_digests", [True, False])
def test_what_a_checkpoint_has_learned_is_said_where_it_is_evaluated(
    says_digests: bool, tmp_path: Path
) -> None:
    UNSPLIT["voc folders"][1](tmp_path)
    before = module_of("auto", tmp_path)
    before.setup()
    described = described_split(before, None)
    kept = kept_split(described if says_digests else {"split": described["split"]}, "a.ckpt")
    lists = tmp_path / "ImageSets/Main"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("\n".join(map(str, range(COUNT))))
    (lists / "train.txt").write_text("0\n")
    listed = module_of("auto", tmp_path)
    keep_split(listed, kept)
    listed.setup()
    (line,) = told_of_evaluation(listed, kept, "a.ckpt")[:1]
    known_by = "the names and lengths of their files" if says_digests else "their names"
    assert line.startswith(f"Warning: a.ckpt was trained on 8 of the 10 images of val, by {known_by}:")
    (line,) = told_of_evaluation(before, None, "b.ckpt")[1:]
    assert line.startswith("Warning: b.ckpt does not say which of these images it was trained on")


def write_lists(root: Path, **lists: range) -> None:
    folder = root / "ImageSets/Main"
    folder.mkdir(parents=True, exist_ok=True)
    for name, numbers in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(map(str, numbers)))


def test_images_that_lists_divided_are_known_when_they_are_divided_otherwise(tmp_path: Path) -> None:
    UNSPLIT["voc folders"][1](tmp_path / "set")
    write_lists(tmp_path / "set", train=range(2, COUNT), val=range(2))
    trained = module_of("auto", tmp_path / "set")
    trained.setup()
    described = described_split(trained, None)
    assert described.keys() == {"learned"}
    kept = kept_split(described, "a.ckpt")
    assert learned_before(trained, kept) == []

    # Moved, and without its lists: a fresh fifth is set apart.
    shutil.rmtree(tmp_path / "set/ImageSets")
    moved = tmp_path / "moved"
    moved.mkdir()
    for place in ("JPEGImages", "Annotations"):
        (tmp_path / "set" / place).rename(moved / place)
    anew = module_of("auto", moved, seed=2, val_fraction=0.5)
    keep_split(anew, kept)
    anew.setup()
    seen = sum(Path(path).stem not in ("0", "1") for path in anew.datasets["val"].paths)
    (line,) = learned_before(anew, kept)  # once, as its test is that of val
    assert line.startswith(f"Warning: a.ckpt was trained on {seen} of the 5 images of val, by the names and")

    # What a training has begun with is learned, too: nothing here is unseen but what neither had.
    both = kept_split(described_split(anew, kept), "b.ckpt")
    assert both is not None
    assert kept is not None
    assert kept.learned < both.learned
    assert f"{both.whose} was trained on {seen}" in learned_before(anew, both)[0]

    # Pascal VOC's own: its images are named the same, in whatever list.
    write_lists(moved, train=range(4), val=range(4, 8), trainval=range(8))
    few = module_of("voc", moved)
    few.datasets = {"train": few.make_dataset("train", None, few.eval_transform(48))}
    kept = kept_split(described_split(few, None), "c.ckpt")
    more = module_of("voc", moved, val_splits=["trainval"])
    more.datasets = {"val": more.make_dataset("val", None, more.eval_transform(48))}
    (line,) = told_of_evaluation(more, kept, "c.ckpt")
    assert line.startswith("Warning: c.ckpt was trained on 4 of the 8 images of val")


def test_images_that_are_trained_on_and_judged_by_are_counted(tmp_path: Path) -> None:
    UNSPLIT["voc folders"][1](tmp_path)
    write_lists(tmp_path, train=range(4), val=range(3, 6))
    data = module_of("auto", tmp_path)
    data.setup()
    (line,) = learned_and_judged(data)  # its test is that of val
    assert line.startswith("Warning: 1 of the 3 images of val are in train, too: its metrics say how well")
    overfit = module_of("auto", tmp_path, overfit_images=2)
    overfit.setup()
    assert learned_and_judged(overfit) == [], "which is what was asked for"
    write_lists(tmp_path, train=range(3), val=range(3, 6))
    copied = module_of("auto", tmp_path)
    copied.setup()
    assert learned_and_judged(copied) == []
    first, *_, last = copied.datasets["train"].paths
    for path, name in ((first, "copy"), (last, "another")):  # of one name and length
        folder = tmp_path / name
        folder.mkdir()
        content = bytearray(Path(path).read_bytes())
        content[-1] ^= name == "another"
        (folder / Path(path).name).write_bytes(content)
    seen = [str(tmp_path / "copy" / Path(first).name), str(tmp_path / "another" / Path(last).name)]
    (line,) = in_two_splits({"train": [first, last], "val": seen})
    assert line.startswith("Warning: 1 of the 2 images of val are in train, too, 1 as copies: its metrics")
    write_lists(tmp_path, train=range(3))
    apart = module_of("auto", tmp_path)
    apart.setup()
    assert learned_and_judged(apart) == []
    write_lists(tmp_path, train=range(4), val=range(4, 6), test=range(5, 8))
    tested = module_of("auto", tmp_path)
    tested.setup()
    (line,) = learned_and_judged(tested)
    assert line.startswith("Warning: 1 of the 3 images of test are in val, too, by which the best checkpoint")


def test_a_checkpoint_that_does_not_say_what_it_learned_is_as_before(tmp_path: Path) -> None:
    UNSPLIT["voc folders"][1](tmp_path)
    write_lists(tmp_path, train=range(2, COUNT), val=range(2))
    data = module_of("auto", tmp_path)
    data.setup()
    assert kept_split({"model": {}, "data": {}}, "a.ckpt") is None
    assert told_of_evaluation(data, None, "a.ckpt") == []


def test_a_split_is_written_for_good_and_is_that_of_a_training(tmp_path: Path) -> None:
    UNSPLIT["voc flat"][1](tmp_path / "flat")
    words = (
        "-m",
        "detection.convert",
        "from=auto",
        "to=yolo",
        f"root={tmp_path}/flat",
        f"out={tmp_path}/out",
    )
    said = run(tmp_path, *words, "split=0.5,0.3,0.2")
    assert "split=0.5,0.3,0.2 is read as split=[0.5,0.3,0.2]" in said
    assert "train 5 images, val 3 images, test 2 images; 2 classes" in said
    assert f"train.py experiment=finetune data.root={tmp_path}/out" in said


@pytest.mark.parametrize(
    "change",
    [
        {"seed": "1"},
        {"fractions": {"val": 2.0}},
        {"fractions": {"train": 0.2}},
        {"images": {"train": ["a"]}},
        {"images": {"train": ["a"], "val": [["b"]]}},
        {"images": {"train": ["a"], "val": ["b" * 5000]}},
        {"more": 1},
    ],
)
def test_a_split_in_a_description_is_names_and_no_more(change: dict[str, object]) -> None:
    split = {"seed": 1, "fractions": {"val": 0.2}, "images": {"train": ["a${b}"] * 5000, "val": ["b"]}}
    assert _checked_split(split) == split
    with pytest.raises(DescriptionError, match="split"):
        check_description({"model": {}, "data": {}, "split": split | change})


@pytest.mark.parametrize("learned", [8, ["abcdefgh"], "abc", "abcdefg$", "abcdefg\n", "a" * 8 * (MOST + 1)])
def test_what_was_learned_is_digests_and_no_more(learned: object) -> None:
    assert _checked_learned("abcdefgh+/012345") == "abcdefgh+/012345"
    with pytest.raises(DescriptionError, match="learned"):
        check_description({"model": {}, "data": {}, "learned": learned})
