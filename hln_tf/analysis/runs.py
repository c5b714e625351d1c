"""The results and settings of runs, read as plain values. Imports no TensorFlow."""

from pathlib import Path
from typing import Any

from hln_tf.common import files
from hln_tf.common.errors import HlnError

# Names in a run directory.
CONFIG = "config.json"
METRICS = "metrics.json"
EVENTS = "events"

# The metrics by which runs are compared.
COLUMNS = tuple(f"{metric}@{k}" for metric in ("recall", "mrr") for k in (5, 10, 20))

_RESTORE = "restore it, or train again in another `workdir`"


def read_results(run: Path) -> dict[str, Any]:
    """Read the results of a finished run.

    Args:
      run: The run directory.

    Raises:
      HlnError: The directory contains no finished run.
    """
    remedy = "name workdirs of finished runs of python -m hln_tf.train"
    results = files.read_json(run / METRICS, remedy)
    try:
        float(sum(results["test"][name] for name in COLUMNS))
        "".join(describe(results))
    except (KeyError, TypeError):
        raise HlnError(f"{run / METRICS} holds no test metrics: {remedy}") from None
    return results


def find_results(run: Path) -> dict[str, Any] | None:
    """Read the results of a run, or return None if it is not finished.

    Raises:
      HlnError: The results are damaged.
    """
    path = run / METRICS
    if not path.is_file():
        return None
    remedy = "remove it and run the same command again"
    results = files.read_json(path, remedy)
    if not isinstance(results, dict):
        raise HlnError(f"{path} holds {type(results).__name__}, not the results of a run: {remedy}")
    return results


def describe(results: dict[str, Any]) -> tuple[str, ...]:
    """Return a run's model, its data set and the parts that it was trained on."""
    return results["model"], results["dataset"], results["trained_on"]


def read_config(run: Path) -> dict[str, Any]:
    """Read a run's `config.json`, finished or not, as plain values.

    Returns:
      All settings, with at least `model` and `data`, which has at least `dataset`.

    Raises:
      HlnError: The directory contains no run, or its config is damaged.
    """
    path = run / CONFIG
    config = files.read_json(path, "name the `workdir` of a run of python -m hln_tf.train")
    try:
        "".join((config["model"], config["data"]["dataset"]))
    except (KeyError, TypeError) as error:
        raise HlnError(f"{path} is not a run's config ({error}): {_RESTORE}") from None
    return config


def read_settings(run: Path) -> dict[str, Any]:
    """Read the settings of a run's model and training by name.

    Returns:
      The settings; none if the directory has no `config.json`.

    Raises:
      HlnError: The config is damaged.
    """
    path = run / CONFIG
    if not path.is_file():
        return {}
    config = files.read_json(path, _RESTORE)
    try:
        return {**config.get("model_settings", {}), **config.get("training", {})}
    except (AttributeError, TypeError) as error:
        raise HlnError(f"{path} is not a run's config ({error}): {_RESTORE}") from None
