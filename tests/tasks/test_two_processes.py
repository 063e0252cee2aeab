"""Two processes, in one part or two, take the same step as one process at once."""

import os
import subprocess
from pathlib import Path

import pytest
import torch

from tests.tasks.first_step import Gradients
from tests.tasks.test_step_mean import assert_close, whole_step
from tests.warm_python import warm_python

SCRIPT = Path(__file__).with_name("first_step.py")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Gradients]:
    output = tmp_path_factory.mktemp("gradients") / "two.pt"
    launcher = [*warm_python(), "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    root = SCRIPT.parents[2]
    subprocess.run(
        [*launcher, str(SCRIPT), str(output)],
        check=True,
        capture_output=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)},
    )
    found: dict[str, Gradients] = torch.load(output, weights_only=True)
    return found


@pytest.mark.parametrize("experiment", ["quickstart", "quickstart_faster_rcnn"])
@pytest.mark.parametrize("objects", ["on both", "on the first"])
@pytest.mark.parametrize("parts", [1, 2])
def test_the_first_step_has_the_gradient_of_one_process(
    two: dict[str, Gradients], experiment: str, objects: str, parts: int
) -> None:
    assert_close(two[f"{experiment} {objects} {parts}"], whole_step(experiment, objects)[0].gradients)
