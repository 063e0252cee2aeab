"""torchvision's published detectors, by name: what predict uses gives what torchvision gives."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch import Tensor, nn
from torchvision.models.detection import fasterrcnn_resnet50_fpn, ssd300_vgg16

from detection.checkpoints import published
from detection.checkpoints.loading import load_detector, load_task, read_checkpoint
from detection.checkpoints.notes import notes
from detection.cli.compose import inference_config
from detection.models.torchvision_weights import COCO_CLASSES, PUBLISHED, Published

Images = list[NDArray[np.uint8]]
CONF = Path(__file__).parents[2] / "conf"
UNUSED = [12, 26, 29, 30, 45, 66, 68, 69, 71, 83]  # gaps in torchvision's labels
USED = torch.tensor([label for label in range(1, 91) if label not in UNUSED])


def images(*sizes: tuple[int, int]) -> Images:
    """Smooth random colours: noise would look the same to the network everywhere."""
    draw = torch.Generator().manual_seed(0)
    coarse = [torch.rand(1, 3, h // 16 + 2, w // 16 + 2, generator=draw) * 255 for h, w in sizes]
    smooth = [
        nn.functional.interpolate(x, size, mode="bicubic") for x, size in zip(coarse, sizes, strict=True)
    ]
    return [x[0].clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy() for x in smooth]


def as_theirs(image: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1) / 255


def assert_equal_detections(name: str, model: Any, inputs: Images) -> None:
    detector = load_detector(name)
    assert detector.class_names == list(COCO_CLASSES)
    assert notes(read_checkpoint(name)["hyper_parameters"], name) == "", "there is nothing to warn of"
    for image, found in zip(inputs, detector(inputs), strict=True):
        with torch.no_grad():
            [expected] = model([as_theirs(image)])
        assert len(expected["boxes"]) > 50
        assert len(set(expected["labels"].tolist())) > 3
        torch.testing.assert_close(found["scores"], expected["scores"], atol=1e-4, rtol=0)
        assert torch.equal(USED[found["labels"]], expected["labels"])
        torch.testing.assert_close(found["boxes"], expected["boxes"], atol=0.05, rtol=0)


@torch.no_grad()
def spread_ssd(image: NDArray[np.uint8]) -> Any:
    """torchvision's SSD with random weights, under which every class is found somewhere on this image."""
    torch.manual_seed(0)
    model = ssd300_vgg16(weights=None, weights_backbone=None, num_classes=91).eval()
    model.backbone.scale_weight.uniform_(5, 40)
    batch, _ = model.transform([as_theirs(image)])
    heads = model.head.classification_head.module_list, model.head.regression_head.module_list
    for x, class_head, box_head in zip(model.backbone(batch.tensors).values(), *heads, strict=True):
        class_head.weight *= 3 / class_head(x).std()
        box_head.weight *= 1 / box_head(x).std()
        class_head.bias.normal_()
        weight, bias = class_head.weight.unflatten(0, (-1, 91)), class_head.bias.unflatten(0, (-1, 91))
        bias[:, 0] += 4
        # In training these classes were never right, so their scores are next to nothing.
        weight[:, UNUSED] = 0
        bias[:, UNUSED] = -100
    return model


@torch.no_grad()
def spread_faster_rcnn(image: NDArray[np.uint8]) -> Any:
    torch.manual_seed(0)
    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.uniform_(0.2, 0.6)
    for layer in (model.rpn.head.conv[0][0], model.rpn.head.cls_logits, model.rpn.head.bbox_pred):
        layer.weight.normal_(std=0.05)
    model.rpn.head.bbox_pred.weight *= 0.4
    predictor = model.roi_heads.box_predictor
    predictor.bbox_pred.weight.normal_(std=0.05)
    logits: list[Tensor] = []
    hook = predictor.cls_score.register_forward_hook(lambda module, inputs, output: logits.append(output))
    model([as_theirs(image)])
    hook.remove()
    scale = 2 / logits[0].std(dim=0)
    predictor.cls_score.weight *= scale[:, None]
    predictor.cls_score.bias.copy_((predictor.cls_score.bias - logits[0].mean(dim=0)) * scale)
    predictor.cls_score.weight[UNUSED] = 0
    predictor.cls_score.bias[UNUSED] = -100
    return model


def test_ssd_detects_what_torchvisions_does(tmp_path: Path) -> None:
    inputs = images((300, 300), (300, 300))
    model = spread_ssd(inputs[0])
    torch.save(model.state_dict(), tmp_path / "ssd.pth")
    assert_equal_detections(f"torchvision/ssd300_vgg16:{tmp_path / 'ssd.pth'}", model, inputs)


def test_faster_rcnn_detects_what_torchvisions_does(tmp_path: Path) -> None:
    inputs = images((96, 1333), (1333, 160))  # sizes that neither resizes
    model = spread_faster_rcnn(inputs[0])
    torch.save(model.state_dict(), tmp_path / "faster.pth")
    assert_equal_detections(f"torchvision/fasterrcnn_resnet50_fpn:{tmp_path / 'faster.pth'}", model, inputs)


