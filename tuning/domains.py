"""The domains of hyperparameters: ranges and choices, declared by settings or given by a user."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hln_tf.common.errors import UsageError
from hln_tf.common.settings import Range, value_type

# Of a hyperparameter: a range to sample from, or choices.
Domain = Range | tuple[Any, ...]


def declared_domain(field: dataclasses.Field[Any], default: Any) -> Domain | None:
    """Return the domain that a setting declares, None if it declares none.

    A logarithmic range that does not contain the default is centred on it: presets
    differ by orders of magnitude, and a good learning rate for one model is far too
    small for another.

    Args:
      field: The setting.
      default: Its value in the first trial.
    """
    domain = field.metadata["search"] or field.metadata["choices"]
    is_range = isinstance(domain, Range) and domain.log
    if not is_range or domain.low <= default <= domain.high or not default > 0:
        return domain
    factor = default / math.sqrt(domain.low * domain.high)
    low, high = domain.low * factor, domain.high * factor
    if isinstance(default, int):
        low, high = max(1, round(low)), round(high)
    return dataclasses.replace(domain, low=low, high=high)


def read_domains(texts: Iterable[str]) -> dict[str, str]:
    """Split the values of `--range` into domains by name of the setting.

    Args:
      texts: Such as `dropout=0:0.3` or `loss=softmax,sampled`.

    Raises:
      UsageError: One has no `=`, or a setting is there twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, _, domain = text.partition("=")
        if name in found:
            raise UsageError(f"`range` has {name!r} twice: give one range for it")
        found[name] = domain
    return found


def given_domain(given: Any, settings: Any, field: dataclasses.Field[Any]) -> Domain:
    """Return the domain that a user gives for a setting.

    Args:
      given: `LOW:HIGH`, `LOW:HIGH:log` or `VALUE,VALUE` as text; in Python also a
        `Range`, a tuple `(low, high)` or a list of values.
      settings: The settings dataclass of the first trial.
      field: The setting.

    Raises:
      UsageError: It is no range and no choices, or a value is not allowed.
    """
    name = field.name
    shown = f"{name}={_shown(given)}"
    number, _ = value_type(field, type(settings))
    is_number = number in (int, float)
    domain = _parsed(given, number, field.metadata["search"]) if is_number else _choices(given)
    if domain is None:
        kind = "whole numbers" if number is int else "numbers"
        choices = field.metadata["choices"] or ("True", "False")
        expected = f"{name}=VALUE,VALUE of: {', '.join(map(str, choices))}"
        if is_number:
            expected = f"{name}=LOW:HIGH, {name}=LOW:HIGH:log or {name}=VALUE,VALUE with {kind}"
        raise UsageError(f"`range` is {shown!r}, expected {expected}")
    if number is bool:
        domain = _truth_values(domain, shown)
    if isinstance(domain, Range):
        if not domain.low < domain.high:
            raise UsageError(
                f"`range` {shown} has its minimum at or above its maximum: expected LOW below HIGH"
            )
        _check_values(settings, name, (domain.low, domain.high), shown)
        if domain.log and not domain.low > 0:
            raise UsageError(
                f"`range` {shown} is sampled on a logarithmic scale: expected LOW above 0"
            )
        return domain
    _check_values(settings, name, domain, shown)
    if len(set(domain)) < 2 or len(set(domain)) < len(domain):
        raise UsageError(
            f"`range` {shown} has too few different values: give at least two, or set `{name}`"
        )
    return domain


def _shown(given: Any) -> str:
    if isinstance(given, Range):
        return f"{given.low:g}:{given.high:g}{':log' if given.log else ''}"
    if isinstance(given, tuple) and len(given) == 2:
        return ":".join(map(str, given))
    return ",".join(map(str, given)) if isinstance(given, list | tuple) else str(given)


def _parsed(given: Any, number: type, declared: Any) -> Domain | None:
    """Return a number's range or choices; None if it is neither."""
    is_log = isinstance(declared, Range) and declared.log
    try:
        if isinstance(given, Range):
            return given
        if isinstance(given, tuple) and len(given) == 2:
            low, high = map(_exact(number), given)
            return Range(low, high, is_log)
        if isinstance(given, list | tuple):
            return tuple(map(_exact(number), given))
        if not isinstance(given, str):
            return None
        if ":" not in given:
            return tuple(map(number, given.split(","))) if "," in given else None
        low, high, *scale = given.split(":")
        if scale not in ([], ["log"]):
            return None
        return Range(number(low), number(high), is_log or bool(scale))
    except (TypeError, ValueError):
        return None


def _exact(number: type) -> Any:
    """Return a conversion that does not round to whole numbers."""

    def convert(value: Any) -> Any:
        if isinstance(value, bool | str) or number(value) != value:
            raise ValueError(value)
        return number(value)

    return convert


def _choices(given: Any) -> Domain | None:
    if isinstance(given, str):
        return tuple(each.strip() for each in given.split(",")) if given.strip() else None
    return tuple(given) if isinstance(given, list | tuple) else None


def _truth_values(domain: Domain, shown: str) -> Domain:
    named = {"true": True, "false": False}
    assert isinstance(domain, tuple)
    try:
        return tuple(named[str(each).lower()] for each in domain)
    except KeyError as error:
        raise UsageError(f"`range` {shown} has {error}, expected True or False") from None


def _check_values(settings: Any, name: str, values: Sequence[Any], shown: str) -> None:
    for value in values:
        try:
            dataclasses.replace(settings, **{name: value})
        except UsageError as error:
            if f"`{name}`" in str(error):  # else a matter of another setting's value
                raise UsageError(f"`range` {shown} is not allowed: {error}") from None


def conditions_of(
    name: str, fields: Mapping[str, tuple[Any, dataclasses.Field[Any]]]
) -> dict[str, tuple[Any, ...]]:
    """Return the values of other settings with which a setting applies, theirs included.

    Args:
      name: The setting.
      fields: The settings dataclass and the field of each setting.
    """
    found: dict[str, tuple[Any, ...]] = {}
    for parent, allowed in fields[name][1].metadata["applies"].items():
        if parent in fields:
            for other, values in {**conditions_of(parent, fields), parent: allowed}.items():
                found[other] = tuple(each for each in found.get(other, values) if each in values)
    return found
