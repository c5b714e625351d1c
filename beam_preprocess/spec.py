"""Specs of custom logs: a YAML file of format and settings."""

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from beam_preprocess.datasets import CUSTOM, CUSTOM_DEFAULTS, DATASETS, Spec
from beam_preprocess.formats import LogFormat
from beam_preprocess.settings import Settings
from hln_tf.common.cli import settings_from
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.common.settings import (
    check_names,
    declared_fields,
    from_dict,
    rename_aliases,
    value_type,
)

# Of each of these one may be given.
_EXCLUSIVE = (
    ("test_seconds", "test_from", "test_fraction"),
    ("validation_fraction", "validation_days"),
)
# What several data sets from one reading of the log may differ in.
_SEVERAL = ("train_fraction", "test_from")

_NAMES = [field.name for field in dataclasses.fields(Settings)]


def read_spec(path: str | Path) -> Spec:
    """Read a spec: the fields of `LogFormat`, and those of `Settings` that differ.

    Raises:
      HlnError: The file cannot be read.
      UsageError: It is no YAML of names and values, or one of them is wrong.
    """
    values = rename_aliases(Settings, _load(Path(path)), str(path))
    columns = {field.name: field for field in declared_fields(LogFormat)}
    protocol = {field.name: field for field in declared_fields(Settings) if field.name != "dataset"}
    check_names(values, [*columns, *protocol], str(path))
    try:
        values = {
            name: _plain(value, value_type(columns[name], LogFormat)[0])
            if name in columns
            else _plain(value, value_type(protocol[name], Settings)[0])
            for name, value in values.items()
        }
        log = from_dict(LogFormat, {n: v for n, v in values.items() if n in columns}, str(path))
        changes = {name: value for name, value in values.items() if name in protocol}
        _check_exclusive(changes)
        base = {**CUSTOM_DEFAULTS, **changes}
        for values in variants(base):  # checked here, so that an error names the file
            Settings(**{**values, "dataset": CUSTOM, "log": log})
    except UsageError as error:
        raise UsageError(f"{path}: {str(error).replace('`', '')}") from None
    return Spec(log, base)


def settings_from_flags(parsed: argparse.Namespace, spec_path: str | None) -> list[Settings]:
    """Build the settings of a command line, one for each fraction of train that it names.

    Args:
      parsed: Flags that were given, `dataset` among them; those of the log's
        format override the spec.
      spec_path: The spec of the data set `custom`, or None.

    Raises:
      UsageError: A setting is wrong, or the spec is missing.
    """
    given = vars(parsed)
    format_flags = [f.name for f in declared_fields(LogFormat) if f.name in given]
    custom_flags = ["spec"] * (spec_path is not None) + format_flags
    if parsed.dataset == CUSTOM:
        if not custom_flags:
            raise UsageError(
                f"--dataset {CUSTOM} needs --spec, a YAML file that says how the log is written, "
                "or flags that say it, such as --session, --time and --item"
            )
        spec = read_spec(spec_path) if spec_path else None
        log_base = dataclasses.asdict(spec.log) if spec else {}
        log = settings_from(LogFormat, parsed, log_base)
        base = {**(spec.defaults if spec else CUSTOM_DEFAULTS), "log": log}
    elif custom_flags:
        raise UsageError(
            f"--{custom_flags[0]} goes with --dataset {CUSTOM}, but --dataset is {parsed.dataset}"
        )
    else:
        base = dict(DATASETS[parsed.dataset].defaults)
    _check_exclusive(given)
    for names in _EXCLUSIVE:
        if any(name in given for name in names):
            base = {name: value for name, value in base.items() if name not in names}
    # A spec may name several data sets, too.
    settings = [
        settings_from(Settings, argparse.Namespace(**values))
        for values in variants({**base, **{n: v for n, v in given.items() if n in _NAMES}})
    ]
    if len(set(settings)) < len(settings):
        raise UsageError("--train_fraction or --test_from names the same twice")
    return settings


def variants(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the values of each data set, where one setting names several, joined by commas.

    Raises:
      UsageError: Two settings do.
    """
    several = [name for name in _SEVERAL if "," in values.get(name, "")]
    if len(several) > 1:
        raise UsageError("--train_fraction and --test_from both name several: give several of one")
    if not several:
        return [dict(values)]
    (name,) = several
    return [{**values, name: each.strip()} for each in values[name].split(",")]


def _check_exclusive(given: Mapping[str, Any]) -> None:
    for names in _EXCLUSIVE:
        both = [name for name in names if name in given]
        if len(both) > 1:
            flags = " and ".join(f"--{name}" for name in both)
            raise UsageError(f"{flags} exclude each other: give one of them")


def _load(path: Path) -> dict[str, Any]:
    import yaml

    class Loader(yaml.SafeLoader):
        """A loader that leaves days as they are written."""

        yaml_implicit_resolvers: ClassVar = {
            first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
            for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    try:
        values = yaml.load(path.read_bytes(), Loader)
    except FileNotFoundError:
        raise HlnError(f"{path} does not exist: give the path of a spec to --spec") from None
    except OSError as error:
        raise HlnError(f"{path} cannot be read ({error.strerror}): see --spec") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(f"{path}{where} is not YAML ({problem}): fix it") from None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise UsageError(f"{path} is no spec, expected a line `name: value` for each setting")
    return values


def _plain(value: Any, expected: type) -> Any:
    """Convert a number of YAML to text, and one value to a tuple, where a field expects it."""
    if expected is tuple:
        return tuple(_plain(one, str) for one in (value if isinstance(value, list) else [value]))
    if expected is str and type(value) in (int, float):
        return str(value)
    return value