@pytest.mark.parametrize(
    ("size", "resized"), [((375, 500), (800, 1066)), ((500, 333), (1201, 800)), ((200, 700), (380, 1333))]
)
def test_images_get_torchvisions_size(size: tuple[int, int], resized: tuple[int, int]) -> None:
    from torchvision.models.detection.transform import GeneralizedRCNNTransform

    from detection.data.transforms import faster_rcnn_eval_transform

    theirs = GeneralizedRCNNTransform(800, 1333, [0, 0, 0], [1 / 255] * 3)
    [image] = images(size)
    batch, _ = theirs.eval()([as_theirs(image)])
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool)
    ours = faster_rcnn_eval_transform([800, 1333], round_down=True)(image, *none).image
    assert tuple(ours.shape[1:]) == resized == batch.image_sizes[0]
    # Ours is rounded to whole levels of grey, and OpenCV's weights to 1/2048.
    difference = ours.float() - batch.tensors[0, :, : resized[0], : resized[1]]
    assert difference.abs().max() < 1.1


def tiny(url: str) -> Published:
    return Published(url, dict)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server of the folder ``tmp_path/served``; torch hub keeps its files in ``tmp_path/hub``."""
    (tmp_path / "served").mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *args: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def served_file(folder: Path) -> str:
    torch.save({"weight": torch.ones(2)}, folder / "new.pth")
    digest = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()[:8]
    return (folder / "new.pth").rename(folder / f"ssd-{digest}.pth").name


def test_weights_are_downloaded_checked_and_kept(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = served_file(tmp_path / "served")
    monkeypatch.setitem(PUBLISHED, "ssd300_vgg16", tiny(f"{server}/{name}"))
    for _ in range(2):
        state = read_checkpoint("torchvision/ssd300_vgg16")["state_dict"]
        assert state["network.weight"].tolist() == [1, 1]
        (tmp_path / "served" / name).unlink(missing_ok=True)  # the second time it is there already
    assert (tmp_path / "hub/checkpoints" / name).is_file()


@pytest.mark.parametrize("broken", ["hash", "absent", "offline"])
def test_weights_that_cannot_be_had_end_in_a_sentence(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    name = served_file(tmp_path / "served")
    if broken == "hash":
        (tmp_path / "served" / name).write_bytes(b"changed")
    if broken == "absent":
        (tmp_path / "served" / name).unlink()
    url = f"http://127.0.0.1:9/{name}" if broken == "offline" else f"{server}/{name}"
    monkeypatch.setitem(PUBLISHED, "ssd300_vgg16", tiny(url))
    with pytest.raises(ValueError, match="Cannot get the weights") as caught:
        read_checkpoint("torchvision/ssd300_vgg16")
    if isinstance(caught.value.__cause__, HTTPError):
        caught.value.__cause__.close()
    message = str(caught.value)
    assert "\n" not in message
    assert f"download {url} and place it in {tmp_path / 'hub/checkpoints'}" in message
    assert f"give torchvision/ssd300_vgg16:/path/to/{name}" in message


def test_names_files_and_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"no weights torchvision/ssd512; there are torchvision/ssd300_vgg16"
    ):
        load_task("torchvision/ssd512")
    with pytest.raises(ValueError, match=r"no weights file .*nowhere\.pth; give torchvision/ssd300_vgg16:"):
        load_task(f"torchvision/ssd300_vgg16:{tmp_path}/nowhere.pth")
    torch.save({"fc.weight": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth are of another network"):
        load_task(f"torchvision/ssd300_vgg16:{tmp_path}/other.pth")
    state: dict[str, Any] = {"head.classification_head.module_list.0.bias": torch.ones(4 * 21)}
    torch.save(state, tmp_path / "voc.pth")
    with pytest.raises(ValueError, match=r"voc\.pth: .* predicts 21 classes"):
        load_task(f"torchvision/ssd300_vgg16:{tmp_path}/voc.pth")


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("torchvision/ssd300_vgg16", "ssd_300_vgg16_torchvision"),
        ("torchvision/fasterrcnn_resnet50_fpn", "faster_rcnn_fpn_resnet50_torchvision"),
        ("torchvision/ssdlite320_mobilenet_v3_large", "finetune_ssdlite_mobilenet_v3"),
        ("torchvision/fasterrcnn_mobilenet_v3_large_320_fpn", "finetune_faster_rcnn_mobilenet_v3_320"),
        ("torchvision/fasterrcnn_mobilenet_v3_large_fpn", "faster_rcnn_mobilenet_v3_torchvision"),
        ("torchvision/fasterrcnn_resnet50_fpn_v2", "finetune_faster_rcnn_resnet50_v2"),
        ("tensorflow/ssd_mobilenet_v2_coco", "finetune_ssd_mobilenet_v2"),
    ],
)
def test_the_recipe_that_starts_from_it_builds_the_same_detector(name: str, recipe: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=[f"experiment={recipe}"])
    data: Any = OmegaConf.to_container(cfg["data"], resolve=True)
    model: Any = OmegaConf.to_container(cfg["model"], resolve=True)
    described = published._DETECTORS[name]
    assert described["data"] == inference_config(data)
    for key, value in described["model"].items():
        wanted = model[key]
        if key == "backbone":
            value, wanted = ({**side, "weights": None} for side in (value, wanted))
            wanted.pop("frozen_blocks")  # of the training alone
        if (key, recipe) != ("nms_threshold", "finetune_ssd_mobilenet_v2"):  # measured to be better at 0.45
            assert value == wanted, key
