"""Hydra takes sweepers from packages called hydra_plugins only; ``detection.cli.entry`` adds this folder."""

from detection.sweeps.optuna_sweeper import StudySweeper


class OptunaSweeper(StudySweeper):
    """The sweeper, by a name that Hydra accepts."""
