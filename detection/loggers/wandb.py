"""Weights & Biases: one run for each run's folder, which never stops or delays a training for long."""

import os
import secrets
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from detection.callbacks.predictions import Seen
from detection.checkpoints.wandb_artifacts import ARTIFACT_FILE
from detection.loggers.names import run_name, sweep_group
from detection.loggers.tracker import Tracker
from detection.loggers.wandb_boxes import image_boxes
from detection.system.errors import first_line
from detection.system.files import write_text

INIT_SECONDS = 30  # to reach the server, before the run is recorded offline
FINISH_SECONDS = 120  # to upload what is left when the run ends; the rest can be uploaded later
CHECKPOINTS = ("last", "best")
"""Aliases of what ``log_model`` keeps, in the order in which they are sent."""


class WandbRun(Tracker, WandbLogger):
    """Records a run in Weights & Biases: online when logged in, else offline.

    A folder has one run: a second start in it continues the first, whose id is kept in ``wandb/run_id``.
    ``WANDB_MODE=offline`` or ``disabled`` in the environment wins over ``mode``. Where the server cannot be
    reached the run is recorded offline; where wandb itself fails, the training goes on without it.

    Args:
        run_dir: the run's folder; wandb's files lie in its ``wandb``.
        project: the project at Weights & Biases.
        entity: user or team that owns the project; None for the account's default.
        name: the run's name; None for one made of ``default_name`` and ``overrides``.
        group: a name that related runs share; None for the sweep's folder, where there is a sweep.
        job_type: what the run does.
        tags: words to find the run by.
        notes: a longer description.
        mode: ``online``, ``offline`` or ``disabled``; None for online when logged in.
        default_name: what the name begins with.
        overrides: the ``KEY=VALUE`` of the command line.
        sweep_dir: the folder of a sweep; the run belongs to the sweep when its folder lies inside.
        log_model: keep the best and the last checkpoint of a complete run as versions of the artifact
            ``model-<id of the run>``, under the aliases ``best`` and ``last``.
    """

    tracker_name = "wandb"

    def __init__(
        self,
        run_dir: str,
        project: str,
        entity: str | None = None,
        name: str | None = None,
        group: str | None = None,
        job_type: str | None = None,
        tags: Sequence[str] = (),
        notes: str | None = None,
        mode: Literal["online", "offline", "disabled"] | None = None,
        default_name: str = "run",
        overrides: Sequence[str] = (),
        sweep_dir: str | None = None,
        log_model: bool = False,
    ) -> None:
        super().__init__(
            name=name or run_name(default_name, overrides, run_dir),
            save_dir=run_dir,
            project=project,
            entity=entity,
            group=group or sweep_group(run_dir, sweep_dir),
            job_type=job_type,
            tags=list(tags) or None,
            notes=notes,
        )
        del self._wandb_init["anonymous"]  # Lightning passes it along; wandb warns of it
        self._mode = mode
        self._folder = Path(run_dir)
        self._keeps_checkpoints = log_model  # Lightning's own log_model refuses to work offline

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The wandb run, made when first asked for; other processes than the first get a stand-in."""
        is_attached = getattr(self, "_attach_id", None) is not None  # in a process that was spawned
        if self._experiment is None and not is_attached:
            self._start()
        return super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record metrics, images or tables; when wandb fails, say so once and go on without it."""
        with self._going_on_without():
            super().log_metrics(metrics, step)

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Record the configuration; when wandb fails, say so once and go on without it."""
        with self._going_on_without():
            super().log_hyperparams(params)

    @rank_zero_only
    def log_detections(
        self, stage: str, seen: Sequence[Seen], class_names: Sequence[str], threshold: float, step: int
    ) -> None:
        """Send images, and boxes to switch on and off."""
        self.log_image(
            f"{stage}/predictions",
            [item.image for item in seen],
            step=step,
            caption=[item.target["image_id"] for item in seen],
            boxes=[image_boxes(item.detections, item.target, class_names, threshold) for item in seen],
        )

    @rank_zero_only
    def log_aps(self, stage: str, aps: Mapping[str, float | None], step: int) -> None:
        """Send a table."""
        rows: list[list[Any]] = [list(row) for row in aps.items()]
        self.log_table(f"{stage}/ap_by_class", ["class", "AP"], rows, step=step)

    @rank_zero_only
    def log_report(self, files: Sequence[Path]) -> None:
        """Send the files as files of the run, the curves as a picture too, and checkpoints where asked to."""
        import wandb

        with self._going_on_without():
            run: Any = self._experiment
            if run.disabled:
                return
            for path in files:
                # Of a file that lies elsewhere wandb makes a link, with a warning.
                shutil.copy(path, run.dir)
                run.save(str(Path(run.dir, path.name)), base_path=run.dir, policy="now", glob=False)
            for path in files:
                if path.name == "curves.png":
                    run.log({"report/curves": wandb.Image(str(path))})
            if self._keeps_checkpoints:
                self._log_checkpoints()

    def _log_checkpoints(self) -> None:
        import wandb

        run: Any = self._experiment
        for alias in CHECKPOINTS:
            path = self._folder / "checkpoints" / f"{alias}.ckpt"
            if path.is_file():
                artifact = wandb.Artifact(f"model-{run.id}", type="model", metadata={"file": path.name})
                artifact.add_file(str(path), name=ARTIFACT_FILE)
                run.log_artifact(artifact, aliases=[alias])
        if not run.offline:
            address = f"wandb://{run.entity}/{run.project}/model-{run.id}:best"
            print(f"Weights & Biases keeps the checkpoints: ckpt={address}", flush=True)

    def close(self, exit_code: int) -> None:
        """End the run.

        Args:
            exit_code: 0 for success; any other marks the run as failed.
        """
        if self._experiment is not None:
            with self._going_on_without():
                self._experiment.finish(exit_code=exit_code)
            self._experiment = None

    def _start(self) -> None:
        """Make the run online or offline; without wandb if that fails."""
        import wandb

        mode, reason = self._choose_mode()
        for attempt in dict.fromkeys((mode, "offline")):
            quiet = attempt == "offline"  # one line of ours says what a dozen of wandb's would
            settings = wandb.Settings(init_timeout=INIT_SECONDS, finish_timeout=FINISH_SECONDS, silent=quiet)
            run_id = None if attempt == "disabled" else stored_run_id(self._folder)
            self._wandb_init.update(mode=attempt, settings=settings, id=run_id)
            try:
                run = super().experiment
            except wandb.errors.UsageError as error:
                raise ValueError(f"logger.wandb: {error}") from error
            except Exception as error:
                reason = f"no connection: {first_line(error)}"
                with suppress(Exception):
                    wandb.teardown()  # the id is in use until then
                continue
            if attempt == "offline":
                print(f"Weights & Biases: offline ({reason}). Upload the run with: {_sync(run)}", flush=True)
            return
        self._give_up(reason)

    def _choose_mode(self) -> tuple[str, str]:
        """How to record, and why."""
        import wandb

        from_environment = wandb.setup().settings.mode
        if from_environment in ("offline", "dryrun", "disabled"):
            return from_environment.replace("dryrun", "offline"), "set by wandb's own settings"
        if self._mode in ("offline", "disabled"):
            return self._mode, "logger.wandb.mode"
        try:
            # Looks for an account without asking for one: wandb.init would.
            is_logged_in = wandb.login(prompt=False, verify=False)
        except wandb.errors.AuthenticationError as error:
            return "offline", first_line(error)
        return ("online", "") if is_logged_in else ("offline", "not logged in: wandb login")

    @contextmanager
    def _going_on_without(self) -> Iterator[None]:
        _ = self.experiment  # the user's mistakes come to light when the run is made: they are not caught
        try:
            yield
        except Exception as error:  # whatever happens to wandb, the training matters more
            self._give_up(first_line(error))

    def _give_up(self, reason: str) -> None:
        import wandb

        run: Any = self._experiment
        kept = "" if run is None else f" Upload what it has with: {_sync(run)}"
        print(f"Weights & Biases does not record any more ({reason}); the run goes on.{kept}", flush=True)
        with suppress(Exception):
            run._restore()  # else wandb's copy of the terminal's output complains at each line
        with suppress(Exception):
            wandb.teardown()  # lets the next run of this process start afresh
        self._experiment = wandb.init(mode="disabled")


def stored_run_id(run_dir: Path) -> str:
    """The id of a folder's run, from ``wandb/run_id``; at first made anew or taken from ``WANDB_RUN_ID``.

    Args:
        run_dir: the run's folder.
    """
    path = run_dir / "wandb" / "run_id"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4))  # never a half-written id
    return path.read_text(encoding="utf-8").strip()


def _sync(run: Any) -> str:
    return f"wandb sync {shlex.quote(str(Path(run.dir).parent))}"
