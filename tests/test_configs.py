"""Every file under conf composes and fits the constructors it names."""

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from detection.cli.compose import checked_config, model_config
from detection.models.faster_rcnn import FasterRCNN
from detection.models.zoo import get_model
from detection.registry import build
from detection.tasks.faster_rcnn import FasterRCNNTask

CONF = Path(__file__).parent.parent / "conf"
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))


def resolved(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose(
            "train", overrides=["+hydra.runtime.output_dir=/nowhere", *overrides], return_hydra_config=True
        )
    HydraConfig.instance().set_config(cfg)
    return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_fits_its_constructors(name: str) -> None:
    config = checked_config(resolved(f"experiment={name}", "data.root=/somewhere"))
    header = (CONF / "experiment" / f"{name}.yaml").read_text().splitlines()
    assert header[0] == "# @package _global_"
    assert f"experiment={name}" in header[1], "the header shows the command"
    assert config["name"] == name


@pytest.mark.parametrize(
    "override",
    [
        f"{folder.relative_to(CONF)}={path.stem}"
        for folder in sorted(
            p
            for p in CONF.rglob("*")
            if p.is_dir() and p.name not in ("hydra", "experiment", "sweep", "sweeper")
        )
        for path in sorted(folder.glob("[!_]*.yaml"))
    ],
)
def test_every_choice_fits_its_constructor(override: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # trainer=gpu is refused where there is none
    overrides = [override, "data.root=/somewhere"]
    if override.startswith("logger="):
        overrides = [override]
    checked_config(resolved(*overrides))


def test_groups_of_several_files_may_be_empty() -> None:
    cfg = resolved("callbacks=[]", "logger=[]")
    assert cfg.callbacks == {}
    assert [*cfg.logger] == ["csv"], "metrics.csv is always written"
    assert [*resolved("logger=wandb").logger] == ["csv", "wandb"]
    assert [*resolved("logger=tensorboard").logger] == ["csv", "tensorboard"]
    assert {"wandb", "mlflow"} <= {*resolved("logger=[wandb,mlflow]").callbacks}
    assert resolved("logger=csv").logger == resolved("logger=[]").logger


def test_the_experiment_has_the_last_word() -> None:
    cfg = resolved("experiment=quickstart")
    assert cfg.data.size == 128
    assert cfg.trainer.max_epochs < 240


def test_the_command_line_has_the_very_last_word() -> None:
    assert resolved("experiment=quickstart", "data.size=96").data.size == 96


def test_all_errors_are_reported_together() -> None:
    with pytest.raises(SystemExit) as stop:
        checked_config(resolved("data.batch_size=abc", "+trainer.max_epoch=3", "model.nms_threshold=x"))
    message = str(stop.value)
    assert "data.batch_size" in message
    assert "max_epochs" in message
    assert "model.nms_threshold" in message


def test_a_missing_value_is_named() -> None:
    with pytest.raises(SystemExit, match=r"data\.root: needs a value"):
        checked_config(resolved("data=voc_custom"))


@pytest.mark.parametrize(
    "name",
    [
        "faster_rcnn_resnet50_v1b_voc",
        "faster_rcnn_resnet101_v1d_voc",
        "faster_rcnn_fpn_resnet50_v1b_voc",
        "faster_rcnn_fpn_mobilenet_v2_voc",
    ],
)
def test_an_experiment_trains_the_network_of_its_name(name: str) -> None:
    """The numbers are written in conf, for training, and in the zoo, for users of the package alone."""
    config = checked_config(resolved(f"experiment={name}", "model.backbone.weights=null"))
    task = build(model_config(config, [str(i) for i in range(20)], None))
    expected = get_model(name, pretrained_backbone=False)
    assert isinstance(task, FasterRCNNTask)
    assert isinstance(expected, FasterRCNN)
    task.network.train()
    expected.train()
    parameters, expected_parameters = (
        [(name, parameter.shape, parameter.requires_grad) for name, parameter in network.named_parameters()]
        for network in (task.network, expected)
    )
    assert parameters == expected_parameters
    for key in ("strides", "pre_nms_top", "post_nms_top", "nms_threshold", "min_size"):
        values = [getattr(network.rpn, key) for network in (task.network, expected)]
        assert values[0] == values[1] or list(values[0]) == list(values[1]), key
    for base, expected_base in zip(task.network.rpn.base_anchors, expected.rpn.base_anchors, strict=True):
        assert base.equal(expected_base)
    pools = [network.roi_head.pool for network in (task.network, expected)]
    assert str(pools[0]) == str(pools[1])
    assert pools[0].canonical_scale == pools[1].canonical_scale


def test_only_the_fine_tune_from_torchvision_has_its_second_stage() -> None:
    """The numbers of torchvision's detector; ours were measured to be better elsewhere."""
    theirs = resolved("experiment=faster_rcnn_fpn_resnet50_torchvision").model
    assert (theirs.roi_samples, theirs.roi_beta) == (512, pytest.approx(1 / 9))
    for model in ("faster_rcnn", "faster_rcnn_fpn", "faster_rcnn_light"):
        ours = resolved(f"model={model}").model
        assert (ours.roi_samples, ours.roi_beta) == (128, 1)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("optimizer.lr=-1", "optimizer.lr=-1: give a learning rate above 0"),
        ("optimizer.lr=0", "optimizer.lr=0: give a learning rate above 0"),
        ("trainer.max_epochs=0", "nothing would be trained; evaluate tests a checkpoint"),
        ("trainer.max_epochs=-1", "trainer.max_epochs=-1: the learning rate follows the length of the run"),
    ],
)
def test_a_run_that_would_not_learn_is_refused_before_weights_are_fetched(
    override: str, sentence: str
) -> None:
    with pytest.raises(SystemExit, match=sentence):
        checked_config(resolved("experiment=quickstart", override))


@pytest.mark.parametrize(
    ("name", "images"),
    [
        ("quickstart", 16),
        ("quickstart_faster_rcnn", 16),
        ("ssd_300_mobilenet_v2_voc07", 16),
        ("faster_rcnn_fpn_mobilenet_v2_voc07", 8),
        ("faster_rcnn_resnet50_v1b_voc", 4),
        ("ssd_512_resnet50_v1_voc", 32),
    ],
)
def test_a_recipe_has_one_step_on_any_number_of_devices(name: str, images: int) -> None:
    for devices in (1, 2, 4):
        config = checked_config(resolved(f"experiment={name}", f"trainer.devices={devices}"))
        assert (config["data"]["batch_size"], config["data"]["batch_size_per_device"]) == (images, None)


def test_one_size_of_a_step_is_kept() -> None:
    config = checked_config(resolved("data.batch_size_per_device=4"))
    assert (config["data"]["batch_size"], config["data"]["batch_size_per_device"]) == (None, 4)
    with pytest.raises(
        SystemExit, match=r"data\.batch_size=8 and data\.batch_size_per_device=4: give one of"
    ):
        checked_config(resolved("data.batch_size=8", "data.batch_size_per_device=4"))


def test_a_key_of_an_old_configuration_names_its_successor() -> None:
    with pytest.raises(SystemExit, match=r"data\.global_batch_size: .*; it is data\.batch_size now"):
        checked_config(resolved("+data.global_batch_size=null"))
