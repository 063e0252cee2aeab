"""Whether the metrics that callbacks watch and a sweep compares will be there, and which way is up."""

from collections.abc import Mapping, Sequence
from typing import Any

from detection.validation.suggestions import did_you_mean


def check_best(callbacks: Mapping[str, Any]) -> None:
    """Refuse callbacks without the one that keeps the checkpoint which is tested.

    Args:
        callbacks: their configuration.

    Raises:
        ValueError: no checkpoint would be kept.
    """
    if "best" not in callbacks:
        raise ValueError(
            "There is no callbacks.best, which keeps the checkpoint that is tested: begin your list with "
            "default, as in callbacks=[default,ema]."
        )


def check_monitors(config: Mapping[str, Any], during: Sequence[str], at_the_end: Sequence[str]) -> None:
    """Refuse a metric that no run will have, before the first epoch instead of after it.

    Args:
        config: the whole configuration, with ``callbacks.best``.
        during: the metrics of training and validation.
        at_the_end: those of the test.

    Raises:
        ValueError: there is no such metric, and the message lists them all; or the best of a loss would be
            the greatest, or of a precision the least.
    """
    watching = {
        f"callbacks.{name}": callback
        for name, callback in config["callbacks"].items()
        if callback.get("monitor") is not None
    }
    for path, callback in watching.items():
        if config["trainer"].get("limit_val_batches") == 0 and callback["monitor"].startswith("val/"):
            raise ValueError(
                f"trainer.limit_val_batches=0: without a validation there is no {callback['monitor']} for "
                f"{path} to watch; leave it out, or let it watch a metric of training."
            )
        _check_name(f"{path}.monitor", callback["monitor"], during)
        _check_direction(f"{path}.mode", callback.get("mode"), callback["monitor"], "max", "min")
    compared = config["optimized_metric"]
    # A run ends with the metrics of its test, and of validation the one that chose its checkpoint.
    chosen = watching.get("callbacks.best", {}).get("monitor")
    if compared in during and compared != chosen:
        raise ValueError(
            f"optimized_metric={compared}: a run tells this metric where its best checkpoint is chosen by "
            f"it, and that is chosen by {chosen}; give callbacks.best.monitor={compared} as well."
        )
    _check_name("optimized_metric", compared, [chosen, *at_the_end])
    direction = config["optimized_direction"]
    _check_direction("optimized_direction", direction, compared, "maximize", "minimize")


def check_averages(callbacks: Mapping[str, Any], starts: bool) -> None:
    """Refuse averages of the weights that cannot be made, before the first epoch.

    Args:
        callbacks: their configuration.
        starts: whether the weights that the run started from are known.

    Raises:
        ValueError: two callbacks average, or one does so with nothing.
    """
    kinds = {str(callback.get("_target_")).rpartition(".")[2] for callback in callbacks.values()}
    if {"EMA", "WiseFT"} <= kinds:
        raise ValueError(
            "callbacks: ema and wise_ft both put an average in the place of the weights; choose one, as in "
            "callbacks=[default,wise_ft]."
        )
    if "WiseFT" in kinds and not starts:
        raise ValueError(
            "callbacks.wise_ft averages with the weights that a run started from, and there are none: give "
            "init_from, or leave it out, callbacks=[default]."
        )


def _check_name(key: str, metric: str, known: Sequence[str]) -> None:
    if metric in known:
        return
    listed = dict.fromkeys(
        f"{name.partition('/ap/')[0]}/ap/<class>" if "/ap/" in name else name for name in known
    )
    meant = did_you_mean(metric, known) or "."
    raise ValueError(f"{key}={metric}: there is no such metric{meant} There are {', '.join(listed)}.")


def _check_direction(key: str, given: str | None, metric: str, upward: str, downward: str) -> None:
    right = downward if "/loss" in metric else upward
    if given not in (None, right):
        raise ValueError(f"{key}={given}: the best {metric} would be the worst; give {key}={right}.")
