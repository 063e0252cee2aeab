"""What lies in a folder: where each layout keeps its annotations, its images and the lists of its splits."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from detection.data.formats.places import file_called, folder_called, has_below, has_yolo_labels
from detection.data.formats.unrecognised import another_format, remedy_for_lists
from detection.data.image_files import IMAGE_SUFFIXES

Split = str | Sequence[int | str]
"""``(year, split)``, ``(folder, split)``, or a split's name where the root itself is a VOC-style folder."""

WHOLE = ""
"""In place of a split's name: all images of a set that lists none."""

_WORDS_FOR_VAL = ("val", "valid", "validation")
_FOLDERS_OF_SPLITS = ("train", *_WORDS_FOR_VAL, "test")
_WORDS_FOR_ALL = ("trainval", "default", "all")  # of lists from which to train where there is none for val
_IMAGE_FOLDERS = ("JPEGImages", "images", "Images", "jpegimages", "JPEGimages", "data")
_COCO_FILES = (
    "annotations/instances_{}2017.json", "annotations/instances_{}.json", "annotations/{}.json",
    "{}/_annotations.coco.json", "{}/annotations.json", "{}/labels.json", "instances_{}.json", "{}.json",
)  # fmt: skip


class VOCPlace(NamedTuple):
    """Where a split in VOC's format lies."""

    folder: Path
    """What it is named after."""
    annotations: Path
    images: Path
    list_file: Path | None
    """The list of its ids; None where it is all that lies in the folder."""
    split: str
    """Its name; empty for all images of a set that lists none."""


class Layout(NamedTuple):
    """What was recognised in a folder."""

    format: Literal["voc", "coco", "yolo"]
    words: str
    """For people: ``VOC annotations beside their images in train and valid``."""


def words_for(split: str) -> tuple[str, ...]:
    """What tools call a split."""
    return _WORDS_FOR_VAL if split == "val" else (split,)


def find_voc(root: Path, split: Split) -> VOCPlace:
    """Finds a split in VOC's format.

    Args:
        root: a ``VOCdevkit`` folder, the folder above it, one VOC-style folder, or a folder with a folder of
            images and annotations for each split.
        split: ``(2007, "trainval")`` is in ``VOC2007``, ``("mine", "train")`` in ``mine``, and ``"train"`` in
            the root itself. `WHOLE` is all that lies there.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the split is not named in one of these ways.
    """
    if split == WHOLE and (whole := _whole_voc(root)) is not None:
        return whole
    if isinstance(split, str):
        folders, name = [root, *_devkit_folders(root)], split
        own = (_folder_of_split(root, word, split) for word in words_for(split))
        if (place := next(filter(None, own), None)) is not None:
            return place
    else:
        if len(split) != 2:
            raise ValueError(f"a split is a name or a pair such as [2007, trainval]; got {list(split)}")
        part, name = (f"VOC{split[0]}" if isinstance(split[0], int) else str(split[0])), str(split[1])
        # The root may also be that folder itself, or one beside it in a devkit.
        folders = [root / part, root / "VOCdevkit" / part, *([root] if root.name == part else [])]
    for folder in folders:
        if (folder / "Annotations").is_dir():
            lists = _lists_of(folder)
            known = (lists / f"{word}.txt" for word in words_for(name))
            list_file = next((path for path in known if path.exists()), lists / f"{name}.txt")
            return VOCPlace(folder, folder / "Annotations", _image_folder(folder), list_file, name)
    raise FileNotFoundError(_no_voc(root, folders))


def training_list(root: Path) -> str:
    """What a set in VOC's format calls the images to train on: ``train``, or what stands in for it.

    That is its only list, whatever its name but ``test``; ``trainval`` or the like where there is none for
    validation; and `WHOLE` where there are no lists.

    Args:
        root: see `find_voc`.
    """
    folder = next((path for path in (root, *_devkit_folders(root)) if (path / "Annotations").is_dir()), None)
    beside = [split for split in _FOLDERS_OF_SPLITS if _folder_of_split(root, split, split)]
    known = beside or (sorted(path.stem for path in _lists_of(folder).glob("*.txt")) if folder else [])
    if not known and _whole_voc(root) is not None:
        return WHOLE
    if "train" in known or not known:
        return "train"
    stand_ins = [] if {*_WORDS_FOR_VAL} & {*known} else [name for name in _WORDS_FOR_ALL if name in known]
    return next(iter([*stand_ins, *(known if len(known) == 1 and known != ["test"] else [])]), "train")


