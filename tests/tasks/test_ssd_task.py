"""SSDTask: one step at a time, against the functions it is made of."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from benchmarks.counting import CountOperations, as_on_a_gpu
from detection.losses.multibox import multibox_loss
from detection.models.backbones import TinyBackbone
from detection.models.ssd import build_ssd
from detection.targets.ssd import assign_ssd_targets
from detection.tasks.schedules import Cosine
from detection.tasks.ssd import SSDTask
from detection.types import PaddedBatch

NAMES = ["cat", "dog", "owl"]


def make_network(backbone: TinyBackbone, num_classes: int) -> torch.nn.Module:
    return build_ssd(backbone, num_classes, size=128)


def make_optimizer(parameters: object) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9)  # type: ignore[arg-type]


def make_task(network: Any = make_network, **options: Any) -> SSDTask:
    torch.manual_seed(0)
    task = SSDTask(TinyBackbone(), network, NAMES, make_optimizer, Cosine(), **options)
    task.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    task.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    return task


def make_batch(num_objects: tuple[int, ...] = (2, 0, 1)) -> PaddedBatch:
    generator = torch.Generator().manual_seed(1)
    batch, longest = len(num_objects), max(num_objects)
    corners = torch.rand(batch, longest, 2, generator=generator) * 60
    boxes = torch.cat(
        [corners, corners + 20 + torch.rand(batch, longest, 2, generator=generator) * 40], dim=-1
    )
    labels = torch.randint(0, 3, (batch, longest), generator=generator)
    for i, count in enumerate(num_objects):
        boxes[i, count:], labels[i, count:] = 0, -1
    return PaddedBatch(
        images=torch.randint(0, 256, (batch, 3, 128, 128), dtype=torch.uint8, generator=generator),
        boxes=boxes,
        labels=labels,
        difficult=torch.zeros_like(labels, dtype=torch.bool),
        sizes=torch.tensor([[256, 128]] * batch),
        image_ids=[str(i) for i in range(batch)],
    )


def test_a_gpu_is_not_waited_for_where_the_workers_assign_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """No result is read, and nothing is copied from the host, once the constants are on the device."""
    task, batch = make_task(), make_batch()
    batch = batch._replace(targets=task.assign(task(batch.images).anchors, batch.boxes, batch.labels))

    def copied(*_: object, **__: object) -> None:
        raise AssertionError("a tensor is made of the host's numbers in every step")

    with as_on_a_gpu(), CountOperations() as count:
        monkeypatch.setattr(torch, "tensor", copied)
        monkeypatch.setattr(torch, "as_tensor", copied)
        task.training_step(batch, 0).backward()
        monkeypatch.undo()
    assert count.syncs == 0, count.reads


def test_training_step_is_the_multibox_loss_of_the_assigned_targets() -> None:
    task, batch = make_task(), make_batch()
    loss = task.training_step(batch, 0)
    out = task.network(batch.images)
    gt = assign_ssd_targets(out.anchors, batch.boxes, batch.labels)
    assert (gt.labels > 0).any()
    expected = multibox_loss(out.logits, out.deltas, *gt)
    torch.testing.assert_close(loss, expected.total)


def test_targets_from_the_workers_give_the_same_loss() -> None:
    task, batch = make_task(), make_batch()
    assign = task.assigner((128, 128))
    before = {name: value.clone() for name, value in task.state_dict().items()}
    loaded = batch._replace(targets=assign(batch.boxes, batch.labels))
    assert loaded.targets is not None
    assert loaded.targets.labels.shape == (3, task.network(batch.images).anchors.shape[0])
    task.load_state_dict(before)
    on_device = task.training_step(batch, 0)
    torch.testing.assert_close(task.training_step(loaded, 0), on_device, rtol=0, atol=0)


def test_the_assigner_leaves_the_network_as_it_was() -> None:
    task = make_task()
    before = {name: value.clone() for name, value in task.state_dict().items()}
    task.assigner((128, 128))
    assert task.network.training
    for name, value in task.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_a_batch_without_objects_has_a_finite_loss_and_gradients_everywhere() -> None:
    task = make_task()
    loss = task.training_step(make_batch((0, 0)), 0)
    loss.backward()
    assert loss.item() == 0
    for name, parameter in task.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all()


def test_focal_loss_starts_from_background_and_learns_from_a_batch_without_objects() -> None:
    task = make_task(class_loss="focal", box_loss="giou")
    batch = make_batch((0, 0))
    logits = task(batch.images).logits
    assert 0.005 < (logits[..., 1:] - logits[..., :1]).sigmoid().median().item() < 0.02
    loss = task.training_step(batch, 0)
    loss.backward()
    assert 0 < loss.item() < 5
    for name, parameter in task.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all()


def test_a_few_steps_learn_one_batch() -> None:
    task, batch = make_task(), make_batch((2, 1, 1))
    optimizer = make_optimizer(task.parameters())
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = task.training_step(batch, 0)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(
    "options",
    [
        {"class_loss": "focal"},
        {"box_loss": "giou"},
        {"network": partial(build_ssd, size=128, neck="fpn")},
    ],
    ids=["focal", "giou", "pyramid"],
)
def test_steps_by_other_losses_and_with_a_pyramid_learn(options: dict[str, Any]) -> None:
    task, batch = make_task(**options), make_batch((2, 1, 1))
    optimizer = torch.optim.AdamW(task.parameters(), lr=0.001)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = task.training_step(batch, 0)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_detections_and_targets_return_to_original_pixels() -> None:
    task, batch = make_task().eval(), make_batch()
    with torch.no_grad():
        detections, targets, losses, weight = task.evaluate_batch(batch)
    assert set(losses) == {"loss", "loss_cls", "loss_box"}
    assert weight > 0
    assert [len(target["boxes"]) for target in targets] == [2, 0, 1]
    doubled_height = batch.boxes[0] * torch.tensor([1.0, 2.0, 1.0, 2.0])
    torch.testing.assert_close(targets[0]["boxes"], doubled_height)
    assert len(detections) == 3
    highest = max(float(found["boxes"][:, 3].max()) for found in detections if len(found["boxes"]))
    assert 128 < highest <= 256


def test_a_validation_loss_of_nan_is_not_averaged_away() -> None:
    task, batch = make_task().eval(), make_batch()
    logged: dict[str, Any] = {}
    task.log_dict = lambda values, **kwargs: logged.update(values)  # type: ignore[method-assign]
    with torch.no_grad():
        task.validation_step(batch, 0)
        next(task.network.class_heads.parameters()).fill_(torch.nan)
        task.validation_step(batch, 1)
    task.on_validation_epoch_end()
    assert logged["val/loss"].isnan()


def test_the_optimizer_sees_trainable_parameters_only_and_follows_the_schedule() -> None:
    task = make_task()
    for parameter in task.network.backbone.parameters():
        parameter.requires_grad_(False)
    seen: list[Tensor] = []

    def remember(groups: Any) -> torch.optim.Optimizer:
        seen.extend(parameter for group in groups for parameter in group["params"])
        return torch.optim.SGD(groups, lr=1.0)

    task.make_optimizer = remember

    class FakeTrainer:
        estimated_stepping_batches = num_training_batches = 11

        class fit_loop:  # noqa: N801
            @staticmethod
            def setup_data() -> None:
                """There is none."""

    task._trainer = FakeTrainer()  # type: ignore[assignment]
    configured: Any = task.configure_optimizers()
    assert len(seen) == sum(1 for p in task.parameters() if p.requires_grad) > 0
    scheduler = configured["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(11):
        rates.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    assert rates[0] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.01)


def test_checkpoints_hold_plain_values_only(tmp_path: Path) -> None:
    task = make_task()
    task.describe(model={"class_names": NAMES, "nms_threshold": 0.45}, size=128)
    path = tmp_path / "task.ckpt"
    torch.save({"hyper_parameters": dict(task.hparams), "state_dict": task.state_dict()}, path)
    loaded = torch.load(path, weights_only=True)
    assert loaded["hyper_parameters"]["model"]["class_names"] == NAMES
