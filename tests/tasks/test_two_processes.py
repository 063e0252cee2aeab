"""Two processes take the same step as one: the losses are normalised over all of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

SCRIPT = Path(__file__).with_name("first_step.py")


def gradients(folder: Path, processes: int, *arguments: str) -> dict[str, Tensor | None]:
    output = folder / f"{processes}.pt"
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    subprocess.run(
        [*launcher, str(SCRIPT), arguments[0], str(output), *arguments[1:]],
        check=True,
        capture_output=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    found: dict[str, Tensor | None] = torch.load(output, weights_only=True)
    return found


@pytest.mark.parametrize("experiment", ["quickstart", "quickstart_faster_rcnn"])
@pytest.mark.parametrize("objects", ["on both", "empty"])
def test_the_first_step_has_the_gradient_of_one_process(
    tmp_path: Path, experiment: str, objects: str
) -> None:
    arguments = (experiment, "empty") if objects == "empty" else (experiment,)
    one, two = gradients(tmp_path, 1, *arguments), gradients(tmp_path, 2, *arguments)
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
