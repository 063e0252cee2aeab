"""Say everything that is wrong with a dataset: ``python -m detection.check --help``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from detection.cli.compose import checked_config, errors_in_a_sentence, typed_overrides
from detection.cli.entry import run_with_hints
from detection.cli.hydra_versions import hydra_main, instantiate
from detection.cli.quoting import as_value
from detection.cli.run_lines import words_of_own_parts
from detection.settings import Check
from detection.system.files import refuse_unwritable
from detection.system.processes import as_typed, command
from detection.system.wording import counted

if TYPE_CHECKING:
    from detection.inspection.coverage import Coverage
    from detection.inspection.inspect import Inspection


@hydra_main("check")
def main(cfg: DictConfig) -> None:
    """Check one dataset; the exit code is 1 if something as bad as ``fail_on`` was found, else 0."""
    inspection = check(cfg)
    bad = inspection.count("error") + (inspection.count("warning") if cfg.fail_on == "warning" else 0)
    if bad:
        raise SystemExit(1)


def check(cfg: DictConfig) -> "Inspection":
    """Inspect a dataset as configured and write the report into the run's folder.

    Returns:
        What was found.
    """
    config = checked_config(cfg, Check)
    output = Check.of(config).output_folder
    with errors_in_a_sentence():
        # Heavy imports wait until there is something to do: --help and typing errors answer at once.
        from rich.console import Console

        from detection.inspection.duplicates import find_near_duplicates
        from detection.inspection.figure import plot_dataset
        from detection.inspection.inspect import inspect_dataset
        from detection.inspection.page import write_page
        from detection.inspection.report import print_report, summary, write_json
        from detection.inspection.statistics import compute_statistics

        if output is not None:
            refuse_unwritable(output.parent, "output")
        data = instantiate(config["data"])
        data.prepare_data()
        inspection = inspect_dataset(data, config["data"]["root"], config["min_side"], config["workers"])
        statistics = compute_statistics(inspection)
        coverage = _coverage(config, inspection)
        near = find_near_duplicates(inspection.images)
        folder, model = Path(config["run_dir"]), config["model_name"]
        print_report(Console(emoji=False), inspection, statistics, coverage, model)
        changes, advice = _fix(inspection, output, config["data"]["root"])
        write_json(folder / "report.json", inspection, statistics, coverage, near, model, changes)
        plot_dataset(folder / "report.png", statistics, coverage, model)
        write_page(folder / "report.html", inspection, statistics, coverage, near, model, advice)
        print(summary(inspection, near))
        print(f"Kept in {folder}: report.json, report.png and the page to look at:\n{folder}/report.html")
        for line in advice:
            print(line)
    return inspection


def _fix(inspection: "Inspection", output: Path | None, root: str) -> tuple[list[str], list[str]]:
    """Write the corrected copy if it is asked for.

    Args:
        inspection: of the dataset.
        output: the folder to write; None if no copy is asked for.
        root: ``data.root`` as it was typed.

    Returns:
        What the copy changes, and how to continue: a line for each command.

    Raises:
        ValueError: it is asked for, but what would be left cannot be trained on.
    """
    from detection.inspection.fix import LIST_OF_CHANGES, write_fixed_copy
    from detection.inspection.selection import select

    if output is None and not inspection.count("error"):
        return [], [f"Train on it: {_command_to_train(root)}"]
    try:
        selection = select(inspection)
    except ValueError as error:
        if output is None:
            return [], [str(error)]
        raise
    if output is None:
        return [], [f"Write a copy without these errors: {_command_to_fix(inspection.root, root)}"]
    changes = write_fixed_copy(selection, output)
    made = counted(len(changes), "change")
    done = f"{output}: a corrected copy with {made}, listed in its {LIST_OF_CHANGES}"
    test = ["data.test_splits=[test]"] if "test" in selection.splits else []
    # VOC's layout has no order of classes, and training takes the alphabet's.
    order = [f"data.classes={as_value(selection.classes)}"]
    in_order = order if selection.classes != sorted(selection.classes) else []
    train = _command_to_train(root, ["data=voc_custom", f"data.root={output}", *test, *in_order])
    return changes, [done, f"Train on it: {train}"]


def _command_to_fix(root: Path, typed: str) -> str:
    """This command again, with a folder beside the dataset to write to."""
    place = root.resolve() if root.name in ("", "..") else root
    output = place.with_name(f"{place.name}_fixed")
    number = 1
    while output.exists():
        number += 1
        output = place.with_name(f"{place.name}_fixed_{number}")
    words = [word for word in typed_overrides() if not _is_of(word, ("fix=", "output="))]
    fix = ["fix=true", f"output={output}"]
    return as_typed([*command("check"), *_with_root(words, typed), *fix, *words_of_own_parts()])


def _command_to_train(typed: str, copy: list[str] | None = None) -> str:
    """A training on this data, or on its copy: of the model that was asked for, else from COCO's weights."""
    own = ("min_side=", "workers=", "fail_on=", "fix=", "output=", "hydra.", "run_dir=", "name=")
    words = _with_root([word for word in typed_overrides() if not _is_of(word, own)], typed)
    chosen = any(_is_of(word, ("experiment=", "model")) for word in words)
    finetune = [] if chosen else ["experiment=finetune"]
    if copy:
        words = [*(word for word in words if not _is_of(word, ("data",)) or "data.size=" in word), *copy]
    elif finetune and not any(_is_of(word, ("data=",)) for word in words):
        words = [*_default_data(), *words]
    return as_typed([*command("train"), *finetune, *words, *words_of_own_parts()])


def _is_of(word: str, keys: tuple[str, ...]) -> bool:
    return word.lstrip("+~").startswith(keys)


def _default_data() -> list[str]:
    """The override for the data that this command reads where nothing is typed."""
    return [f"data={HydraConfig.get().runtime.choices['data']}"] if HydraConfig.initialized() else []


def _with_root(words: list[str], root: str) -> list[str]:
    """Overrides with the folder as it was found."""
    return [f"data.root={root}" if word.startswith("data.root=") else word for word in words]


def _coverage(config: dict[str, Any], inspection: "Inspection") -> "Coverage":
    """Lay the anchors of the configured network over the objects."""
    import numpy as np

    from detection.inspection.coverage import RPN_THRESHOLDS, anchor_settings, anchors_for, measure_coverage
    from detection.models.ssd import SSD

    model, data = config["model"], config["data"]
    backbone = instantiate({**model["backbone"], "weights": None})  # anchors do not depend on weights
    build = instantiate(model["network"])
    network = build(backbone=backbone, num_classes=1)
    transform = instantiate(data["eval_transform"])(data["size"])

    def input_size(size: tuple[int, int]) -> tuple[int, int]:
        blank = np.zeros((*size, 3), np.uint8)
        image = transform(blank, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool)).image
        return image.shape[1], image.shape[2]

    thresholds = (model["iou_threshold"],) if isinstance(network, SSD) else RPN_THRESHOLDS
    anchors = anchors_for(network, inside_only=model.get("ignore_cross_boundary", False))
    coverage = measure_coverage(inspection.images, inspection.classes, input_size, anchors, thresholds)
    return coverage._replace(settings=anchor_settings(build, network))


if __name__ == "__main__":
    run_with_hints(main, "check")
