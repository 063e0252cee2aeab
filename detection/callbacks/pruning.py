"""Ends a hopeless trial of a search early."""

from pathlib import Path

import optuna
import pytorch_lightning as pl


class Pruning(pl.Callback):
    """Reports each validation to an Optuna study, and ends the training when the pruner says so.

    The run is then tested like any other, and ``pruned.txt`` in its folder says why it is short.

    Args:
        monitor: the metric.
        folder: the run's folder.
        storage: the study's database, as a URL.
        study: its name.
        trial: the number of this run's trial.
        pruner: decides.
    """

    def __init__(
        self,
        monitor: str,
        folder: str,
        storage: str,
        study: str,
        trial: int,
        pruner: optuna.pruners.BasePruner,
    ) -> None:
        self.monitor = monitor
        self.folder = Path(folder)
        self.storage = storage
        self.study = study
        self.trial = trial
        self.pruner = pruner

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report, and stop in all processes when the first decides to."""
        if trainer.sanity_checking:
            return
        hopeless = trainer.is_global_zero and self._report(trainer)
        if trainer.strategy.broadcast(hopeless):
            trainer.should_stop = True

    def _report(self, trainer: pl.Trainer) -> bool:
        study = optuna.load_study(study_name=self.study, storage=self.storage, pruner=self.pruner)
        known = study.get_trials(deepcopy=False)[self.trial]
        trial = optuna.Trial(study, known._trial_id)
        value = float(trainer.callback_metrics[self.monitor])
        trial.report(value, step=trainer.current_epoch)
        if not trial.should_prune():
            return False
        epochs = trainer.current_epoch + 1
        told = f"Stopped after epoch {epochs}: {self.monitor} {value:.4f}\n"
        (self.folder / "pruned.txt").write_text(told, encoding="utf-8")
        return True
