"""The split in a checkpoint: what a detector has learned is not evaluated as if it had not seen it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from detection.checkpoints.loading import read_checkpoint
from detection.checkpoints.runs import find_weights
from detection.checkpoints.shared import is_address, is_shared
from detection.checkpoints.wandb_artifacts import is_artifact
from detection.data.formats.records import SPLITS
from detection.data.learned import MOST, digests_of, in_two_splits, joined, parted
from detection.system.files import write_text
from detection.system.wording import counted

if TYPE_CHECKING:
    from detection.checkpoints.resume import Origin
    from detection.data.datamodule import DetectionDataModule
    from detection.data.splitting import SetApart


class Kept(NamedTuple):
    """What a checkpoint says of the images that it was trained on."""

    split: "SetApart | None"
    """Which images are in which split; None where lists divided them."""
    learned: set[str]
    """The images trained on, see ``detection.data.learned``; empty in a checkpoint that does not say them."""
    whose: str
    """The checkpoint's path."""


def kept_split(described: Mapping[str, Any], whose: str | Path) -> Kept | None:
    """What a checkpoint says of the images that it was trained on; None where it does not.

    Args:
        described: the description in the checkpoint, as ``read_checkpoint`` gives it.
        whose: its path.
    """
    from detection.data.splitting import SetApart

    split = SetApart.of(described["split"]) if "split" in described else None
    learned = parted(described.get("learned", ""))
    return Kept(split, learned, str(whose)) if split or learned else None


def split_to_keep(config: Mapping[str, Any], origin: "Origin | None") -> Kept | None:
    """What the checkpoint that a training resumes from, or takes its weights from, says of its images.

    Args:
        config: the whole configuration, with ``init_from`` and ``name``.
        origin: what the run resumes from.

    Raises:
        OSError, ValueError: the checkpoint cannot be read.
    """
    if origin is not None:
        return kept_split(origin.checkpoint["hyper_parameters"], origin.path)
    if config["init_from"] is None:
        return None
    path = Path(find_weights(config["init_from"], config["name"])).expanduser()
    # Published weights do not say, and what is missing is told later.
    if not (path.is_file() or is_shared(path) or is_address(path) or is_artifact(path)):
        return None
    return kept_split(read_checkpoint(path)["hyper_parameters"], path)


def keep_split(datamodule: "DetectionDataModule", kept: Kept | None) -> Kept | None:
    """Let the data be divided as a checkpoint has it, where its own lists do not divide it.

    Args:
        datamodule: before anything is read.
        kept: of the checkpoint.

    Returns:
        The same, for what is said later.

    Raises:
        ValueError: another division was asked for.
    """
    from detection.data.own_sets import OwnDataModule

    if kept is not None and kept.split is not None and isinstance(datamodule, OwnDataModule):
        datamodule.keep_split(kept.split, kept.whose)
    return kept


def learned_before(datamodule: "DetectionDataModule", kept: Kept | None) -> list[str]:
    """Warn of images that are evaluated and that a checkpoint was trained on.

    Args:
        datamodule: its splits read.
        kept: of the checkpoint.

    Returns:
        A line for each split concerned.
    """
    if kept is None or datamodule.overfit_images is not None:
        return []
    known_by = "the names and lengths of their files" if kept.learned else "their names"
    at_least = "at least " if len(kept.learned) >= MOST else ""
    told_once = "test" if datamodule.test_is_val and "val" in datamodule.datasets else None
    return [
        f"Warning: {kept.whose} was trained on {at_least}{count} of the "
        f"{counted(len(dataset), 'image')} of {split}, by {known_by}: "
        "its metrics on them are better than on images that it has not seen."
        for split, dataset in datamodule.datasets.items()
        if split not in ("train", told_once) and (count := _learned(datamodule, split, kept))
    ]


def learned_and_judged(datamodule: "DetectionDataModule") -> list[str]:
    """Warn of images that a training both learns from and is judged by, or is both chosen and tested by.

    Args:
        datamodule: set up.

    Returns:
        A line for each split concerned; none where it is to overfit.
    """
    if datamodule.overfit_images is not None:
        return []
    splits = SPLITS[:2] if datamodule.test_is_val else SPLITS
    return in_two_splits({split: datamodule.datasets[split].paths for split in splits})


def _learned(datamodule: "DetectionDataModule", split: str, kept: Kept) -> int:
    """How many images of a split a checkpoint was trained on, as far as it says."""
    from detection.data.own_sets import OwnDataModule

    if kept.learned:
        return len(digests_of(datamodule.datasets[split].paths) & kept.learned)
    if kept.split is not None and isinstance(datamodule, OwnDataModule):
        return datamodule.learned_before(split, kept.split)
    return 0


def told_of_evaluation(datamodule: "DetectionDataModule", kept: Kept | None, ckpt: str | Path) -> list[str]:
    """What is to be said of the images that a checkpoint is evaluated on.

    Args:
        datamodule: its split read.
        kept: of the checkpoint.
        ckpt: its path.
    """
    unknown = (
        f"Warning: {ckpt} does not say which of these images it was trained on: it may be judged by what it "
        "has learned."
    )
    is_unknown = datamodule.set_apart is not None and kept is None
    return [*datamodule.split_lines, *([unknown] if is_unknown else []), *learned_before(datamodule, kept)]


def described_split(datamodule: "DetectionDataModule", kept: Kept | None) -> dict[str, Any]:
    """What a checkpoint says of the images that it was trained on.

    Args:
        datamodule: set up.
        kept: of the checkpoint that the training began with, whose images it has learned as well.

    Returns:
        ``learned``, see ``detection.data.learned``, and ``split`` where images were set apart.
    """
    before = kept.learned if kept else set()
    learned = joined(digests_of(datamodule.datasets["train"].paths) | before)
    apart = datamodule.set_apart
    return {"learned": learned, **({} if apart is None else {"split": apart.described()})}


def write_split(datamodule: "DetectionDataModule", folder: str, is_first: bool) -> None:
    """Write ``split.json`` into the run's folder, where images were set apart.

    Args:
        datamodule: set up.
        folder: of the run.
        is_first: whether this is the process that writes.
    """
    apart = datamodule.set_apart
    if apart is not None and is_first:
        write_text(Path(folder) / "split.json", json.dumps(apart.described(), indent=1) + "\n")
