"""Search space, derived from the fields of the settings dataclasses."""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hln_tf.common.errors import UsageError
from hln_tf.common.settings import Range
from hln_tf.training import check_loss
from tuning.domains import Domain

if TYPE_CHECKING:
    import keras_tuner

# KerasTuner's messages between processes have 32-bit floats, precise to 6 decimal digits.
DIGITS = 6
# Points that are sampled for one that is new and allowed.
ATTEMPTS = 1000


@dataclasses.dataclass(frozen=True)
class Hyperparameter:
    """A setting that is searched.

    Attributes:
      name: Name of the setting.
      domain: The range or the choices that its values are sampled from.
      default: Its value in the first trial, which may lie outside of `domain`.
      conditions: The values of other hyperparameters, by name, with which it
        applies; with others it has no effect and no value.
    """

    name: str
    domain: Domain
    default: Any
    conditions: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)

    @property
    def choices(self) -> list[Any]:
        """The values of a categorical hyperparameter, the default included."""
        assert isinstance(self.domain, tuple)
        return [*self.domain, *({self.default} - set(self.domain))]

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Check whether it applies with these values of the hyperparameters before it."""
        return all(values.get(name) in allowed for name, allowed in self.conditions.items())

    def is_excluded(self, values: Mapping[str, Any]) -> bool:
        """Check whether it is without effect by a value of a hyperparameter that is there."""
        return any(
            name in values and values[name] not in allowed
            for name, allowed in self.conditions.items()
        )

    def declare(self, space: "keras_tuner.HyperParameters") -> None:
        """Add it to KerasTuner's hyperparameters."""
        with contextlib.ExitStack() as scopes:
            for parent, values in self.conditions.items():
                scopes.enter_context(space.conditional_scope(parent, list(values)))
            if isinstance(self.domain, Range):
                add = space.Int if isinstance(self.default, int) else space.Float
                sampling = "log" if self.domain.log else "linear"
                add(self.name, self.domain.low, self.domain.high, sampling=sampling)
            elif isinstance(self.default, bool):
                space.Boolean(self.name)
            else:
                space.Choice(self.name, list(self.domain))

    def value(self, sampled: Any) -> Any:
        """Return the setting's value for a sampled one: the exact default, or a rounded value."""
        if not isinstance(self.domain, Range):
            # A message's float is equal to its choice in 6 digits; others are equal as they are.
            same = (each for each in self.choices if _rounded(each) == _rounded(sampled))
            return next(same, sampled)
        if _rounded(sampled) == _rounded(self.default):
            return self.default
        # KerasTuner may sample an integer one above its range.
        bounded = min(max(_rounded(sampled), self.domain.low), self.domain.high)
        return type(self.default)(bounded)


class Space:
    """Search space.

    Args:
      hyperparameters: Its hyperparameters, each after those of its conditions.
      settings: The settings dataclasses of the first trial; values that they
        reject together are no point of the space.

    Example:
    >>> space = Space([Hyperparameter("dropout", Range(0.0, 0.5), 0.1)])
    >>> space.defaults()
    {'dropout': 0.1}
    >>> space.point([0.5])
    {'dropout': 0.25}
    """

    def __init__(
        self, hyperparameters: Sequence[Hyperparameter], settings: Sequence[Any] = ()
    ) -> None:
        self.hyperparameters = tuple(hyperparameters)
        self.settings = tuple(settings)

    @functools.cached_property
    def declared(self) -> "keras_tuner.HyperParameters":
        """The space as KerasTuner's, with its conditional scopes."""
        import keras_tuner

        space = keras_tuner.HyperParameters()
        for each in self.hyperparameters:
            each.declare(space)
        return space

    def point(self, units: Sequence[float]) -> dict[str, Any]:
        """Return the values at a point of the unit cube, without those that do not apply.

        Args:
          units: A number from 0 to below 1 for each hyperparameter, in which the
            values of a range are uniform, by its scale.
        """
        values: dict[str, Any] = {}
        for each, sampler, unit in zip(
            self.hyperparameters, self.declared.space, units, strict=True
        ):
            if each.applies(values):
                values[each.name] = each.value(sampler.prob_to_value(float(unit)))
        return values

    def units(self, values: Mapping[str, Any]) -> list[float]:
        """Return the point of the unit cube of these values; 1/2 for those without one."""
        return [
            self._unit(each, sampler, values[each.name]) if each.name in values else 0.5
            for each, sampler in zip(self.hyperparameters, self.declared.space, strict=True)
        ]

    @staticmethod
    def _unit(hyperparameter: Hyperparameter, sampler: Any, value: Any) -> float:
        domain = hyperparameter.domain
        if isinstance(domain, Range):
            return float(sampler.value_to_prob(min(max(value, domain.low), domain.high)))
        return float(sampler.value_to_prob(value)) if value in domain else 0.5

    def is_allowed(self, values: Mapping[str, Any]) -> bool:
        """Check whether the settings accept the values together."""
        try:
            check_loss(*(self.apply(values, settings) for settings in self.settings))
        except UsageError:
            return False
        return True

    def sample(
        self, random: np.random.Generator, tried: Collection[str] = ()
    ) -> dict[str, Any] | None:
        """Sample allowed values uniformly.

        Args:
          random: Source of randomness.
          tried: Keys of the points that are not sampled again.

        Returns:
          The values; None if each of many sampled points was tried or is not allowed.
        """
        for _ in range(ATTEMPTS):
            values = self.point(list(random.uniform(size=len(self.hyperparameters))))
            if self.key(values) not in tried and self.is_allowed(values):
                return values
        return None

    @staticmethod
    def key(values: Mapping[str, Any]) -> str:
        """Return a text that is equal for equal points."""
        return json.dumps(values, sort_keys=True)

    def values(self, sampled: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the settings for KerasTuner's, which may include other entries."""
        return {
            each.name: each.value(sampled[each.name])
            for each in self.hyperparameters
            if each.name in sampled
        }

    def apply(self, sampled: Mapping[str, Any], settings: Any) -> Any:
        """Return the settings with the sampled values.

        A setting that had an effect in the first trial, and has none with these values,
        has its declared default.
        """
        own = {field.name: field.default for field in dataclasses.fields(settings)}
        values, first = self.values(sampled), self.defaults()
        for each in self.hyperparameters:
            if each.name in first and each.name in own and each.is_excluded(values):
                values[each.name] = own[each.name]
        return dataclasses.replace(
            settings, **{name: value for name, value in values.items() if name in own}
        )

    def defaults(self) -> dict[str, Any]:
        """Return the values of the first trial."""
        values: dict[str, Any] = {}
        for each in self.hyperparameters:
            if each.applies(values):
                values[each.name] = each.default
        return values

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values for JSON."""
        return {
            each.name: dataclasses.asdict(each.domain)
            if isinstance(each.domain, Range)
            else list(each.domain)
            for each in self.hyperparameters
        }


def _rounded(value: Any) -> Any:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
