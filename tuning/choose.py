"""The choice of the hyperparameters of a search among all settings."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hln_tf.common.errors import UsageError
from hln_tf.common.settings import Range, declared_fields
from hln_tf.training import RunConfig
from tuning.domains import Domain, conditions_of, declared_domain, given_domain
from tuning.space import Hyperparameter, Space

# Settings that change no validation score, or nothing but chance.
_WITHOUT_EFFECT = {
    *(name.partition(".")[2] for name in RunConfig.RESUMABLE),
    "seed",
    "refit",
    "deterministic",
}

Fields = Mapping[str, tuple[Any, dataclasses.Field[Any]]]


def choose_space(
    settings: Sequence[Any],
    names: Sequence[str] | None = None,
    domains: Mapping[str, Any] | None = None,
    excluded: Collection[str] = (),
) -> Space:
    """Create the search space that settings declare, or a part of it, or a larger one.

    Args:
      settings: Settings dataclasses, whose fields declare their `search` ranges; the
        first trial has their values.
      names: The hyperparameters to search; by default those that are declared to be
        searched by default, and those of `domains`.
      domains: Domains that replace the declared ones, see `given_domain`.
      excluded: Settings that cannot be searched.

    Raises:
      UsageError: A name or a domain is not allowed; the message lists the allowed
        ones.
    """
    fields = {
        field.name: (part, field)
        for part in settings
        for field in declared_fields(type(part))
        if field.name not in _WITHOUT_EFFECT and field.name not in excluded
    }
    domains = domains or {}
    for flag, given in (("search", names or ()), ("range", domains)):
        for name in given:
            _check_known(flag, name, fields)
    for name in domains:
        if names is not None and name not in names:
            raise UsageError(f"`range` has {name!r}, which `search` leaves out: add it there")
    named = {*(names or ()), *domains}
    by_default = {name for name, (_, field) in fields.items() if field.metadata["searched"]}
    chosen = {
        name: _domain(name, fields, domains)
        for name in fields
        if name in named or (names is None and name in by_default)
    }
    found: dict[str, Hyperparameter] = {}
    for name, domain in chosen.items():
        conditions = conditions_of(name, fields)
        obstacle = _obstacle(conditions, chosen, fields)
        if obstacle is None:
            searched = {each: values for each, values in conditions.items() if each in chosen}
            default = getattr(fields[name][0], name)
            found[name] = Hyperparameter(name, domain, default, searched)
        elif name in named:
            other, allowed = obstacle
            values = " or ".join(map(str, allowed))
            raise UsageError(
                f"{name!r} has an effect only with `{other}` {values}, but that is "
                f"{getattr(fields[other][0], other)}: set or search `{other}` too"
            )
    if not found:
        raise UsageError(
            f"no setting declares a range to search: name some with `range`, of: "
            f"{', '.join(fields)}"
        )
    # A hyperparameter comes after those of its conditions, which include their own.
    return Space(sorted(found.values(), key=lambda each: len(each.conditions)), settings)


def _check_known(flag: str, name: str, fields: Fields) -> None:
    if name not in fields:
        raise UsageError(
            f"`{flag}` has {name!r}, which is no hyperparameter; available: {', '.join(fields)}"
        )


def _domain(name: str, fields: Fields, domains: Mapping[str, Any]) -> Domain:
    part, field = fields[name]
    if name in domains:
        return given_domain(domains[name], part, field)
    domain = declared_domain(field, getattr(part, name))
    if domain is None:
        raise UsageError(f"{name!r} declares no range: give `range` {name}=LOW:HIGH")
    return domain


def _obstacle(
    conditions: Mapping[str, tuple[Any, ...]], chosen: Mapping[str, Domain], fields: Fields
) -> tuple[str, tuple[Any, ...]] | None:
    """Return a condition that no trial fulfils, or None."""
    for other, allowed in conditions.items():
        tried = {getattr(fields[other][0], other)}
        domain = chosen.get(other, ())
        if not isinstance(domain, Range):
            tried |= set(domain)
        if not tried & set(allowed):
            return other, allowed
    return None
