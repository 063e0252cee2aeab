"""How long to train where nobody says so (``trainer.max_epochs=null``)."""

import math
from typing import TYPE_CHECKING, Any

from detection.system.wording import counted

if TYPE_CHECKING:
    import pytorch_lightning as pl

_FEWEST = 4
_OF_ONE_IMAGE = 400


def epochs_for(num_images: int) -> int:
    """The number of epochs that suits a set: few images are seen oftener, yet their steps are fewer.

    400 divided by the root of the number of images, but at least 4: 57 for 50 images, 13 for 1,000, 6 for
    5,000. The number of steps grows with the root.

    Args:
        num_images: to train on, 1 or more.
    """
    return max(_FEWEST, round(_OF_ONE_IMAGE / math.sqrt(num_images)))


def choose_length(config: dict[str, Any], trainer: "pl.Trainer", num_images: int) -> str:
    """Give a training without a length one that suits its set.

    Args:
        config: the whole configuration; the number of epochs is noted in it.
        trainer: the number of epochs is set in it.
        num_images: to train on.

    Returns:
        It, for the user; nothing where the configuration says how long to train.
    """
    limits = config["trainer"]
    by_steps = limits.get("max_steps") not in (None, -1) or limits.get("max_time") is not None
    if limits.get("max_epochs") is not None or by_steps or config["find"]:
        return ""
    epochs = limits["max_epochs"] = trainer.fit_loop.max_epochs = epochs_for(num_images)
    return f"{counted(epochs, 'epoch')} by the number of images (trainer.max_epochs=... sets another)"
