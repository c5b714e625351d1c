"""Search space, derived from the fields of the settings dataclasses."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from hln_tf.common.errors import UsageError
from hln_tf.common.settings import Range, value_type

# KerasTuner's messages between processes have 32-bit floats, precise to 6 decimal digits.
DIGITS = 6


@dataclasses.dataclass(frozen=True)
class Hyperparameter:
    """A setting that is searched.

    Attributes:
      name: Name of the setting.
      domain: The range or the choices that its values are sampled from.
      default: Its value in the first trial, which may lie outside of `domain`.
    """

    name: str
    domain: Range | tuple[Any, ...]
    default: Any

    @property
    def choices(self) -> list[Any]:
        """The values of a categorical hyperparameter, the default included."""
        assert isinstance(self.domain, tuple)
        return [*self.domain, *({self.default} - set(self.domain))]

    def declare(self, hyperparameters: Any) -> None:
        """Add it to a `keras_tuner.HyperParameters`."""
        if not isinstance(self.domain, Range):
            hyperparameters.Choice(self.name, self.choices, default=self.default)
            return
        add = hyperparameters.Int if isinstance(self.default, int) else hyperparameters.Float
        sampling = "log" if self.domain.log else "linear"
        add(self.name, self.domain.low, self.domain.high, sampling=sampling, default=self.default)

    def value(self, sampled: Any) -> Any:
        """Return the setting's value for a sampled one: the exact default, or a rounded value."""
        if not isinstance(self.domain, Range):
            # KerasTuner's messages have integers for truth values.
            return next((choice for choice in self.choices if choice == sampled), sampled)
        if sampled == self.default:
            return sampled
        if isinstance(sampled, float):
            sampled = _rounded(sampled)
            if sampled == _rounded(self.default):
                return self.default
        # KerasTuner may sample an integer one above its range.
        return type(self.default)(min(max(sampled, self.domain.low), self.domain.high))


class Space:
    """Search space.

    Args:
      hyperparameters: Its hyperparameters.
    """

    def __init__(self, hyperparameters: Sequence[Hyperparameter]) -> None:
        self.hyperparameters = tuple(hyperparameters)

    @classmethod
    def from_settings(
        cls,
        settings: Sequence[Any],
        names: Sequence[str] | None = None,
        ranges: Sequence[str] = (),
    ) -> "Space":
        """Create the search space that settings declare.

        Args:
          settings: Settings dataclasses, whose fields declare their `search`
            ranges; the first trial has their values.
          names: The hyperparameters to search; by default all that are declared.
          ranges: Ranges that replace the declared ones, as `name=low:high`.

        Raises:
          UsageError: A name or a range is not allowed; the message lists the
            allowed ones.
        """
        declared = {
            field.name: (part, field)
            for part in settings
            for field in dataclasses.fields(part)
            if field.metadata.get("search") is not None
        }
        chosen = list(declared) if names is None else list(dict.fromkeys(names))
        for name in chosen:
            _check_known("--search", name, declared)
        replaced: dict[str, Range] = {}
        for text in ranges:
            name = text.partition("=")[0]
            _check_known("--range", name, declared)
            if name not in chosen:
                raise UsageError(f"--range has {name!r}, which --search leaves out: add it there")
            if name in replaced:
                raise UsageError(f"--range has {name!r} twice: give one range for it")
            replaced[name] = _read_range(text, *declared[name])
        return cls(
            [
                Hyperparameter(
                    name,
                    replaced.get(name) or _centred(field.metadata["search"], getattr(part, name)),
                    getattr(part, name),
                )
                for name, (part, field) in declared.items()
                if name in chosen
            ]
        )

    def declare(self) -> Any:
        """Return the space as `keras_tuner.HyperParameters`."""
        import keras_tuner

        hyperparameters = keras_tuner.HyperParameters()
        for hyperparameter in self.hyperparameters:
            hyperparameter.declare(hyperparameters)
        return hyperparameters

    def values(self, sampled: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the settings for KerasTuner's, which may include other entries."""
        return {each.name: each.value(sampled[each.name]) for each in self.hyperparameters}

    def apply(self, sampled: Mapping[str, Any], settings: Any) -> Any:
        """Return the settings with the sampled values."""
        own = {field.name for field in dataclasses.fields(settings)}
        values = {name: value for name, value in self.values(sampled).items() if name in own}
        return dataclasses.replace(settings, **values)

    def defaults(self) -> dict[str, Any]:
        """Return the values of the first trial."""
        return {each.name: each.default for each in self.hyperparameters}

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values for JSON."""
        return {
            each.name: dataclasses.asdict(each.domain)
            if isinstance(each.domain, Range)
            else list(each.domain)
            for each in self.hyperparameters
        }


def _centred(domain: Range | tuple[Any, ...], default: Any) -> Range | tuple[Any, ...]:
    """Centre a logarithmic range on the default if the default lies outside of it.

    Presets differ by orders of magnitude: a good learning rate for one model is
    far too small for another.
    """
    if not isinstance(domain, Range) or not domain.log or domain.low <= default <= domain.high:
        return domain
    factor = default / math.sqrt(domain.low * domain.high)
    low, high = domain.low * factor, domain.high * factor
    if isinstance(default, int):
        low, high = max(1, round(low)), round(high)
    return dataclasses.replace(domain, low=low, high=high)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _check_known(flag: str, name: str, declared: Mapping[str, Any]) -> None:
    if name not in declared:
        raise UsageError(
            f"{flag} has {name!r}, which is no hyperparameter; available: {', '.join(declared)}"
        )


def _read_range(text: str, settings: Any, field: dataclasses.Field[Any]) -> Range:
    name, declared = field.name, field.metadata["search"]
    if not isinstance(declared, Range):
        values = ", ".join(map(str, declared))
        raise UsageError(f"--range has {name!r}, which has no range but is one of: {values}")
    number, _ = value_type(field, type(settings))
    kind = "whole numbers" if number is int else "numbers"
    try:
        low, high = map(number, text.partition("=")[2].split(":"))
    except ValueError:
        raise UsageError(f"--range is {text!r}, expected {name}=LOW:HIGH with {kind}") from None
    if not low < high:
        raise UsageError(
            f"--range {text} has its minimum at or above its maximum: expected LOW below HIGH"
        )
    for bound in (low, high):
        try:
            dataclasses.replace(settings, **{name: bound})
        except UsageError as error:
            raise UsageError(f"--range {text} is not allowed: {error}") from None
    if declared.log and not low > 0:
        raise UsageError(f"--range {text} is sampled on a logarithmic scale: expected LOW above 0")
    return Range(low, high, declared.log)
