"""The floors of the house: who may import whom (CONTRIBUTING.md)."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.every import for_every

PACKAGE = Path(__file__).parent.parent / "detection"
FILES_FROM_ANYWHERE = {"file_reading", "archive"}

# What each part of the package may import from the package, besides itself.
ALLOWED = {
    "types": set(),
    "bounds": set(),
    "file_reading": set(),
    "archive": set(),
    "registry": set(),
    "description": {"registry", "config", "suggestions", "bounds", "data"},
    "ops": {"types"},
    "data": {"ops", "types", "bounds", "file_reading"},
    "models": {"ops", "types", "bounds", "synonyms"} | FILES_FROM_ANYWHERE,
    "targets": {"ops", "types"},
    "losses": {"ops", "types"},
    "metrics": {"ops", "types"},
    "colours": set(),
    "viz": {"types", "colours", "console", "files"},
    "pages": {"console"},
    "report": {"data", "metrics", "types", "console", "files", "pages"},
    "suggestions": set(),
    "synonyms": set(),
    "config": {"suggestions", "values"},
    "values": set(),
    "near_paths": set(),
    "programs": set(),
    "__main__": {"suggestions", "streams"},
    "groups": {"programs"},
    "other_tools": {"groups"},
    "words": {"groups", "other_tools", "processes"},
    "readings": {"groups", "programs", "other_tools", "suggestions", "words"},
    "corrections": {"config", "near_paths", "runs", "values", "words"},
    "own_keys": set(),
    "devices": set(),
    "processes": set(),
    "files": set(),
    "console": set(),
    "streams": set(),
    "endings": {"processes"},
    "run_lock": {"files", "processes"},
    "shared_memory": {"data", "bounds"},
    "lightning_messages": set(),
    "runs": {"near_paths", "programs"},
    "sweeps": {"endings", "processes", "programs", "console"},
    "tasks": {"data", "models", "targets", "losses", "metrics", "ops", "types", "bounds"},
    "callbacks": {"tasks", "data", "types", "viz", "runs", "endings", "files", "archive", "console"},
    "tuning": {"tasks", "data", "viz"},
    "benchmarking": {"types", "console"},
    "inference": {"tasks", "data", "types", "prediction"},
    "prediction": {"data", "types", "colours", "synonyms", "file_reading", "near_paths"},
    "quoting": {"words"},
    "faults": {"endings", "files"},
    "notes": set(),
    "precision": set(),
    "monitors": {"suggestions"},
    "inspection": {"data", "models", "ops", "types", "file_reading", "console", "files", "pages"},
    "exporting": {"data", "bounds", "metrics", "models", "ops", "prediction", "tasks", "types"},
}
VERBS = {"train", "evaluate", "predict", "export", "convert", "check", "benchmark"}
LIBRARIES = {
    "hydra": VERBS | {"cli", "entry", "published", "sweeps", "quoting", "readings", "run_lock"},
    "omegaconf": VERBS
    | {"cli", "entry", "published", "resume", "sweeps", "readings", "corrections", "run_lock"},
    "pytorch_lightning": {
        "tasks",
        "callbacks",
        "cli",
        "train",
        "tuning",
        "benchmarking",
        "benchmark",
        "data/datamodule",
    },
    "albumentations": {"data"},
    "wandb": {"callbacks"},
    "pydantic": {"values"},
    "annotated_types": {"values", "bounds"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module or ""


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def test_every_file_belongs_to_a_known_floor() -> None:

    entry_points = {
        "__init__",
        "api",
        "commands",
        "cli",
        "entry",
        "checkpoints",
        "checkpoint_tensors",
        "init_from",
        "kept_split",
        "published",
        "resume",
        "best_of_run",
    } | VERBS
    assert {part(path) for path in FILES} - set(ALLOWED) == entry_points


@for_every(FILES)
def test_imports_stay_on_their_floor(path: Path) -> None:
    here = part(path)
    for name in imported(path):
        top, _, rest = name.partition(".")
        if top == "detection" and here in ALLOWED and rest:
            assert rest.split(".")[0] in {here} | ALLOWED[here], f"{path} must not import {name}"
        if top in LIBRARIES:
            dotted = str(path.relative_to(PACKAGE).with_suffix(""))
            allowed = LIBRARIES[top]
            assert here in allowed or dotted in allowed, f"{path} must not import {top}"


@for_every(FILES)
def test_files_stay_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


def test_ops_need_torch_alone() -> None:
    for path in FILES:
        if part(path) == "ops":
            roots = {name.split(".")[0] for name in imported(path)}
            assert roots <= {
                "detection",
                "torch",
                "torchvision",
                "collections",
                "functools",
                "typing",
                "math",
                "itertools",
                "heapq",
            }
