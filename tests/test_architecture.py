"""The floors of the house: who may import whom (CONTRIBUTING.md)."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from tests.every import for_every

PACKAGE = Path(__file__).parent.parent / "detection"
FILES = sorted(PACKAGE.rglob("*.py"))

# What each part of the package may import from the package, besides itself, from the ground up.
FLOOR_0 = {
    "types": set[str](),
    "bounds": set[str](),
    "settings": {"bounds"},
    "registry": set[str](),
    "system": set[str](),
    "validation": {"registry", "settings"},
    "ops": {"types"},
    "reader": set[str](),
}
FLOOR_1 = {
    "data": {"ops", "types", "bounds", "system", "validation", "reader"},
    "models": {"ops", "types", "bounds", "system", "validation"},
    "targets": {"ops", "types"},
    "losses": {"ops", "types"},
    "metrics": {"ops", "types"},
    "drawing": {"types", "system"},
}
BELOW = {*FLOOR_0, *FLOOR_1}
FLOOR_2 = {
    "tasks": BELOW,
    "prediction": BELOW | {"tasks"},
    "checkpoints": BELOW | {"tasks", "prediction"},
    "callbacks": BELOW | {"tasks", "checkpoints"},
    "loggers": BELOW | {"tasks", "callbacks", "checkpoints"},
    "inspection": BELOW,
    "exporting": BELOW | {"tasks"},
    "serving": BELOW | {"prediction", "checkpoints"},
    "report": BELOW,
    "sharing": BELOW | {"checkpoints"},
    "benchmarking": BELOW,
    "sweeps": BELOW,
}
VERBS = {"train", "evaluate", "predict", "export", "convert", "check", "benchmark", "serve", "share"}
FLOOR_3 = {
    "cli": BELOW | FLOOR_2.keys(),
    **{verb: BELOW | FLOOR_2.keys() | {"cli"} for verb in VERBS},
    "__main__": BELOW | {"cli"} | VERBS,
    "__init__": {"cli", "checkpoints", "models", "prediction"},
}
ALLOWED = {**FLOOR_0, **FLOOR_1, **FLOOR_2, **FLOOR_3}
LIBRARIES = {
    "hydra": VERBS | {"cli", "sweeps"},
    "omegaconf": VERBS | {"cli", "sweeps"},
    "pytorch_lightning": {"tasks", "callbacks", "loggers", "cli", "data/datamodule", "benchmarking"}
    | {"train", "benchmark"},
    "albumentations": {"data"},
    "wandb": {"loggers", "checkpoints/wandb_artifacts"},
    "mlflow": {"loggers"},
    "tensorboard": {"loggers"},
    "litserve": {"serving"},
    "fastapi": {"serving"},
    "starlette": {"serving"},
    "pydantic": {"validation"},
    "annotated_types": {"validation", "bounds"},
}


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it and in whatever form."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and "import_module" in ast.dump(node.func):
            yield from (str(word.value) for word in node.args if isinstance(word, ast.Constant))


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def test_every_file_belongs_to_a_known_floor() -> None:
    assert {part(path) for path in FILES} == ALLOWED.keys()


@for_every(FILES)
def test_imports_stay_on_their_floor(path: Path) -> None:
    here = part(path)
    for name in imported(path):
        top, _, rest = name.partition(".")
        if top == "detection":
            assert rest, f"{path} must not import the whole package"
            assert rest.split(".")[0] in {here} | ALLOWED[here], f"{path} must not import {name}"
        if top in LIBRARIES:
            dotted = str(path.relative_to(PACKAGE).with_suffix(""))
            allowed = LIBRARIES[top]
            assert here in allowed or dotted in allowed, f"{path} must not import {top}"


def test_no_file_needs_itself_to_be_imported() -> None:
    files = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in FILES}
    needs = {name: needed_at_once(path) & files.keys() for name, path in files.items()}
    TopologicalSorter(needs).prepare()  # raises CycleError with the circle


def needed_at_once(path: Path) -> set[str]:
    """What a file imports when it is imported, not when one of its functions runs."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_no_floor_is_reached_from_below() -> None:
    order = {name: number for number, name in enumerate(ALLOWED)}
    for name, others in ALLOWED.items():
        assert all(order[other] < order[name] for other in others), name


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
