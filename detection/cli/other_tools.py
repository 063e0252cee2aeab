"""The groups of ``conf``, and the words of Ultralytics, torchvision, detectron2 and MMDetection for settings.

A word that can mean one thing only is read as ours; for the others there is a sentence.
"""

import re

from detection.system.processes import CONF


def is_group(key: str) -> bool:
    """Whether a key chooses a file.

    Args:
        key: such as ``model/backbone``.
    """
    return bool(re.fullmatch(r"\w+(/\w+)*", key)) and not key.startswith("hydra") and (CONF / key).is_dir()


def options(group: str) -> list[str]:
    """What a group offers.

    Args:
        group: its key.
    """
    return sorted(path.stem for path in (CONF / group).glob("[!_]*.yaml"))


def groups() -> list[str]:
    """The keys of all groups."""
    keys = [path.relative_to(CONF).as_posix() for path in sorted(CONF.rglob("*")) if path.is_dir()]
    return [key for key in keys if is_group(key)]


def compact(name: str) -> str:
    """A name without what is easily mistaken in it: case, hyphens and underscores."""
    return re.sub(r"[-_ ]", "", name).casefold()


# Ours, and what others call it, without hyphens and underscores.
_TRAINING = {
    "trainer.max_epochs": "epochs numepochs nepochs maxepoch",
    "trainer.devices": "gpus numgpus ngpus",
    "optimizer.lr": "lr0 learningrate baselr",
    "optimizer.weight_decay": "wd",
    "data.batch_size": "batch b bs trainbatchsize imsperbatch samplespergpu",
    "data.size": "imgsz img imgsize imagesize inputsize imgscale",
    "data.num_workers": "workers j workerspergpu",
    "data.root": "datapath dataroot datadir datasetdir path",
    "trainer.sync_batchnorm": "syncbn",
    "optimizer.scale_lr": "autoscalelr",
    "model.backbone.frozen_blocks": "freeze",
    "model.score_threshold": "conf confthres",
    "model.max_detections": "maxdet detectionsperimg",
    "run_dir": "savedir outputdir workdir outdir",
    "data": "dataset",
    "model": "arch net network",
    "optimizer": "opt",
    "scheduler": "sched lrscheduler",
    "experiment": "exp recipe",
}
_CHECKPOINT = {"ckpt": "model weights checkpoint w modelpath"}
_READ_AS = {
    "train": _TRAINING,
    "benchmark": _TRAINING,
    "check": _TRAINING | {"data.root": "datapath dataroot datadir datasetdir path source"},
    "predict": _CHECKPOINT
    | {
        "threshold": "conf confthres scorethr score confidence scorethreshold confidencethreshold",
        "source": "input inputs image images img imgs path video folder",
        "batch_size": "batch bs b",
        "output": "savedir outputdir outdir out o project rundir",
        "overwrite": "existok",
    },
    "evaluate": _CHECKPOINT
    | {
        "data.eval_batch_size": "batch batchsize b bs",
        "data.num_workers": "workers j",
        "data.root": "datapath dataroot datadir",
        "run_dir": "savedir outputdir workdir outdir output out",
        "data": "dataset",
    },
    "export": _CHECKPOINT | {"output": "out o outputfile file outputdir", "int8": "quantize"},
    "serve": _CHECKPOINT
    | {
        "threshold": "conf confthres scorethr score confidence scorethreshold confidencethreshold",
        "batch_size": "batch bs b maxbatchsize",
        "wait": "batchtimeout batchwait",
        "workers": "workersperdevice numworkers j",
    },
    "share": _CHECKPOINT
    | {
        "output": "out o dir folder outputdir",
        "repo": "repoid repository hub hubid pushto",
        "license": "licence",
    },
    "convert": {
        "root": "input source src data dataroot",
        "out": "output outputdir dst savedir o",
        "to": "format",
    },
}

