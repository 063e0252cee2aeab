"""Hydra's sweeps, with Optuna choosing what to try next; from Hydra's override grammar.

hydra-optuna-sweeper is bound to Optuna 2, and neither prunes nor continues.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from detection.sweeps.job import PRUNED
from detection.system.wording import are, counted

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


def search_space(overrides: Iterable[Override]) -> tuple[dict[str, "BaseDistribution"], list[str]]:
    """Split overrides into what is searched and what is the same in every trial.

    ``interval(1e-4, 1e-2)`` is a number between the two, ``tag(log, interval(...))`` one on a logarithmic
    scale, ``int(interval(1, 8))`` a whole number, ``range(1, 9, 2)`` one of 1, 3, 5, 7; ``choice(a, b)`` and
    ``a,b`` are values without an order, ``glob(*)`` any file of a group.

    Args:
        overrides: a later one replaces an earlier one of the same key.

    Returns:
        The distribution of each key that is searched, and the other overrides as they were given.
    """
    last = {override.get_key_element(): override for override in overrides}
    space = {key: _distribution(override) for key, override in last.items() if override.is_sweep_override()}
    fixed = [str(override.input_line) for override in last.values() if not override.is_sweep_override()]
    return space, fixed


def _distribution(override: Override) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sweep = override.value()
    if isinstance(sweep, IntervalSweep):
        assert sweep.start is not None
        assert sweep.end is not None
        log = "log" in sweep.tags
        if isinstance(sweep.start, int):
            return IntDistribution(int(sweep.start), int(sweep.end), log=log)
        return FloatDistribution(sweep.start, sweep.end, log=log)
    if isinstance(sweep, RangeSweep):
        values = list(sweep.range())
        if all(isinstance(value, int) for value in values):
            return IntDistribution(int(values[0]), int(values[-1]), step=int(sweep.step))
        return FloatDistribution(float(values[0]), float(values[-1]), step=float(sweep.step))
    return CategoricalDistribution(list(override.sweep_string_iterator()))


Direction = Literal["maximize", "minimize"]
log = logging.getLogger(__name__)
STUDY = "sweep"  # the one study in a sweep's study.db


class StudySweeper(Sweeper):
    """Searches with the TPE sampler; the study is ``study.db`` in the sweep's folder.

    A sweep that was killed continues when it is started again with the same ``hydra.sweep.dir``: finished
    trials count, interrupted ones are repeated in a new folder.

    Args:
        params: what to search, key by key, in Hydra's override grammar; the command line adds and replaces.
        n_trials: trials in total, those of earlier starts included.
        n_jobs: trials that a launcher gets at a time.
        direction: ``maximize`` or ``minimize``.
        seed: of the sampler.
    """

    def __init__(
        self, params: dict[str, Any] | None, n_trials: int, n_jobs: int, direction: Direction, seed: int
    ) -> None:
        self.params = params or {}
        self.n_trials = n_trials
        self.n_jobs = n_jobs
        self.direction = direction
        self.seed = seed

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Take what Hydra hands to a sweeper."""
        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run trials until there are ``n_trials``.

        Args:
            arguments: the overrides of the command line.

        Raises:
            SystemExit: when another process works on the study, the search space changed, or trials look for
                a setting (``find``).
        """
        # Hydra imports every sweeper at every start; what it needs waits until it works.
        from filelock import FileLock, Timeout

        assert self.config is not None
        assert self.hydra_context is not None
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        given = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        space, fixed = search_space(parser.parse_overrides(given))
        finds = [word for word in fixed if word.lstrip("+").startswith("find=") and word != "find=null"]
        if finds or "find" in space:
            raise SystemExit(
                f"{(finds or ['find=...'])[0]} finds a setting and has no metric to search by: leave Optuna "
                "out, and give the values to look with, such as model=ssd,faster_rcnn."
            )
        if not space:
            raise SystemExit(
                "Nothing to search: give hydra.sweeper.params, or KEY=interval(...) and the like."
            )
        try:
            with FileLock(folder / "study.lock", timeout=0):
                self._search(self._study(folder), space, fixed)
        except Timeout:
            raise SystemExit(f"{folder}: another process is at work on this sweep.") from None

    def _study(self, folder: Path) -> "Study":
        """Open or create the study, and put the trials that were interrupted back into the queue."""
        import optuna
        from optuna.trial import TrialState

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            storage=f"sqlite:///{folder}/study.db",
            study_name=STUDY,
            direction=self.direction,
            load_if_exists=True,
        )
        # With the seed alone, a continued search would draw once more what it drew at first.
        study.sampler = optuna.samplers.TPESampler(
            seed=self.seed + len(study.trials), multivariate=False, constant_liar=False
        )
        for trial in study.get_trials(states=(TrialState.RUNNING,)):
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params, user_attrs={"repeats": trial.number})
        log.info(
            f"{len(_finished(study))} of {counted(self.n_trials, 'trial')} {are(self.n_trials)} done. "
            f"If this sweep is interrupted, the same command with hydra.sweep.dir={folder} continues it."
        )
        return study

    def _search(self, study: "Study", space: dict[str, Any], fixed: list[str]) -> None:
        assert self.launcher is not None
        while (missing := self.n_trials - len(_finished(study))) > 0:
            try:
                trials = [study.ask(space) for _ in range(min(missing, self.n_jobs))]
            except ValueError as error:
                raise SystemExit(f"The study was begun with another search space: {error}") from error
            batch = [[*fixed, *(f"{key}={value}" for key, value in trial.params.items())] for trial in trials]
            self.validate_batch_is_legal(batch)
            results = self.launcher.launch(batch, initial_job_idx=trials[0].number)
            for trial, result in zip(trials, results, strict=True):
                _tell(study, trial, result)


def _finished(study: "Study") -> Sequence["FrozenTrial"]:
    """The trials that need no repetition."""
    trials = study.get_trials(deepcopy=False)
    repeated = {trial.user_attrs.get("repeats") for trial in trials}
    return [trial for trial in trials if trial.state.is_finished() and trial.number not in repeated]


def _tell(study: "Study", trial: "Trial", result: JobReturn) -> None:
    from optuna.trial import TrialState

    failed = result.status is not JobStatus.COMPLETED or math.isnan(result.return_value)
    assert result.hydra_cfg is not None
    pruned = (Path(result.hydra_cfg.hydra.runtime.output_dir) / PRUNED).exists()
    if failed:
        study.tell(trial, state=TrialState.FAIL)
    elif pruned:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, result.return_value)