def _whole_voc(root: Path) -> VOCPlace | None:
    """All annotations of a folder, in one of the usual folders or beside their images."""
    for folder in (root, *_devkit_folders(root)):
        for annotations in (folder / "Annotations", folder / "annotations", folder / "labels", folder):
            has = _has if annotations == folder else has_below
            if has(annotations, ".xml"):
                return VOCPlace(folder, annotations, _image_folder(folder), None, WHOLE)
    return None


def _folder_of_split(root: Path, word: str, split: str) -> VOCPlace | None:
    """A split with a folder of its own: of images and annotations, or of annotations in ``Annotations``."""
    together = root / "Annotations"
    if not together.is_dir():
        folder, annotations = root / word, _annotations_in(root / word)
        return VOCPlace(folder, annotations, _image_folder(folder), None, split) if annotations else None
    # Folders of other names are days, or classes, of which VOC calls one train.
    by_split = word in {path.name for path in together.glob("*/")} <= {*_FOLDERS_OF_SPLITS}
    if not by_split or (root / "ImageSets").is_dir():
        return None
    own, place = (images := _image_folder(root)) / word, together / word
    return (
        VOCPlace(place, place, own if own.is_dir() else images, None, split) if _has(place, ".xml") else None
    )


def _annotations_in(folder: Path) -> Path | None:
    """Where the folder of a split keeps its annotations: beside its images, or in a folder of their own."""
    if (folder / "ImageSets").is_dir():
        return None
    places = (folder, folder / "annotations", folder / "Annotations", folder / "labels")
    return next((place for place in places if _has(place, ".xml")), None)


def _lists_of(folder: Path) -> Path:
    lists = folder / "ImageSets" / "Main"
    return lists if lists.is_dir() or not lists.parent.is_dir() else lists.parent


def _devkit_folders(root: Path) -> list[Path]:
    """The only VOC-style folder of a devkit at the root or in it; none if there are several."""
    found = [path.parent for parent in (root, root / "VOCdevkit") for path in parent.glob("*/Annotations")]
    return found if len(found) == 1 else []


def _image_folder(folder: Path) -> Path:
    """Where a folder keeps its images: in one of the usual folders, or beside its annotations."""
    found = next((folder / name for name in _IMAGE_FOLDERS if (folder / name).is_dir()), None)
    beside = folder / "Annotations"
    apart = beside.is_dir() and not any(path.suffix.lower() in IMAGE_SUFFIXES for path in beside.iterdir())
    return found or (folder / "JPEGImages" if apart else folder)


def _no_voc(root: Path, folders: Sequence[Path]) -> str:
    places = (root, root / "VOCdevkit")
    has_2007 = any((place / "VOC2007/ImageSets/Main/val.txt").is_file() for place in places)
    if has_2007 and all(folder.name == "VOC2012" for folder in folders):
        return f"{root} holds VOC 2007 alone: type data=voc07, which trains on its train list"
    there = ", ".join(sorted(path.name for path in root.iterdir())[:10]) if root.is_dir() else None
    layout = recognise(root)
    typed = shlex.join(["data=auto", f"data.root={root}"])
    if layout is not None and layout.format != "voc":
        return f"{root} holds {layout.words}, which data=auto reads: type {typed}"
    if layout is not None:
        return f"{root} holds {layout.words}: type {typed}, or name splits that are there"
    return (
        f"no VOC-style folder {' or '.join(map(str, folders))}; "
        + (f"{root} holds: {there or 'nothing'}. " if there is not None else f"{root} does not exist. ")
        + "Point data.root to the folder that holds VOCdevkit (or to one folder with Annotations, JPEGImages "
        "and ImageSets), or let data.download=true fetch PASCAL VOC; a set of your own is data=auto "
        "data.root=my/set"
    )


def find_coco(root: Path, split: str) -> Path | None:
    """Finds the annotation file of a split in COCO's format; a single file serves for training."""
    files = [*root.glob("*.json"), *root.glob("annotations/*.json")] if split == "train" else []
    if len(files) > 1:  # beside those of keypoints, captions and the like
        files = [path for path in files if path.name.startswith("instances")]
    is_none = len(files) != 1 or files[0] == _named_coco(root, "test") or ".createml" in files[0].suffixes
    return _named_coco(root, split) or (None if is_none else files[0])


def _named_coco(root: Path, split: str) -> Path | None:
    names = [name.format(word) for word in words_for(split) for name in _COCO_FILES]
    exact = (path for name in names if (path := root / name).is_file())
    return next(exact, None) or file_called(root, names)


