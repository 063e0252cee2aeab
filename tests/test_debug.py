"""The debug overlays, and through them every recipe: each runs from its first batch to its pictures."""

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from detection.train import train

CONF = Path(__file__).parent.parent / "conf"
# Another of these runs the same code, most often on a smaller network.
TOLD_BY_OTHERS = (
    *("ssd_512_vgg16_atrous_voc", "ssd_300_vgg16_torchvision", "ssd_512_resnet101_v2_voc"),
    *("ssd_512_resnet50_v1_voc", "ssd_512_mobilenet1.0_voc", "faster_rcnn_resnet101_v1d_voc"),
    *("faster_rcnn_fpn_resnet50_torchvision", "faster_rcnn_fpn_mobilenet_v2_voc", "finetune"),
    *("faster_rcnn_mobilenet_v3_torchvision", "finetune_faster_rcnn_mobilenet_v3_320"),
    *("faster_rcnn_fpn_resnet50_v1b_voc", "ssd_300_mobilenet1.0_voc", "ssd_300_mobilenet_v2_voc07"),
)
EXPERIMENTS = [
    pytest.param(name, marks=pytest.mark.slow if name in TOLD_BY_OTHERS else ())
    for name in sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
]


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shapes")


def composed(run: Path, data_root: Path, *overrides: str) -> DictConfig:
    """The configuration as ``train.py`` would get it, on generated data, with random weights."""
    small = [
        "data=shapes",
        f"data.root={data_root}",
        "data.num_train=4",
        "data.num_val=1",
        "data.num_test=1",
        "data.batch_size=2",
        "data.num_workers=0",
        "model.backbone.weights=null",
        "init_from=null",
        "trainer=cpu",
        f"+hydra.runtime.output_dir={run}",
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=[*small, *overrides], return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    with open_dict(cfg):
        cfg.run_dir = str(run)
        del cfg["hydra"]
    return cfg


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_runs(tmp_path: Path, data_root: Path, experiment: str) -> None:
    if "faster_rcnn" in experiment:
        # Random weights under frozen batch norms would grow without bound.
        overrides = ["data.size=[96,128]", "model.backbone.freeze_batchnorm=false"]
        overrides += ["model.roi_samples=4", "++model.network.post_nms_top=[20,8]"]
    else:
        small = any(word in experiment for word in ("resnet", "ssdlite", "tensorflow", "quickstart"))
        overrides = [f"data.size={128 if small else 264}"]
    if experiment in ("finetune", "finetune_ssd_mobilenet_v2"):
        overrides += ["callbacks=[default]"]  # nothing to average with, without weights to start from
    if "vgg16" in experiment:
        overrides += ["data.batch_size=1"]  # it has no batch norms
    figures = train(composed(tmp_path, data_root, f"experiment={experiment}", "debug=fast", *overrides))
    assert figures["test/loss"] > 0
    assert (tmp_path / "checkpoints/best.ckpt").exists()
    assert (tmp_path / "predictions.png").exists()
    assert json.loads((tmp_path / "metrics.json").read_text())["test/loss"] == figures["test/loss"]


def test_overfitting_learns_a_few_images_by_heart(tmp_path: Path, data_root: Path) -> None:
    cfg = composed(
        tmp_path,
        data_root,
        "experiment=quickstart",
        "debug=overfit",
        "data.size=96",
        "data.num_train=12",
        "data.overfit_images=2",
        "trainer.max_epochs=60",
        "trainer.check_val_every_n_epoch=60",
        "callbacks.last.every_n_epochs=60",
    )
    assert train(cfg)["test/map"] > 0.9


def test_profiling_leaves_a_table(tmp_path: Path, data_root: Path) -> None:
    overrides = ("experiment=quickstart", "debug=profile", "data.size=96", "trainer.limit_train_batches=2")
    train(composed(tmp_path, data_root, *overrides))
    table = next(tmp_path.glob("fit-profile*.txt")).read_text()
    assert "convolution" in table
    assert "Self CPU" in table
