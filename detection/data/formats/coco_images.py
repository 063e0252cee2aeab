"""The image files of a COCO file, found by their names, also where a tool wrote those of another place."""

import os
import re
from pathlib import Path

from detection.data.image_files import IMAGE_SUFFIXES

# What Label Studio puts before the name of an uploaded file.
_UPLOAD = re.compile(r"^[0-9a-f]{8}-")


class ImageFiles:
    """The images in a folder, by the names that tools give them.

    Args:
        folder: that of the images.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._by_name: dict[str, list[str]] | None = None

    def find(self, file_name: str) -> str | None:
        """The path of an image, relative to the folder.

        If there is no such file, this is the only one of that name in the folder: folders, the case of
        letters and what an upload put before it do not matter.
        """
        plain = file_name.replace("\\", "/")
        if "\0" in plain:
            return None
        inside = not os.path.isabs(plain) and ".." not in plain.split("/")
        if inside and os.path.isfile(f"{self.folder}/{file_name}"):
            return file_name
        if inside and os.path.isfile(f"{self.folder}/{plain}"):
            return plain
        if self._by_name is None:
            self._by_name = {}
            for path in sorted(self.folder.rglob("*")):
                if path.suffix.lower() in IMAGE_SUFFIXES:
                    names = self._by_name.setdefault(path.name.casefold(), [])
                    names.append(path.relative_to(self.folder).as_posix())
        name = plain.rpartition("/")[2].casefold()
        found = self._by_name.get(name) or self._by_name.get(_UPLOAD.sub("", name)) or []
        return found[0] if len(found) == 1 else None


def find_images(annotations: Path, file_name: str) -> Path:
    """The folder of the images of a JSON file: the first around it that holds one of them.

    Args:
        annotations: the JSON file.
        file_name: what it calls that image.
    """
    split = re.sub(r"^(instances|labels|annotations)_", "", annotations.stem)
    root = annotations.parent.parent if annotations.parent.name == "annotations" else annotations.parent
    names = (split, f"images/{split}", f"{split}/images", split.removesuffix("2017"), "images", ".")
    candidates = [folder for name in names if (folder := root / name).is_dir()]
    return next(
        (folder for folder in candidates if ImageFiles(folder).find(file_name) is not None), candidates[-1]
    )
