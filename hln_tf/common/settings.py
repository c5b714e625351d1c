"""Typed settings: each setting is declared once, as a field of a frozen dataclass.

A field made with `setting` contains its help text and its allowed values or
range. Command-line flags, search spaces, checkpoints and exported metadata all
derive from these fields; an unknown or out-of-range setting is an error.
"""

import dataclasses
import inspect
import math
import numbers
import sys
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from hln_tf.common.errors import SettingError, UsageError

T = TypeVar("T")

PLAIN = (bool, int, float, str)


@dataclasses.dataclass(frozen=True)
class Range:
    """The range of a setting in a search, which tries integers for a setting of type int.

    Attributes:
      low: Smallest value.
      high: Largest value.
      log: Whether to sample uniformly on a logarithmic scale.
    """

    low: float
    high: float
    log: bool = False


def setting(
    default: Any,
    help: str,
    *,
    choices: tuple[Any, ...] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    search: Range | tuple[Any, ...] | None = None,
    searched: bool = True,
    applies: Mapping[str, tuple[Any, ...]] | None = None,
    alias: str | None = None,
    added: bool = False,
    weights: bool = True,
) -> Any:
    """Declare a field of a settings dataclass.

    Args:
      default: Default value.
      help: One line for `--help`, with the paper's symbol or the unit.
      choices: The allowed values, if they are few.
      minimum: Smallest allowed value.
      maximum: Largest allowed value.
      above: Exclusive lower bound.
      below: Exclusive upper bound.
      search: The range or the values that a search tries; None for its choices.
      searched: Whether a search tries them by default, and not only where it is named.
      applies: The values of other settings, by name, with which it has an effect.
      alias: An older name, accepted with a notice for one release.
      added: Whether older records lack the setting; they were made with its default.
      weights: False if a model with another value has weights of the same shapes, so
        that it can start from those.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "minimum": minimum,
        "maximum": maximum,
        "above": above,
        "below": below,
        "search": search,
        "searched": search is not None and searched,
        "applies": applies or {},
        "alias": alias,
        "added": added,
        "weights": weights,
    }
    return dataclasses.field(default=default, metadata=metadata)


def value_type(field: dataclasses.Field[Any], owner: type) -> tuple[type, bool]:
    """Return the plain type of a field and whether it may be `None`."""
    hint = typing.get_type_hints(owner)[field.name]
    if typing.get_origin(hint) is tuple:
        return tuple, False
    if isinstance(hint, types.UnionType):
        plain = [arm for arm in typing.get_args(hint) if arm is not type(None)]
        return plain[0], True
    return hint, False


def checked(settings: T) -> T:
    """Check every field against its declaration; call it from `__post_init__`.

    Fields that were not made with `setting` are checked for their type if it is a plain one.

    Raises:
      SettingError: A value has the wrong type or lies outside its range; the
        message names the setting, the value and what was expected.
    """
    declared_names = {field.name for field in declared_fields(type(settings))}
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        name, value = field.name, getattr(settings, field.name)
        expected, optional = value_type(field, type(settings))
        if field.name not in declared_names and (optional or expected not in PLAIN):
            continue
        if value is None and optional:
            continue
        is_number = not isinstance(value, bool)
        if is_number and expected is float and isinstance(value, numbers.Real):
            value = float(value)
        elif is_number and expected is int and isinstance(value, numbers.Integral):
            value = int(value)
        object.__setattr__(settings, name, value)
        if type(value) is not expected:
            raise SettingError(name, value, f"a value of type {expected.__name__}")
        declared = field.metadata
        failed = {
            "minimum": lambda v, bound: not v >= bound,
            "maximum": lambda v, bound: not v <= bound,
            "above": lambda v, bound: not v > bound,
            "below": lambda v, bound: not v < bound,
        }
        if any(
            declared.get(name) is not None and test(value, declared[name])
            for name, test in failed.items()
        ):
            raise SettingError(name, value, describe_range(field))
        if isinstance(value, float) and not math.isfinite(value):
            raise SettingError(name, value, "a finite number")
        if declared.get("choices") and value not in declared["choices"]:
            allowed = ", ".join(map(str, declared["choices"]))
            raise SettingError(name, value, f"one of: {allowed}")
    return settings


def flag_name(name: str) -> str:
    """Return the flag of a field: `--name`, or `-k` for a name of one letter."""
    return f"--{name}" if len(name) > 1 else f"-{name}"


def declared_fields(cls: type) -> list[dataclasses.Field[Any]]:
    """Return the fields of a dataclass that were made with `setting`."""
    return [field for field in dataclasses.fields(cls) if "help" in field.metadata]


def describe_range(field: dataclasses.Field[Any]) -> str:
    """Describe the allowed range of a field in words; empty if there is none."""
    words = {"minimum": "at least", "above": "more than", "maximum": "at most", "below": "below"}
    bounds = [
        f"{word} {field.metadata[name]}"
        for name, word in words.items()
        if field.metadata.get(name) is not None
    ]
    return " and ".join(bounds)


def help_text(field: dataclasses.Field[Any]) -> str:
    """Describe a field that was made with `setting`: its help, what it may be, its default."""
    text = field.metadata["help"]
    choices = field.metadata.get("choices")
    allowed = "one of " + ", ".join(map(repr, choices)) if choices else describe_range(field)
    parts = [part for part in (allowed, f"{field.default!r} by default") if part]
    return f"{text[0].upper()}{text[1:]}; {', '.join(parts)}."


def redeclared(cls: type, name: str, default: Any, **changes: Any) -> Any:
    """Declare a field of a base class again, with another default.

    Args:
      cls: The settings dataclass that declares it.
      name: The field.
      default: The other default.
      **changes: Other arguments of `setting` that differ.
    """
    (field,) = (each for each in declared_fields(cls) if each.name == name)
    return dataclasses.field(default=default, metadata={**field.metadata, **changes})


def documented(cls: type[T]) -> type[T]:
    """Add the fields of a settings dataclass to its docstring, as `Attributes`; a decorator."""
    lines = [f"  {field.name}: {help_text(field)}" for field in declared_fields(cls)]
    if lines:
        text = inspect.cleandoc(cls.__doc__ or cls.__name__)
        cls.__doc__ = "\n".join([text, "", "Attributes:", *lines])
    return cls


def from_dict(cls: type[T], values: Mapping[str, Any], source: str) -> T:
    """Build settings from plain values.

    Args:
      cls: The settings dataclass.
      values: Field values by name; missing fields have their defaults.
      source: Source of the values, for the error.

    Raises:
      UsageError: A name is unknown (the message lists the known ones) or a
        value is not allowed.
    """
    values = rename_aliases(cls, values, source)
    known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    check_names(values, known, source)
    return cls(**values)


def aliases(cls: type) -> dict[str, str]:
    """Map the older names of settings to the current ones."""
    return {
        field.metadata["alias"]: field.name
        for field in declared_fields(cls)
        if field.metadata.get("alias")
    }


def rename_aliases(
    cls: type, values: Mapping[str, Any], source: str, notify: bool = True
) -> dict[str, Any]:
    """Replace older names of settings by the current ones.

    Args:
      cls: The settings dataclass.
      values: Field values by name.
      source: Source of the values, for the notice.
      notify: Whether to print a notice of each older name on standard error.

    Raises:
      UsageError: A setting is given under both names.
    """
    current = aliases(cls)
    for name in current.keys() & values.keys():
        if current[name] in values:
            raise UsageError(
                f"{source} has the settings {name!r} and {current[name]!r}, an older and the "
                "current name of the same setting: remove the older one"
            )
        if notify:
            notify_renamed(f"{source} has the setting {name!r}", repr(current[name]))
    return {current.get(name, name): value for name, value in values.items()}


def without_added(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the settings that older records lack, where they have their defaults.

    Args:
      cls: The settings dataclass.
      values: Field values by name.
    """
    defaults = {
        field.name: field.default
        for field in dataclasses.fields(cls)
        if field.metadata.get("added")
    }
    return {
        name: value
        for name, value in values.items()
        if name not in defaults
        or (tuple(value) if isinstance(value, list) else value) != defaults[name]
    }


def notify_renamed(older: str, current: str) -> None:
    """Print that a name has changed."""
    print(
        f"note: {older}, which is now called {current}; the older name goes with the next release",
        file=sys.stderr,
    )


def check_names(values: Iterable[str], known: Sequence[str], source: str) -> None:
    """Check names of settings; see `from_dict`.

    Raises:
      UsageError: A name is unknown.
    """
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise UsageError(
            f"{source} has the unknown setting {unknown[0]!r}; known are: {', '.join(known)}"
        )
