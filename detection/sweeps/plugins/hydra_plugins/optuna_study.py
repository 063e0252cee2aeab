"""Hydra takes sweepers from packages called hydra_plugins only; ``detection.cli`` adds this one's folder."""

from detection.sweeps.optuna_sweeper import StudySweeper


class OptunaSweeper(StudySweeper):
    """The sweeper, by a name that Hydra accepts."""
