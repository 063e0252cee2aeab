"""MLflow: one run for each run's folder, in a database beside the runs or at a server."""

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import MLFlowLogger
from pytorch_lightning.utilities import rank_zero_only

from detection.callbacks.predictions import Seen
from detection.loggers.names import run_name as make_name
from detection.loggers.names import sweep_group
from detection.loggers.tracker import Tracker, drawn
from detection.system.errors import first_line
from detection.system.files import write_text

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

# Of MLflow itself, unless the user has set them: a server that is gone delays a training by seconds, not by
# a quarter of an hour for each call, and nothing is sent to MLflow's makers.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # it tells of its tables
}
_SQLITE = "sqlite:///"
_METRICS_AT_ONCE, _PARAMS_AT_ONCE = 1000, 100  # a server takes no more in one request
_LONGEST = 6000  # characters of a parameter
_LONGEST_KEY = 200  # of 250, for what makes equal ones differ


class MLflowRun(Tracker, MLFlowLogger):
    """Records a run in MLflow.

    A folder has one run: a second start in it continues the first, whose id is kept in ``mlflow_run_id``.
    A store that cannot be reached at the start is an error; where it fails later, the training goes on
    without it. The run ends when it is closed: see ``closing_trackers``.

    Args:
        run_dir: the run's folder.
        tracking_uri: the store: a database such as ``sqlite:///runs/mlflow.db``, beside which files lie in
            ``mlflow_artifacts``; or the ``http://`` of a server.
        experiment_name: the experiment at MLflow; made where there is none.
        run_name: None for one made of ``default_name`` and ``overrides``.
        tags: values by name, to find the run by. In a sweep ``sweep``, the name of its folder, is one.
        default_name: what the name begins with.
        overrides: the ``KEY=VALUE`` of the command line.
        sweep_dir: the folder of a sweep; the run belongs to the sweep when its folder lies inside.
    """

    tracker_name = "mlflow"

    def __init__(
        self,
        run_dir: str,
        tracking_uri: str = "sqlite:///runs/mlflow.db",
        experiment_name: str = "detection",
        run_name: str | None = None,
        tags: Mapping[str, str] | None = None,
        default_name: str = "run",
        overrides: Sequence[str] = (),
        sweep_dir: str | None = None,
    ) -> None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            import mlflow  # noqa: F401
        except ImportError as error:
            raise ImportError(f"logger=mlflow needs mlflow ({error}): pip install -e '.[mlflow]'") from error
        files = None
        if tracking_uri.startswith(_SQLITE):
            folder = Path(tracking_uri.removeprefix(_SQLITE)).resolve().parent
            folder.mkdir(parents=True, exist_ok=True)
            files = (folder / "mlflow_artifacts").as_uri()
        sweep = sweep_group(run_dir, sweep_dir)
        own_tags = {"sweep": sweep} if sweep else {}
        with _starting(tracking_uri):
            super().__init__(
                experiment_name=experiment_name,
                run_name=run_name or make_name(default_name, overrides, run_dir),
                tracking_uri=tracking_uri,
                tags={**own_tags, **(tags or {})},
                artifact_location=files,
            )
        self._id_file = Path(run_dir) / "mlflow_run_id"
        self._keys: dict[str, str] = {}
        self._is_lost = False

    @property
    @rank_zero_experiment
    def experiment(self) -> "MlflowClient":
        """MLflow's client, once the run is there; other processes than the first get a stand-in."""
        if not self._initialized:
            with _starting(self._tracking_uri):
                self._start()
            self._id_file.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._id_file, str(self._run_id))
        return self._mlflow_client

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record metrics; when MLflow fails, say so once and go on without it."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        values = [Metric(self._key(name), float(value), now, step or 0) for name, value in metrics.items()]
        for first in range(0, len(values), _METRICS_AT_ONCE):
            self._record("log_batch", metrics=values[first : first + _METRICS_AT_ONCE])

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Record the configuration, as parameters and as ``config.yaml``.

        Parameters cannot change at MLflow: those of a resumed run stay what they were at first, and
        ``config.yaml`` is that of the last start.
        """
        from mlflow.entities import Param

        self._record("log_dict", params, "config.yaml")
        run = self._record("get_run")
        known = run.data.params if run is not None else {}
        values = {_allowed(key): value for key, value in _by_path(params).items()}
        new = [Param(key, str(value)[:_LONGEST]) for key, value in values.items() if key not in known]
        for first in range(0, len(new), _PARAMS_AT_ONCE):
            self._record("log_batch", params=new[first : first + _PARAMS_AT_ONCE])

    @rank_zero_only
    def log_detections(
        self, stage: str, seen: Sequence[Seen], class_names: Sequence[str], threshold: float, step: int
    ) -> None:
        """Send each image with its boxes drawn; the page of the run goes through the epochs."""
        for item in seen:
            # Keys of images are in ASCII, unlike those of metrics.
            key = self._key(f"{stage}/predictions/{item.target['image_id']}", re.ASCII)
            picture = drawn(item, class_names, threshold)
            self._record("log_image", picture, key=key, step=step, synchronous=True)

    @rank_zero_only
    def log_aps(self, stage: str, aps: Mapping[str, float | None], step: int) -> None:
        """Send a table, in the form of MLflow's own."""
        table = {"columns": ["class", "AP"], "data": [list(row) for row in aps.items()]}
        self._record("log_dict", table, f"{stage}/ap_by_class.json")

    @rank_zero_only
    def log_report(self, files: Sequence[Path]) -> None:
        """Send the files, as artifacts in ``report``."""
        for path in files:
            self._record("log_artifact", str(path), "report")

    def finalize(self, status: str = "success") -> None:
        """Nothing: Lightning calls this after training and again after the test."""

    @rank_zero_only
    def close(self, exit_code: int) -> None:
        """End the run.

        Args:
            exit_code: 0 for success; any other marks the run as failed.
        """
        if self._initialized:
            status = "FAILED" if exit_code else "FINISHED"
            self._record("set_terminated", status)

    def _start(self) -> None:
        """Find the run of the folder, or make one."""
        from mlflow.exceptions import MlflowException

        client = self._mlflow_client
        if self._id_file.exists():
            run_id = self._id_file.read_text(encoding="utf-8").strip()
            with suppress(MlflowException):  # of another store, or deleted: a new run
                client.update_run(run_id, status="RUNNING")
                self._run_id = run_id
        name = self._experiment_name
        if client.get_experiment_by_name(name) is None:
            with suppress(MlflowException):  # another job of a sweep may make it at this moment
                client.create_experiment(name, artifact_location=self._artifact_location)
        found = client.get_experiment_by_name(name)
        self._experiment_id = found.experiment_id if found else None
        _ = super().experiment  # which makes the run

    def _record(self, method: str, *values: Any, **options: Any) -> Any:
        """Call a method of MLflow's client for the run, unless MLflow has failed before; None if it fails."""
        client, run_id = self.experiment, self.run_id  # what is wrong at the start is told, not passed over
        if self._is_lost:
            return None
        try:
            return getattr(client, method)(run_id, *values, **options)
        except Exception as error:  # whatever happens to MLflow, the training matters more
            if getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE":  # others may be recorded
                print(f"MLflow does not take this ({first_line(error)}); the run goes on.", flush=True)
            else:
                self._is_lost = True
                print(f"MLflow does not record any more ({first_line(error)}); the run goes on.", flush=True)
            return None

    def _key(self, name: str, flags: re.RegexFlag = re.NOFLAG) -> str:
        """The name of a metric or an image as MLflow takes it, unlike that of any other."""
        if name not in self._keys:
            key = _allowed(name, flags)
            while key in self._keys.values():
                key += "_"
            self._keys[name] = key
        return self._keys[name]


@contextmanager
def _starting(tracking_uri: str) -> Iterator[None]:
    """Tell in a sentence what is wrong with a store."""
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"logger.mlflow.tracking_uri={tracking_uri}: MLflow cannot record there ({first_line(error)}); "
            "give a server that answers, or a file: logger.mlflow.tracking_uri=sqlite:///runs/mlflow.db"
        ) from error


def _by_path(params: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Plain values by the keys that one types: ``optimizer.lr``."""
    values: dict[str, Any] = {}
    for key, value in params.items():
        if isinstance(value, Mapping) and value:
            values |= _by_path(value, f"{path}{key}.")
        else:
            values[f"{path}{key}"] = value
    return values


def _allowed(key: str, flags: re.RegexFlag = re.NOFLAG) -> str:
    """The name of a metric, a parameter or an image as MLflow takes it: a short path of no dots alone."""
    parts = re.sub(r"[^\w\-./ ]", "_", key, flags=flags)[:_LONGEST_KEY].split("/")
    return "/".join(part if part.strip(".") else "_" for part in parts)
