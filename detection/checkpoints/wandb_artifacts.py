"""Checkpoints that Weights & Biases keeps (``logger.wandb.log_model=true``), by their addresses."""

import hashlib
import re
from pathlib import Path

from detection.system.errors import first_line
from detection.system.files import cache_folder

ARTIFACT_FILE = "model.ckpt"
"""The checkpoint in an artifact; Lightning's own logger calls it so, too."""
_ADDRESS = re.compile(r"wandb:/{1,2}([^/:]+/[^/:]+/[^/:]+:[^/:]+)")  # a Path has one slash of two
_SECONDS = 30  # that the server has to answer


def is_artifact(source: str | Path) -> bool:
    """Whether a checkpoint is named by where it lies at Weights & Biases.

    Args:
        source: as it was typed, or as a ``Path``.
    """
    return str(source).startswith("wandb:/")


def fetch_artifact(source: str | Path) -> Path:
    """Download a checkpoint, unless it was downloaded before; what is in it has still to be checked.

    Args:
        source: ``wandb://entity/project/name:alias``, or with a version such as ``v3`` in place of the alias.

    Returns:
        The file, in the user's cache.

    Raises:
        ValueError: it is no such address, nobody is logged in, the server cannot be reached, or it has no
            such artifact.
    """
    address = _ADDRESS.fullmatch(str(source))
    if address is None:
        raise ValueError(
            f"{source}: give wandb://entity/project/name:alias, such as wandb://me/detection/x:best"
        )
    name = f"wandb://{address[1]}"
    import wandb

    try:
        # Looks for an account without asking for one: wandb.Api would.
        if wandb.setup().settings.mode in ("offline", "dryrun", "disabled"):
            raise ValueError("WANDB_MODE keeps it offline")
        if not wandb.login(prompt=False, verify=False):
            raise ValueError("nobody is logged in here")
        artifact = wandb.Api(timeout=_SECONDS).artifact(address[1])
        key = hashlib.sha256(f"{address[1]} {artifact.digest}".encode()).hexdigest()[:32]
        folder = cache_folder() / "wandb" / key
        return Path(artifact.get_entry(ARTIFACT_FILE).download(str(folder), skip_cache=True))
    except Exception as error:  # the network fails in many ways
        raise ValueError(
            f"{name} cannot be fetched ({first_line(error)}): type wandb login, or download its "
            f"{ARTIFACT_FILE} where Weights & Biases is online, and give the file."
        ) from error