def coco_paths(root: Path, split: str, images: str, annotations: str) -> tuple[Path | None, Path]:
    """Where the images (None: to be looked for) and the annotations of a split in COCO's format are.

    Args:
        root: the set.
        split: its name.
        images: relative to the root.
        annotations: relative to the root. Others are tried where COCO 2017's own is not there.
    """
    found = None
    if annotations == f"annotations/instances_{split}2017.json" and not (root / annotations).exists():
        found = find_coco(root, split)
    return (root / images, root / annotations) if found is None else (None, found)


def find_yolo(root: Path) -> Path | None:
    """Finds what describes a set in YOLO's format: a YAML file, ``obj.data`` or a list of class names."""
    if root.suffix in (".yaml", ".yml"):
        return root
    yamls = sorted(path for pattern in ("*.yaml", "*.yml") for path in root.glob(pattern))
    candidates = [root / "data.yaml", *(yamls if len(yamls) == 1 else [])]
    candidates += [root / name for name in ("obj.data", "obj.names", "classes.txt")]
    candidates.append(folder_called(root, "labels") / "classes.txt")
    return next((path for path in candidates if path.is_file()), None)


def recognise(root: Path) -> Layout | None:
    """Says what lies in a folder; None if it is no set of a known kind."""
    if not root.exists():
        return None
    splits = ("train", "val", "test")
    yolo = find_yolo(root)
    has_named_coco = any(_named_coco(root, split) for split in splits)
    if yolo == root or (yolo is not None and not has_named_coco and yolo.name in ("data.yaml", "obj.data")):
        return Layout("yolo", f"YOLO labels, described by {yolo.name}")
    # Files of other names may be anything: notes.json, manifest.json, config.yaml, a classes.txt for people.
    if not has_named_coco and (voc := _voc_layout(root)) is not None:
        return voc
    if yolo is not None and not has_named_coco:
        return Layout("yolo", f"YOLO labels, described by {yolo.name}")
    found = (find_coco(root, split) for split in splits)
    coco = dict.fromkeys(str(path.relative_to(root)) for path in found if path is not None)
    if coco:
        return Layout("coco", f"COCO annotations in {' and '.join(coco)}")
    if has_yolo_labels(root):
        return Layout("yolo", "YOLO labels, described by no file")
    return None


def recognised(root: Path) -> Layout:
    """Says what lies in a folder.

    Raises:
        FileNotFoundError: it is no set of a known kind.
    """
    found = recognise(root)
    if found is None:
        there = ", ".join(sorted(path.name for path in root.iterdir())[:10]) if root.is_dir() else ""
        what = f"holds no annotations that are known, but: {there}" if there else "does not exist or is empty"
        what = "is a file, not the folder of a set" if root.is_file() else what
        remedy = "Point data.root to a folder in VOC's, COCO's or YOLO's format"
        inner = [path for path in sorted(root.glob("*/")) if recognise(path) is not None]
        if (root / "Annotations").is_dir():
            remedy = remedy_for_lists(_lists_of(root))
        elif another := another_format(root):
            remedy = another
        elif len(inner) == 1:
            remedy = f"A folder in it is a set: type {shlex.join([f'data.root={inner[0]}'])}"
        raise FileNotFoundError(f"{root} {what}. {remedy}")
    return found


def _voc_layout(root: Path) -> Layout | None:
    places = list(_voc_places(root))
    if places and places[0].list_file is None:
        folders = " and ".join(place.folder.name for place in places)
        beside = " beside their images" if places[0].annotations == places[0].images else ""
        return Layout("voc", f"VOC annotations{beside} in {folders}")
    if places:
        return Layout("voc", f"VOC annotations in {places[0].annotations}")
    if (name := training_list(root)) == WHOLE and (whole := _whole_voc(root)) is not None:
        return Layout("voc", f"VOC annotations without lists in {whole.annotations}")
    if name == "train":
        return None
    return Layout("voc", f"VOC annotations in {find_voc(root, name).annotations}, all in the list {name}")


def _voc_places(root: Path) -> Iterator[VOCPlace]:
    folders = [folder for folder in (root, *_devkit_folders(root)) if (folder / "Annotations").is_dir()]
    for split in ("train", "val", "test"):
        if folders or any(_folder_of_split(root, word, split) for word in words_for(split)):
            place = find_voc(root, split)
            if place.list_file is None or place.list_file.exists():
                yield place


def _has(folder: Path, suffix: str) -> bool:
    return folder.is_dir() and any(
        path.suffix.lower() == suffix and not path.name.startswith("._") for path in folder.iterdir()
    )
