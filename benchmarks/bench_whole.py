"""Rows 21 and 22: whole commands in processes of their own, beside what they cannot do without."""

import json
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.commands import ROOT, run, write_checkpoint, write_devkit
from benchmarks.harness import Benchmark, Result, counted
from detection.data.voc import VOC_CLASSES

_EXPERIMENT = "ssd_300_mobilenet_v2_voc07"
_PHOTOGRAPHS = 1000
_AT_MOST = 1.1
_THRESHOLD = 0.04  # below the scores of an untrained network: 100 boxes are drawn in each photograph
# A command, with the time that its network takes in the main thread. What else that thread does, no
# other core can do beside the network.
_WATCHED = """
import importlib, json, sys, time
from detection.cli.entry import run_with_hints
from detection.models.inference import SSDInference

verb, *sys.argv[1:] = sys.argv[1:]
network = 0.0

def timed(function):
    def run(*args):
        global network
        start = time.thread_time()
        found = function(*args)
        network += time.thread_time() - start
        return found
    return run

SSDInference.forward, SSDInference.detect = timed(SSDInference.forward), timed(SSDInference.detect)
run_with_hints(importlib.import_module(f"detection.{verb}").main, verb)
print(json.dumps({"network": network, "main": time.thread_time()}))
"""
# What a training needs of Lightning, and the same network; no step of it is done.
_BARE = """
import json, os, sys, time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
import cv2, torch
import pytorch_lightning as pl
from detection.models.backbones import MobileNetV2Backbone
from detection.models.ssd import build_ssd

voc = Path(sys.argv[1], "VOCdevkit/VOC2007")

class Photographs(torch.utils.data.Dataset):
    def __init__(self):
        self.items = []
        for name in (voc / "ImageSets/Main/train.txt").read_text().split():
            tree = ElementTree.parse(voc / f"Annotations/{name}.xml")
            boxes = [[float(x.text) for x in item.find("bndbox")] for item in tree.iter("object")]
            self.items.append((voc / f"JPEGImages/{name}.jpg", torch.tensor(boxes)))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        path, boxes = self.items[index]
        image = cv2.resize(cv2.imread(str(path)), (300, 300))
        return torch.from_numpy(image).permute(2, 0, 1), boxes

class Bare(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.network = build_ssd(MobileNetV2Backbone(weights=None), num_classes=20, size=300)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters())

    def training_step(self, batch, _):
        print(json.dumps({"seconds": time.process_time()}), flush=True)
        os._exit(0)

    def validation_step(self, batch, _):
        self.network(batch[0])

def collated(items):
    return torch.stack([image for image, _ in items]), [boxes for _, boxes in items]

photographs = Photographs()
train = torch.utils.data.DataLoader(photographs, 16, shuffle=True, collate_fn=collated)
val = torch.utils.data.DataLoader(photographs, 16, collate_fn=collated)
# Like ours it validates two batches before the first step.
trainer = pl.Trainer(
    accelerator="cpu", devices=1, precision="bf16-mixed", max_epochs=1, default_root_dir=sys.argv[1]
)
trainer.fit(Bare(), train, val)
"""
# train.py, which ends where its first step begins. What it imports, and when, stays as it is: the step is
# replaced when a module is asked for that train.py imports after the task.
_TRAIN = """
import json, os, runpy, sys, time

def tell(*_):
    print(json.dumps({"seconds": time.process_time()}), flush=True)
    os._exit(0)

class ReplacesTheStep:
    def find_spec(self, name, path=None, target=None):
        if name == "detection.callbacks.how_to_resume":
            from detection.tasks.ssd import SSDTask
            SSDTask.training_step = tell

sys.meta_path.insert(0, ReplacesTheStep())
sys.argv = ["train.py", *sys.argv[1:]]
runpy.run_path("train.py", run_name="__main__")
"""


def over_photographs() -> Iterator[Result]:
    """Row 21."""
    with tempfile.TemporaryDirectory(prefix="whole-") as temporary:
        folder = Path(temporary)
        pictures = write_devkit(folder, _PHOTOGRAPHS, different=100)
        ckpt = f"ckpt={write_checkpoint(folder, _EXPERIMENT, VOC_CLASSES)}"
        predict = [f"source={pictures}", f"output={folder}/out", "device=cpu", f"threshold={_THRESHOLD}"]
        evaluate = ["data=voc07", f"data.root={folder}", "trainer=cpu", f"hydra.run.dir={folder}/run"]
        for verb, words in (("predict", predict), ("evaluate", [*evaluate, "split=val"])):
            found = _told(["-c", _WATCHED, verb, ckpt, *words], folder)
            work = f"{verb}, {_PHOTOGRAPHS} photographs, SSD-300 MobileNetV2; against its network's own time"
            seconds, least = found["main"], found["network"]
            ratio = seconds / least
            yield Result(
                "21",
                work,
                1000 * seconds,
                1000 * least,
                "ms",
                ratio,
                None,
                f"<= {_AT_MOST:g} x",
                ratio <= _AT_MOST,
            )


def first_step() -> Iterator[Result]:
    """Row 22: from the start of the process to the first step, on an index that is there."""
    with tempfile.TemporaryDirectory(prefix="first-step-") as temporary:
        folder = Path(temporary)
        write_devkit(folder, 500, different=50)
        words = [
            f"experiment={_EXPERIMENT}",
            "model.backbone.weights=null",
            "trainer=cpu",
            f"data.root={folder}",
        ]
        ours, bare = ["-c", _TRAIN, *words], ["-c", _BARE, str(folder)]
        spent: dict[str, list[float]] = {"ours": [], "bare": []}
        _told([*ours, f"hydra.run.dir={folder}/first"], folder)  # makes the index
        for turn in range(3):
            sides = {"ours": [*ours, f"hydra.run.dir={folder}/{turn}"], "bare": bare}
            for name in list(sides)[:: 1 if turn % 2 == 0 else -1]:
                spent[name].append(_told(sides[name], folder)["seconds"])
    above = statistics.median(a - b for a, b in zip(spent["ours"], spent["bare"], strict=True))
    work = (
        "train.py to its first step, warm index, above a bare Lightning script of the same network (the peer)"
    )
    yield counted("22", work, 1000 * above, 1500, "ms", 1000 * statistics.median(spent["bare"]))


def _told(arguments: Sequence[str], cache: Path) -> dict[str, float]:
    """The figures on the last line that a process prints."""
    done = run(arguments, XDG_CACHE_HOME=str(cache / "cache"), PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr[-3000:]
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


ROWS: dict[str, Benchmark] = {"21": over_photographs, "22": first_step}
