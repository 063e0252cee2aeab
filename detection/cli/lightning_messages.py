"""What Lightning says and nobody needs to read."""

import logging
import re
import warnings


def quieten_lightning() -> None:
    """Drop what Lightning says that is not about the user's run."""
    # The best checkpoint is that of the first callback, as conf/callbacks/default.yaml says.
    warnings.filterwarnings("ignore", ".*configured with multiple `ModelCheckpoint` callbacks")
    # What goes on in another way is told in our words, by detection.checkpoints.resume.
    warnings.filterwarnings("ignore", "Be aware that when using `ckpt_path`")
    warnings.filterwarnings("ignore", "The dirpath has changed from")
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
    warnings.filterwarnings("ignore", "The checkpoint was not created with WeightAveraging")
    # The interval gives way: detection.callbacks.summary.
    warnings.filterwarnings(
        "ignore", "The number of training batches .* is smaller than the logging interval"
    )
    # Then the number of images decides: detection.tasks.run_length.
    warnings.filterwarnings("ignore", "`max_epochs` was not set")
    # Frozen batch norms are in evaluation mode on purpose.
    warnings.filterwarnings("ignore", "Found .* in eval mode at the start of training")
    # On a login node of Slurm's: this run may well be none of its jobs.
    warnings.filterwarnings("ignore", "The `srun` command is available")
    warnings.filterwarnings("ignore", "Precision .* is not supported by the model summary")
    warnings.filterwarnings("ignore", ".*is deprecated", module="pytorch_lightning.utilities._pytree")
    # An advertisement, and what the progress has said already.
    needless = "litlogger|TPU available: False|`Trainer.fit` stopped: `max_epochs=|Found current_model_state"
    logging.getLogger("pytorch_lightning.utilities.rank_zero").addFilter(
        lambda record: not re.search(needless, record.getMessage())
    )
