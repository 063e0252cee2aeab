"""The words of Ultralytics, torchvision, detectron2 and MMDetection for our settings and arguments."""

import re

# Ours, and what others call it, without hyphens and underscores.
_TRAINING = {
    "trainer.max_epochs": "epochs numepochs nepochs maxepoch",
    "trainer.devices": "gpus numgpus ngpus",
    "optimizer.lr": "lr lr0 learningrate baselr",
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
READ_AS = {
    "load": {"source": "model weights checkpoint ckpt w modelpath path"},
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
    "load": {"predict(..., threshold=...) has it": "conf confthres threshold score"},
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
    "Detector.predict": {
        _NMS: "iou nms iouthres nmsthreshold iouthreshold agnosticnms",
        _AS_TRAINED: "imgsz imgsize size inputsize",
        "the most detections of an image are set in training, model.max_detections=...; leave this out": (
            "maxdet detectionsperimg"
        ),
        "each prediction has save(path), show() and to_dicts()": (
            "save savetxt savejson saveconf savecrop show view output project saveframes"
        ),
        "detection.load(..., device=...) says where to run": "device gpu gpus",
        "it predicts in float32; leave this out": "half fp16",
        "it prints nothing; leave this out": "verbose",
        "of a video it returns an iterator anyway; leave this out": "stream",
        "flip=True looks at the mirror image, too": "augment tta",
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
VALUES = {
    "trainer.precision": {
        "16-mixed": "fp16 half float16 amp 16mixed",
        "bf16-mixed": "bfloat16 bf16mixed",
        "32-true": "fp32 float32 full",
    },
    "trainer": {"gpu": "cuda"},
}


def compact(name: str) -> str:
    """A name without what is easily mistaken in it: case, hyphens and underscores."""
    return re.sub(r"[-_ ]", "", name).casefold()


def told(verb: str, key: str) -> str | None:
    """What to type for another tool's word that can mean several things, or nothing of ours.

    Args:
        verb: the command, or ``Detector.predict``.
        key: what no configuration of the command has, and no argument.
    """
    return find(_TOLD[verb], key)


def find(words: dict[str, str], word: str) -> str | None:
    """Ours for a word of others; None where there is none.

    Args:
        words: ours, and theirs, compact.
        word: as it was typed.
    """
    return next((ours for ours, theirs in words.items() if compact(word) in theirs.split()), None)
