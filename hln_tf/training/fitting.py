"""A run on a data set at hand, without the command line."""

import dataclasses
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from hln_tf.common.errors import HlnError, SettingError
from hln_tf.common.settings import from_dict
from hln_tf.data.dataset import SessionDataset
from hln_tf.data.protocol import describe_filters
from hln_tf.data.protocol_settings import ProtocolSettings
from hln_tf.data.sessions import Sessions
from hln_tf.models.registry import model_entry
from hln_tf.training.distribution import Workers
from hln_tf.training.run import Run, train_and_evaluate
from hln_tf.training.run_config import DataDescription, RunConfig
from hln_tf.training.run_directory import RunDirectory
from hln_tf.training.settings import TrainingSettings

# Factor on the learning rate of a fit for its updates, which see few clicks: at the whole rate the
# weights would lose more than they gain.
UPDATE_RATE = 0.1


def check_settings(model: str, names: Iterable[str], has_protocol: bool) -> None:
    """Check the names of settings before any work is done.

    Args:
      model: Name of the model.
      names: Names of settings.
      has_protocol: Whether those of the protocol are allowed.

    Raises:
      UsageError: There is no such model.
      TypeError: There is no such setting; the message lists all.
    """
    entry = model_entry(model)
    entry.check_presets([field.name for field in dataclasses.fields(TrainingSettings)])
    known = {model: entry.settings, "training": TrainingSettings}
    if has_protocol:
        known["protocol"] = ProtocolSettings
    fields = {part: [each.name for each in dataclasses.fields(known[part])] for part in known}
    fields.get("protocol", []).append("separator")
    for name in names:
        if not any(name in there for there in fields.values()):
            listed = "; ".join(
                f"{part}: {', '.join(there) or 'none'}" for part, there in fields.items()
            )
            raise TypeError(f"there is no setting {name!r}; those of {listed}")


def split_protocol(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split settings by name into those of the model and its training, and the protocol's."""
    names = {field.name for field in dataclasses.fields(ProtocolSettings)} | {"separator"}
    others = {name: value for name, value in settings.items() if name not in names}
    return others, {name: value for name, value in settings.items() if name in names}


def update_settings(
    config: RunConfig, settings: Mapping[str, Any], has_protocol: bool
) -> dict[str, Any]:
    """Compose the settings of an update: those of the run, and what differs.

    Args:
      config: The run.
      settings: What differs, of the training and of the protocol.
      has_protocol: Whether settings of the protocol are allowed.

    Raises:
      UsageError: A setting of the model would change.
      TypeError: There is no such setting, or the model would change.
    """
    for name in ("model", "preset"):
        if name in settings:
            raise TypeError(
                f"{name!r} cannot change in an update, which trains {config.model} with the "
                f"present settings: leave it out, or fit another model on all clicks"
            )
    check_settings(config.model, settings, has_protocol)
    of_model = dataclasses.asdict(config.model_settings)
    for name, value in of_model.items():
        if settings.get(name, value) != value:
            raise SettingError(name, settings[name], f"{value!r}, as in the present model")
    of_training = dataclasses.asdict(config.training)
    if config.init_from is None:  # else it is an update's already
        of_training["learning_rate"] *= UPDATE_RATE
    return {**of_training, **of_model, **settings}


def run_config(
    dataset: SessionDataset,
    model: str,
    preset: str | None,
    settings: Mapping[str, Any],
    init_from: RunDirectory | None = None,
) -> RunConfig:
    """Compose the settings of a run from a preset and the settings that override it.

    Args:
      dataset: The data set.
      model: Name of the model.
      preset: Name of one of its presets; its first one by default.
      settings: Settings of the model and of the training by name.
      init_from: The run whose weights it starts from.

    Raises:
      UsageError: There is no such model, preset or setting, or a value is not
        allowed.
    """
    entry = model_entry(model)
    of_model, of_training = entry.split(entry.preset(preset), settings)
    return RunConfig(
        model=model,
        model_settings=from_dict(entry.settings, of_model, model),
        training=from_dict(TrainingSettings, of_training, model),
        data=DataDescription.from_dataset(dataset),
        init_from=None if init_from is None else str(init_from.location),
    )


def fit_dataset(
    dataset: SessionDataset, config: RunConfig, directory: RunDirectory
) -> dict[str, Any]:
    """Train a run on a data set, from wherever its directory is, and report what it used.

    Args:
      dataset: The data set; a part that is empty is left out.
      config: The run's settings.
      directory: Its directory.

    Returns:
      The results, the content of `metrics.json`.

    Raises:
      TrainingInterrupt: A signal arrived; the checkpoint is saved.
      HlnError: There is nothing to train on or to validate by, or the directory
        contains another run.
    """
    if dataset.clicks_left:
        print(f"clicks: {describe_filters(dataset.clicks_left)}", file=sys.stderr)
    for warning in dataset.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    train, validation = (_with_examples(dataset, part) for part in ("train", "validation"))
    test = dataset.split("test", unknown=True)
    with directory.locked():
        config = directory.begin(config, dataset.item_ids)
        if directory.metrics() is None:
            workers = Workers()
            with workers.stop_on_signal() as stop:
                run = Run(config, directory, workers, stop=stop)
                left = {"clicks_left": dict(dataset.clicks_left)} if dataset.clicks_left else {}
                train_and_evaluate(run, train, validation, test if test.prefixes else None, left)
        results = directory.metrics() or {}
    if "history" in results:
        print(
            f"validation chose epoch {results['best_epoch']} of {len(results['history'])}; "
            f"the model is trained on {results['trained_on']}",
            file=sys.stderr,
        )
    return results


def _with_examples(dataset: SessionDataset, part: str) -> Sessions:
    sessions = dataset.split(part)
    if sessions.prefixes < 1:
        raise HlnError(
            f"the {part} part has no session of two or more clicks: give more clicks, or lower "
            f"`min_item_count` or `min_session_length`, or raise `validation_fraction`"
        )
    return sessions
