"""The keys of ``share``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detection.settings.base import Settings


@dataclass(frozen=True)
class Share(Settings):
    """Of ``share``.

    Args:
        ckpt: a checkpoint that a training wrote, or a run's folder, for its best one
        output: the folder to write, which must not exist yet
        repo: user/name: upload it there, to the Hugging Face hub; a new repository is private
        license: what others may do with it, as the hub names it, such as apache-2.0; for the model card
        plugins: packages of yours whose registered classes the checkpoint names: plugins=[my_package]
    """

    ckpt: str
    output: str
    repo: str | None = None
    license: str | None = None
    plugins: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.repo is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", self.repo):
            raise ValueError(f"repo={self.repo}: give the user and the name, such as repo=user/name.")
        if self.license is not None and not re.fullmatch(r"[\w.+-]+", self.license):
            raise ValueError(f"license={self.license}: give it as the hub names it, such as apache-2.0.")

    @property
    def output_folder(self) -> Path:
        """The folder to write."""
        return Path(self.output).expanduser()
