"""An SSD with a pyramid, for training by other losses: its checkpoint, and its file for ONNX."""

from collections.abc import Callable
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from torch import Tensor

from detection.checkpoints.loading import load_task
from detection.cli.compose import checked_config, inference_config, model_config
from detection.cli.hydra_versions import instantiate
from detection.exporting.build import build_program
from detection.exporting.programs import IN_ONNX
from detection.exporting.runners import open_exported
from detection.exporting.verification import agree, row, verify
from detection.exporting.writers import write_onnx
from detection.models.faster_rcnn import FasterRCNN
from detection.models.ssd import SSD
from tests.conftest import CONF
from tests.exporting.test_zoo_export import scenes_of

WORDS = ("experiment=quickstart", "model.class_loss=focal", "model.box_loss=giou", "+model.network.neck=fpn")


def test_it_comes_back_from_its_checkpoint_and_exports(
    tmp_path: Path, spread_scores: Callable[[SSD | FasterRCNN, Tensor, float], None]
) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=[*WORDS, "run_dir=/nowhere", "name=test"])
    config = checked_config(cfg)
    model = model_config(config, ["cat", "dog", "owl"], None)
    torch.manual_seed(0)
    task = instantiate(model)
    scenes = scenes_of(128)[:1]
    spread_scores(task.network.eval(), scenes[0].image, 2.0)
    task.describe(model=model, data=inference_config(config["data"]))
    path = tmp_path / "other.ckpt"
    torch.save({"state_dict": task.state_dict(), "hyper_parameters": dict(task.hparams)}, path)

    again = load_task(path)
    assert again.network.neck is not None
    image = scenes[0].image.unsqueeze(0)
    with torch.inference_mode():
        for before, after in zip(task.eval()(image), again.eval()(image), strict=True):
            assert torch.equal(before, after)

    write_onnx(build_program(again, IN_ONNX, "uint8"), tmp_path / "other.onnx", {})
    results = list(verify(again, open_exported(tmp_path / "other.onnx"), scenes))
    assert agree(results), "\n".join(row(result) for result in results)
    assert max(result.difference.file_count for result in results) > 5
