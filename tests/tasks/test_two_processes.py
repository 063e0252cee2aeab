"""Two processes take the same step as one: the losses are normalised over all of them."""

import os
import subprocess
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.warm_python import warm_python

SCRIPT = Path(__file__).with_name("first_step.py")
Gradients = dict[str, dict[str, Tensor | None]]


def gradients(folder: Path, processes: int) -> Gradients:
    output = folder / f"{processes}.pt"
    launcher = [*warm_python()]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    subprocess.run(
        [*launcher, str(SCRIPT), str(output)],
        check=True,
        capture_output=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    found: Gradients = torch.load(output, weights_only=True)
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Gradients, Gradients]:
    folder = tmp_path_factory.mktemp("gradients")
    return gradients(folder, 1), gradients(folder, 2)


@pytest.mark.parametrize("experiment", ["quickstart", "quickstart_faster_rcnn"])
@pytest.mark.parametrize("objects", ["on both", "on the first"])
def test_the_first_step_has_the_gradient_of_one_process(
    found: tuple[Gradients, Gradients], experiment: str, objects: str
) -> None:
    one, two = (gradients[f"{experiment} {objects}"] for gradients in found)
    assert two.keys() == one.keys()
    assert any(gradient is not None and gradient.abs().max() > 0 for gradient in one.values())
    for name, expected in one.items():
        if expected is None:  # frozen
            assert two[name] is None, name
            continue
        ours = two[name]
        assert ours is not None, name
        difference = (ours - expected).norm() / expected.norm().clamp(min=1e-12)
        assert difference < 1e-5, f"{name}: {difference:.1e}"
