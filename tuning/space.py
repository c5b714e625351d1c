"""The search space, read off the settings' own declarations."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from hln_tf.common.errors import UsageError
from hln_tf.common.settings import Range, value_type

# KerasTuner's messages between processes hold 32-bit floats, which keep 6 digits whole.
DIGITS = 6


@dataclasses.dataclass(frozen=True)
class Hyperparameter:
    """A setting that is searched.

    Attributes:
      name: The setting.
      search: What it is drawn from.
      default: Its value in the first trial, which may lie outside of `search`.
    """

    name: str
    search: Range | tuple[Any, ...]
    default: Any

    @property
    def choices(self) -> list[Any]:
        """The values to choose from where `search` is no range, the default among them."""
        assert isinstance(self.search, tuple)
        return [*self.search, *({self.default} - set(self.search))]

    def declare(self, hyperparameters: Any) -> None:
        """Adds it to a `keras_tuner.HyperParameters`."""
        if not isinstance(self.search, Range):
            hyperparameters.Choice(self.name, self.choices, default=self.default)
            return
        add = hyperparameters.Int if isinstance(self.default, int) else hyperparameters.Float
        sampling = "log" if self.search.log else "linear"
        add(self.name, self.search.low, self.search.high, sampling=sampling, default=self.default)

    def value(self, drawn: Any) -> Any:
        """The setting's value for a drawn one: the default to the last digit, or rounded."""
        if not isinstance(self.search, Range) or drawn == self.default:
            return drawn
        if isinstance(drawn, float):
            drawn = _rounded(drawn)
            if drawn == _rounded(self.default):
                return self.default
        # The draw may end one above a range of integers.
        return type(self.default)(min(max(drawn, self.search.low), self.search.high))


class Space:
    """The hyperparameters of a search.

    Args:
      hyperparameters: What is searched.
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
        """The space that settings declare.

        Args:
          settings: Settings dataclasses, whose fields name their `search`
            ranges; the first trial has their values.
          names: The hyperparameters to search; all that are declared by default.
          ranges: Ranges in place of declared ones, as `name=low:high`.

        Raises:
          UsageError: A name or a range is not allowed; the message lists those
            that are.
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
                    replaced.get(name) or _around(field.metadata["search"], getattr(part, name)),
                    getattr(part, name),
                )
                for name, (part, field) in declared.items()
                if name in chosen
            ]
        )

    def declare(self) -> Any:
        """The space as `keras_tuner.HyperParameters`."""
        import keras_tuner

        hyperparameters = keras_tuner.HyperParameters()
        for hyperparameter in self.hyperparameters:
            hyperparameter.declare(hyperparameters)
        return hyperparameters

    def values(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the settings for KerasTuner's, which may have others among them."""
        return {each.name: each.value(drawn[each.name]) for each in self.hyperparameters}

    def apply(self, drawn: Mapping[str, Any], settings: Any) -> Any:
        """Settings with the drawn values in place of their own."""
        own = {field.name for field in dataclasses.fields(settings)}
        values = {name: value for name, value in self.values(drawn).items() if name in own}
        return dataclasses.replace(settings, **values)

    def defaults(self) -> dict[str, Any]:
        """The values of the first trial."""
        return {each.name: each.default for each in self.hyperparameters}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            each.name: dataclasses.asdict(each.search)
            if isinstance(each.search, Range)
            else list(each.search)
            for each in self.hyperparameters
        }


def _around(search: Range | tuple[Any, ...], default: Any) -> Range | tuple[Any, ...]:
    """A logarithmic range that leaves the default out, moved to have it in its middle.

    Presets differ by orders of magnitude: what is a fine learning rate for one
    model moves another nowhere.
    """
    if not isinstance(search, Range) or not search.log or search.low <= default <= search.high:
        return search
    factor = default / math.sqrt(search.low * search.high)
    low, high = search.low * factor, search.high * factor
    if isinstance(default, int):
        low, high = max(1, round(low)), round(high)
    return dataclasses.replace(search, low=low, high=high)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _check_known(flag: str, name: str, declared: Mapping[str, Any]) -> None:
    if name not in declared:
        raise UsageError(
            f"{flag} has {name!r}, which is no hyperparameter; there are: {', '.join(declared)}"
        )


def _read_range(text: str, settings: Any, field: dataclasses.Field[Any]) -> Range:
    name, declared = field.name, field.metadata["search"]
    if not isinstance(declared, Range):
        values = ", ".join(map(str, declared))
        raise UsageError(f"--range has {name!r}, which takes no range but one of: {values}")
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
        raise UsageError(f"--range {text} is drawn by its logarithm: expected LOW above 0")
    return Range(low, high, declared.log)
