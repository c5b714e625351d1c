"""The flags that define a run, shared by training and search. Imports no TensorFlow."""

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hln_tf.common import cli, files
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.files import Location, as_location, join
from hln_tf.common.settings import check_names, declared_fields, flag_name, from_dict
from hln_tf.data import stores
from hln_tf.data.layout import MANIFEST
from hln_tf.data.sources import CUSTOM, SOURCES
from hln_tf.models.entry import ModelEntry
from hln_tf.models.registry import model_entry, model_names, recorded_settings
from hln_tf.training.run_config import DataDescription, RunConfig, Selection
from hln_tf.training.run_directory import new_run
from hln_tf.training.settings import TrainingSettings, check_loss

# Training settings that apply to models that are fitted by counting only.
COUNTING = ("refit", "max_length", "evaluation_batch_size")


@dataclasses.dataclass(frozen=True)
class StoredConfig:
    """The settings in a file of `--config`; those that it omits have their defaults.

    Attributes:
      model: Name of the model.
      model_settings: Settings of the model by name.
      training: Settings of the training by name.
      dataset: Name of the data set, or None.
      data_dir: Its directory or URL, which may be gone, or None.
      init_from: Directory of the run whose weights the run started from, or None.
      selection: The choice of the run's epoch by another run, or None.
    """

    model: str
    model_settings: Mapping[str, Any]
    training: Mapping[str, Any]
    dataset: str | None
    data_dir: Location | None
    init_from: Location | None
    selection: Selection | None

    @classmethod
    def read(cls, path: Path) -> "StoredConfig":
        """Read a run's `config.json`, or a part of one.

        Raises:
          HlnError: The file cannot be read, or has a setting that is unknown
            or not allowed.
        """
        values = files.read_json(path, "name a run's config.json, or best_config.json of a search")
        parts: dict[str, Any] = {"model_settings": {}, "training": {}, "data": {}}
        try:
            values = {**values}
            parts |= {name: values[name] for name in parts if name in values}
            check_names(values, [field.name for field in dataclasses.fields(RunConfig)], str(path))
            model = values.get("model", "hln")
            recorded_settings(model, parts["model_settings"], f"{path}, model_settings,")
            from_dict(TrainingSettings, parts["training"], f"{path}, training,")
            known = [field.name for field in dataclasses.fields(DataDescription)]
            check_names(parts["data"], known, f"{path}, data,")
            directory = parts["data"].get("directory")
            init_from, selection = values.get("init_from"), values.get("selection")
            return cls(
                model=model,
                model_settings=parts["model_settings"],
                training=parts["training"],
                dataset=parts["data"].get("dataset"),
                data_dir=None if directory is None else as_location(directory),
                init_from=as_location(init_from) if init_from else None,
                selection=from_dict(Selection, selection, str(path)) if selection else None,
            )
        except UsageError as error:
            named = str(error).replace("`", "")  # the settings of a file are no flags
            raise HlnError(named if str(path) in named else f"{path}: {named}") from None
        except (TypeError, AttributeError):
            raise HlnError(
                f"{path} is not a run's config: expected an object with the parts "
                f"{', '.join(field.name for field in dataclasses.fields(RunConfig))}"
            ) from None