_AS_TRAINED = "the checkpoint decides it, as it was trained; leave this out"
_DESCRIBED = "the checkpoint describes its network; leave this out"
_NMS = "the overlap of suppression is set in training, model.nms_threshold=...; leave this out"
_TESTED = "python -m detection.evaluate ckpt=... tests a checkpoint"
# What to type, and the words that it is an answer to.
_TOLD_IN_TRAINING = {
    "init_from=... starts from a trained detector, model.backbone.weights=... from a backbone's": (
        "weights pretrained loadfrom checkpoint weightsbackbone"
    ),
    "model.nms_threshold=... is the overlap of suppression, model.iou_threshold=... that of learning": (
        "iou iouthres iouthreshold"
    ),
    "it belongs to python -m detection.predict; data.root=... is the set to learn from": "source",
    "half precision is trainer.precision=16-mixed, or bf16-mixed": "amp half fp16 bf16 autocast",
    "callbacks=[default,early_stopping] callbacks.early_stopping.patience=... ends early": "patience",
    "the schedule is chosen by scheduler=cosine, multistep, one_cycle or step": "coslr lrsteps lrstepsize",
    "the classes, and so their number, are read from the data": "nc numclasses",
    "run_dir=... names the folder of the run": "project",
    "the length is counted in epochs, trainer.max_epochs=...": "maxiter maxiters iterations maxsteps",
    "a recipe is chosen by experiment=...": "config cfg configfile",
    "settings are given without it, such as optimizer.lr=0.01": "cfgoptions opts options",
    "processes are started by trainer=ddp trainer.devices=..., or by torchrun": "launcher distributed",
    "augmentation is set by data.train_transform": (
        "mosaic mixup hsvh hsvs hsvv fliplr flipud degrees scale translate augment aug hflip"
    ),
    _TESTED: "evalonly testonly",
    "each task is a command of its own, such as python -m detection.predict": "mode task",
    "devices are chosen by trainer.accelerator=cpu or gpu, and trainer.devices=[0]": "device",
}
_TOLD = {
    "train": _TOLD_IN_TRAINING,
    "benchmark": _TOLD_IN_TRAINING,
    "check": {"the set is read on the CPU, by workers=... threads; leave this out": "device"},
    "predict": {
        _NMS: "iou nms iouthres nmsthreshold iouthreshold",
        _AS_TRAINED: "imgsz imgsize size inputsize",
        "pictures are written, to output=...": "show view viewimg",
        "boxes are written by save=[json], or as a set by save=[yolo], voc or coco": "savetxt savejson",
        "it predicts in float32; leave this out": "half fp16",
        "source=... names the images": "data dataroot",
        _DESCRIBED: "model backbone arch experiment",
        "device=... says where to run, cpu, cuda or cuda:1": "trainer accelerator gpu gpus",
    },
    "evaluate": {
        _NMS: "iou nms iouthres",
        _AS_TRAINED: "imgsz imgsize size inputsize",
        "AP takes all scores; threshold=... is that of the confusion matrix": "conf confthres",
        "it belongs to python -m detection.predict; data.root=... is the set to test on": "source",
        _DESCRIBED: "model backbone arch experiment",
        "half precision is trainer.precision=16-mixed, or bf16-mixed": "half amp fp16",
        "devices are chosen by trainer.accelerator=cpu or gpu, and trainer.devices=[0]": "device",
    },
    "export": {
        _NMS: "iou iouthres",
        _AS_TRAINED: "imgsz imgsize size inputsize",
        _DESCRIBED: "model backbone arch experiment",
        "suppression is inside the file; leave this out": "nms",
        "images=... are those to check on": "source",
        "half=true (format=openvino) or int8=true makes a smaller file": "fp16",
        "the file takes any number of images; leave this out": "dynamic batch batchsize",
        "it runs on the CPU; leave this out": "device",
        "the kind of file is format=onnx, openvino or torch_export": "include",
    },
    "serve": {
        _NMS: "iou nms iouthres nmsthreshold iouthreshold",
        _AS_TRAINED: "imgsz imgsize size inputsize",
        "images come with the requests; leave this out": "source data dataroot",
        _DESCRIBED: "model backbone arch experiment",
        "device=... says where to run, cpu, cuda or cuda:1": "trainer accelerator gpu gpus",
    },
    "share": {
        "repo=user/name uploads it; leave this out": "push upload pushtohub",
        "a new repository is private until you open it on its page; leave this out": "private public",
    },
    "convert": {
        "from=... and to=... name the formats, root=... and out=... the folders": "dataset inputformat"
    },
}

# Values that are others' for a setting of ours.
_VALUES = {
    "trainer.precision": {
        "16-mixed": "fp16 half float16 amp 16mixed",
        "bf16-mixed": "bfloat16 bf16mixed",
        "32-true": "fp32 float32 full",
    },
    "trainer": {"gpu": "cuda"},
}


def read_as(verb: str, key: str, value: str) -> list[str] | None:
    """The words of ours for another tool's, where there is one thing that they can mean.

    Args:
        verb: the command: train, predict and so on.
        key: what no configuration of the command has.
        value: as it was typed.
    """
    if key == "device" and verb in ("train", "evaluate", "benchmark"):
        return _device(value)
    if key == "resume" and verb == "train":
        return {"true": ["ckpt=last"], "false": []}.get(value.casefold(), [f"ckpt={value}"])
    if is_group(key) and value in options(key):
        return None
    ours = _find(_READ_AS[verb], key)
    return [f"{ours}={value}"] if ours else None


def value_read_as(verb: str, key: str, value: str) -> str | None:
    """Our value for another tool's.

    Args:
        verb: the command.
        key: a key of ours.
        value: as it was typed.
    """
    if verb in ("predict", "serve") and key == "device":
        return f"cuda:{value}" if value.isdecimal() else {"gpu": "cuda"}.get(value)
    return _find(_VALUES.get(key, {}), value)


def told(verb: str, key: str) -> str | None:
    """What to type for another tool's word that can mean several things, or nothing of ours.

    Args:
        verb: the command.
        key: what no configuration of the command has.
    """
    return _find(_TOLD[verb], key)


def _find(words: dict[str, str], word: str) -> str | None:
    return next((ours for ours, theirs in words.items() if compact(word) in theirs.split()), None)


def _device(value: str) -> list[str] | None:
    if value in ("cpu", "mps", "auto"):
        return [f"trainer.accelerator={value}"]
    if value in ("cuda", "gpu"):
        return ["trainer.accelerator=gpu"]
    numbers = re.findall(r"\d+", value)
    if not re.fullmatch(r"(cuda:)?\d+|\[?\d+(,\d+)*\]?", value):
        return None
    strategy = ["trainer.strategy=ddp"] if len(numbers) > 1 else []
    return ["trainer.accelerator=gpu", *strategy, f"trainer.devices=[{','.join(numbers)}]"]
