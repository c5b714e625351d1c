"""A search from Python, on the data of the front door. Imports no TensorFlow."""

import dataclasses
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hln_tf.common.errors import UsageError
from hln_tf.common.files import as_location, written_here
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.common.settings import from_dict
from hln_tf.data.dataset import SessionDataset
from hln_tf.models import model_entry
from hln_tf.training import DataDescription, RunConfig, TensorBoardSettings, TrainingSettings
from tuning.choose import choose_space
from tuning.plan import Plan
from tuning.settings import SearchSettings, fixed_settings, search_settings
from tuning.workers import Role

if TYPE_CHECKING:
    from tuning.tuner import Tuner

Data = SessionDataset | str | os.PathLike[str]


def search(
    data: Data | Sequence[Data],
    *,
    model: str = "hln",
    preset: str | None = None,
    search: Sequence[str] | None = None,
    ranges: Mapping[str, Any] | None = None,
    workdir: str | os.PathLike[str] | None = None,
    tensorboard: bool = False,
    **settings: Any,
) -> "Tuner":
    """Search hyperparameters by validation MRR@20, and return the tuner with the results.

    The first trial has the model's preset with the given settings; no other trial has
    the values of an earlier one. Called again with the same arguments and `workdir` it
    resumes a search that was interrupted, and with more `max_trials` it extends one.

    Args:
      data: A `hln_tf.SessionDataset` or the directory of one; of several the score of a
        trial is the geometric mean of those on each. Test parts are never read.
      model: Name of a model, see `hln_tf.models.model_names()`.
      preset: Name of one of its presets; its first one by default.
      search: Names of the settings to search; by default those that declare it, and
        those of `ranges`.
      ranges: Domains by name, instead of the declared ones: `(low, high)`, a
        `hln_tf.common.settings.Range`, or a list of values.
      workdir: The search's directory, from which it resumes; a temporary one, which
        goes with the tuner, by default.
      tensorboard: Whether to log diagnostics of each trial, see
        `hln_tf.training.TensorBoardSettings`.
      **settings: Settings by name: of the algorithm, `help(tuning.SearchSettings)`, such
        as `max_trials`; of the model and its training, which all trials share.

    Returns:
      The tuner: `results_summary()` prints the trials, `best_config` and
      `best_settings` have the settings of the best one.

    Raises:
      UsageError: A setting or a range is not allowed.
      HlnError: The data or the directory cannot be used, or no trial has a score.

    Example:
    ```python
    dataset = hln_tf.SessionDataset.from_clicks(clicks, session="visit", item="sku", time="ts")
    tuner = tuning.search(dataset, preset="tuned", max_trials=20, ranges={"dropout": (0, 0.6)})
    tuner.results_summary()
    recommender = hln_tf.Recommender.fit(dataset, **tuner.best_settings)
    ```
    """
    role = Role.from_environment()
    if role.name:
        raise UsageError(
            "the environment names a chief: several processes search by python -m tuning.search, "
            "not from a notebook; unset KERASTUNER_ORACLE_IP"
        )
    plan = make_plan(data, model, preset, search, ranges, workdir, settings)
    temporary = None
    if workdir is None:
        temporary = tempfile.TemporaryDirectory(prefix="hln_tf-")
        plan = dataclasses.replace(plan, workdir=Path(temporary.name) / "search")
    with plan.locked():
        pass  # an error comes before TensorFlow is imported
    from tuning.training import trainer
    from tuning.tuner import Tuner

    stop = StopOnSignal()
    train = trainer(plan, stop, TensorBoardSettings(tensorboard=tensorboard))
    tuner = Tuner(plan, train, stop)
    tuner.temporary = temporary
    tuner.search()
    return tuner


def make_plan(
    data: Data | Sequence[Data],
    model: str,
    preset: str | None,
    search: Sequence[str] | None,
    ranges: Mapping[str, Any] | None,
    workdir: str | os.PathLike[str] | None,
    settings: Mapping[str, Any],
) -> Plan:
    """Compose a search; see `search`.

    Raises:
      UsageError: A setting or a range is not allowed.
      HlnError: The data cannot be used.
    """
    several = data if isinstance(data, list | tuple) else [data]
    datasets = [_dataset(each) for each in several]
    if not datasets:
        raise UsageError("`data` is empty: give a SessionDataset, or several")
    own = [field.name for field in dataclasses.fields(SearchSettings)]
    of_search = {name: value for name, value in settings.items() if name in own}
    of_runs = {name: value for name, value in settings.items() if name not in own}
    entry = model_entry(model)
    of_model, of_training = entry.split(entry.preset(preset), of_runs)
    model_settings: Any = from_dict(entry.settings, of_model, f"the model {model}")
    training = from_dict(TrainingSettings, of_training, "the search")
    algorithm = search_settings(of_search, training.epochs)
    for name in fixed_settings(algorithm):
        if name in of_runs:
            raise UsageError(f"`{name}` does not apply to `tuner` hyperband: give `max_epochs`")
    searched = check_searchable(model, model_settings, training, algorithm)
    description = DataDescription.from_dataset(datasets[0])
    return Plan(
        workdir=written_here(workdir or ".", "workdir"),
        datasets=datasets,
        base=RunConfig(model, model_settings, training, description),
        space=choose_space(searched, search, ranges, fixed_settings(algorithm)),
        settings=algorithm,
    )


def _dataset(data: Any) -> SessionDataset:
    if isinstance(data, SessionDataset):
        return data
    if isinstance(data, str | os.PathLike):
        return SessionDataset.from_directory(as_location(data))
    raise UsageError(
        f"`data` is {type(data).__name__}, expected a SessionDataset or the directory of one: make "
        f"one of a table by hln_tf.SessionDataset.from_clicks"
    )


def check_searchable(
    model: str, model_settings: Any, training: TrainingSettings, settings: SearchSettings
) -> list[Any]:
    """Return the settings dataclasses that a search of a model varies.

    Args:
      model: Name of the model.
      model_settings: Its settings.
      training: The settings of its training.
      settings: The settings of the algorithm.

    Raises:
      UsageError: It has none, or the algorithm allocates epochs and it has none.
    """
    is_trained = model_entry(model).is_encoder
    searched = [model_settings, training] if is_trained else [model_settings]
    if not is_trained and not dataclasses.fields(model_settings):
        raise UsageError(f"`model` is {model!r}, which has no settings to search")
    if not is_trained and (settings.tuner == "hyperband" or settings.median_stopping):
        raise UsageError(
            f"`tuner` hyperband and `median_stopping` are for models that train by epochs, and "
            f"`model` {model} has none: use bayesian or random"
        )
    return searched