def parse(
    arguments: Sequence[str],
    prog: str,
    description: str | None,
    epilog: str = "",
    add_more: Callable[[cli.Parser], None] = lambda parser: None,
) -> tuple[argparse.Namespace, Any, TrainingSettings]:
    """Parse a command line whose flags depend on the model and the preset.

    Args:
      arguments: The arguments after the program's name.
      prog: The command, for `--help`.
      description: Its description, for `--help`.
      epilog: The end of `--help`.
      add_more: Adds the command's own flags.

    Returns:
      The parsed flags, the model's settings and the training's settings. The flags have
      the selection that the file of `--config` records as `stored_selection`, and as
      `changed_since` the first setting that differs from the file's, or None.

    Raises:
      UsageError: A flag or value is not allowed.
      HlnError: The file of `--config` is unusable.
    """
    first = cli.Parser(add_help=False)
    first.add_argument("--model")
    first.add_argument("--preset")
    first.add_argument("--config", type=Path)
    first.add_argument("--dataset")
    chosen = first.parse_known_args(arguments)[0]
    stored = StoredConfig.read(chosen.config) if chosen.config else None
    if stored and chosen.model not in (None, stored.model):
        raise UsageError(
            f"--model is {chosen.model}, but {chosen.config} has settings of {stored.model}: "
            f"leave --model out, or name a config of {chosen.model}"
        )
    if stored and chosen.preset:
        raise UsageError("--preset and --config both name the settings to start from: give one")
    model = stored.model if stored else chosen.model or "hln"
    entry = model_entry(model)
    preset = chosen.preset if chosen.preset in entry.presets else None
    of_model, of_training = entry.split(entry.preset(preset))
    if chosen.dataset == CUSTOM:
        # A model of one's own log is there to recommend: it should know the newest items, which
        # are those of validation. Known data sets are compared with published figures.
        of_training["refit"] = True
    if stored:
        of_model, of_training = dict(stored.model_settings), dict(stored.training)

    parser = cli.Parser(prog=prog, description=description, epilog=epilog)
    add = parser.add_argument
    names = (*SOURCES, CUSTOM)
    text = f"data set by name; {CUSTOM}: a log of your own, with --spec and --input"
    dataset = stored.dataset if stored else None
    add("--dataset", required=dataset is None, choices=names, help=text)
    add(
        "--data_dir",
        type=as_location,
        help="prepared data set, or its URL (default: data/DATASET, or data/custom-LOG)",
    )
    add("--raw_dir", type=Path, default=Path("data/raw"), help="raw logs (default: %(default)s)")
    text = "replace another data set in --data_dir and, in training, another run in --workdir"
    add("--overwrite", action="store_true", help=text)
    text = "raw logs, directories of them or patterns, instead of those in --raw_dir"
    add("--input", nargs="+", type=as_location, metavar="RAW", default=[], help=text)
    text = "format of a log of your own; see python -m beam_preprocess --help"
    add("--spec", type=Path, metavar="YAML", help=text)
    add(
        "--workdir",
        type=new_run,
        help="local directory of the run (default: below runs/DATASET, or runs/custom-LOG)",
    )
    add("--init_from", type=as_location, help="run directory of an older model to start from")
    text = "with --refit: finished run of the same settings, of any seed, whose validation chose "
    text += "the epoch; the model is trained on full train at once"
    add("--selection", type=as_location, help=text)
    text = "JSON file of settings that other flags override: a run's config.json, or a search's "
    text += "best_config.json; names the data set too"
    add("--config", type=Path, metavar="FILE", help=text)
    add("--model", default=model, choices=model_names(), help="model (default: %(default)s)")
    presets = tuple(entry.presets)
    text = "named settings that other flags override (default: %(default)s)"
    add("--preset", default=presets[0], choices=presets, help=text)
    if entry.is_encoder:
        cli.add_settings(parser, TrainingSettings, "training", of_training)
    else:
        cli.add_settings(parser, TrainingSettings, "training", of_training, only=COUNTING)
    try:
        cli.add_settings(parser, entry.settings, f"model {model}", of_model)
        add_more(parser)
    except argparse.ArgumentError as error:  # the model is another package's
        raise HlnError(
            f"a setting of the model {model} has the name of {error.argument_name}, a flag of "
            f"{prog}: rename the setting"
        ) from None

    flags, unknown = parser.parse_known_args(arguments)
    if unknown:
        flags_of_model = [flag_name(field.name) for field in declared_fields(entry.settings)]
        raise UsageError(
            f"unrecognized arguments: {' '.join(unknown)}; the model {model} has "
            f"{', '.join(flags_of_model) or 'no flags of its own'} (see {prog} --help)"
        )
    if stored and flags.dataset is None:
        if dataset not in names:
            named = f"{chosen.config} names the unknown data set {dataset!r}"
            raise HlnError(f"{named}: give --dataset")
        flags.dataset = dataset
        there = stored.data_dir
        if not flags.data_dir and there and stores.is_file(join(there, MANIFEST)):
            flags.data_dir = there
    if stored:
        flags.init_from = flags.init_from or stored.init_from
    model_settings: Any = cli.settings_from(entry.settings, flags, of_model)
    training = cli.settings_from(TrainingSettings, flags, of_training)
    check_loss(model_settings, training)
    flags.stored_selection = stored.selection if stored else None
    flags.changed_since = _changed(stored, entry, model_settings, training) if stored else None
    return flags, model_settings, training


def _changed(
    stored: StoredConfig, entry: ModelEntry, model_settings: Any, training: TrainingSettings
) -> str | None:
    """Describe a setting that differs from the stored ones and from which an epoch is chosen."""
    stored_model: Any = from_dict(entry.settings, stored.model_settings, stored.model)
    stored_training: Any = from_dict(TrainingSettings, stored.training, stored.model)
    pairs = {"model_settings": (stored_model, model_settings)}
    pairs["training"] = (stored_training, training)
    for part, (old, new) in pairs.items():
        for field in dataclasses.fields(new):
            name, was, now = field.name, getattr(old, field.name), getattr(new, field.name)
            free = f"{part}.{name}" in (*RunConfig.SELECTED, *RunConfig.RESUMABLE)
            if was != now and not free:
                return f"{name} {was!r}, not {now!r}"
    return None
