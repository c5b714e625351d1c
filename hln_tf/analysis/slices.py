"""Slices of ranked examples: by popularity, length, repeats, time and columns of the log."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hln_tf.analysis.comparison import markdown
from hln_tf.analysis.ranked_examples import POPULARITY, extra_columns
from hln_tf.data.layout import EXTRA_PREFIX, check_extra
from hln_tf.metrics.of_ranks import means_of_ranks, values_of_ranks

# First and last number of clicks before the target; the last one has no end.
_POSITIONS = ((1, 1), (2, 2), (3, 4), (5, 9), (10, None))
# The most days that have a slice each; of a longer part, the weekdays have.
_MAX_DAYS = 14
# The most values of a column of the log that have a slice each.
_MAX_VALUES = 10
_LABEL = 40  # characters of a value that are shown
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Slice(NamedTuple):
    """Some of the examples.

    Attributes:
      by: The property that divides the examples, such as `popularity of the target`.
      label: Its value.
      chosen: bool [examples], those that have it.
    """

    by: str
    label: str
    chosen: npt.NDArray[np.bool_]


def slices(examples: pa.Table, columns: Sequence[str] = ()) -> list[Slice]:
    """Divide examples by each of several properties, without slices that are empty.

    Args:
      examples: A table of `hln_tf.analysis.ranked_examples`.
      columns: Extra columns to divide by, too.

    Raises:
      UsageError: The table lacks one of them.
    """
    classes = np.asarray(examples["popularity_class"].cast(pa.string()))
    position = np.asarray(examples["position"])
    in_session = np.asarray(examples["in_session"])
    found = [Slice("popularity of the target", name, classes == name) for name in POPULARITY]
    for first, last in _POSITIONS:
        label = f"{first} or more" if last is None else f"{first}" if first == last else ""
        chosen = (position >= first) & (position <= (last or np.inf))
        found.append(Slice("clicks before the target", label or f"{first} to {last}", chosen))
    found += [
        Slice("target in the session", "yes", in_session),
        Slice("target in the session", "no", ~in_session),
        *_of_time(examples["date"]),
    ]
    for column in dict.fromkeys(columns):
        found += _of_values(examples, column)
    return [each for each in found if each.chosen.any()]


def _of_time(dates: pa.ChunkedArray) -> list[Slice]:
    """Divide by day; by hour within one day, by weekday over many."""
    days = np.asarray(pc.strftime(dates, "%Y-%m-%d"))
    distinct = np.unique(days)
    if len(distinct) == 1:
        by, labels = "hour of the session (UTC)", np.asarray(pc.strftime(dates, "%H"))
        return [Slice(by, label, labels == label) for label in np.unique(labels)]
    if len(distinct) <= _MAX_DAYS:
        return [Slice("day of the session (UTC)", day, days == day) for day in distinct]
    weekday = np.asarray(pc.day_of_week(dates))
    return [
        Slice("weekday of the session (UTC)", name, weekday == number)
        for number, name in enumerate(_WEEKDAYS)
    ]


def _of_values(examples: pa.Table, column: str) -> list[Slice]:
    """Divide by the values of an extra column: the most frequent ones, all others, and none."""
    check_extra([column], extra_columns(examples), "the table of ranked examples")
    encoded = examples[f"{EXTRA_PREFIX}{column}"].combine_chunks().dictionary_encode()
    values = encoded.dictionary.to_pylist()
    code = np.asarray(pc.fill_null(encoded.indices, len(values)))
    counts = np.bincount(code, minlength=len(values) + 1)[:-1]
    # By number of examples, those of equal numbers by name.
    order = sorted(range(len(values)), key=lambda each: (-counts[each], values[each]))
    by = f"{column} at the target"
    found = [Slice(by, _label(values[each]), code == each) for each in order[:_MAX_VALUES]]
    others = order[_MAX_VALUES:]
    return [
        *found,
        Slice(by, f"({len(others):,} others)", np.isin(code, others)),
        Slice(by, "(missing)", code == len(values)),
    ]


def _label(value: str) -> str:
    """Put a value on one line, and cut a long one."""
    text = " ".join(value.split())
    return text if len(text) <= _LABEL else f"{text[: _LABEL - 3]}..."


def slice_values(
    examples: pa.Table, metric: str, columns: Sequence[str] = ()
) -> list[tuple[str, str, float, float]]:
    """Compute a metric of each slice, with what divides it, its value and its share.

    See `slices` for the arguments.
    """
    values = values_of_ranks(metric, np.asarray(examples["rank"]))
    return [
        (by, label, float(values[chosen].mean()), float(chosen.mean()))
        for by, label, chosen in slices(examples, columns)
    ]


def slices_table(
    examples: pa.Table, ks: Sequence[int], columns: Sequence[str] = ()
) -> list[list[str]]:
    """Make the rows of a table of metrics by slice, in percent; the first row is the header.

    See `slices` for the arguments.
    """
    ranks = np.asarray(examples["rank"])
    measures = ("recall", "mrr")
    rows = []
    for by, label, chosen in slices(examples, columns):
        means = means_of_ranks(ranks[chosen], ks, measures)
        figures = [f"{100 * value:.2f}" for value in means.values()]
        share = 100 * np.count_nonzero(chosen) / len(chosen)
        rows.append([by, label, f"{np.count_nonzero(chosen):,}", f"{share:.1f}", *figures])
    titles = list(means_of_ranks(ranks, ks, measures))
    return [["slice by", "value", "examples", "%", *titles], *rows]


def slices_markdown(examples: pa.Table, ks: Sequence[int], columns: Sequence[str] = ()) -> str:
    """Make the Markdown table of `slices_table`."""
    return markdown(slices_table(examples, ks, columns), texts=2)
