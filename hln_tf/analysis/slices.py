"""Slices of ranked examples: by popularity, length, repeats and time."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hln_tf.analysis.comparison import markdown
from hln_tf.analysis.ranked_examples import POPULARITY
from hln_tf.metrics.of_ranks import means_of_ranks, values_of_ranks

# First and last number of clicks before the target; the last one has no end.
_POSITIONS = ((1, 1), (2, 2), (3, 4), (5, 9), (10, None))
# The most days that have a slice each; of a longer part, the weekdays have.
_MAX_DAYS = 14
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


def slices(examples: pa.Table) -> list[Slice]:
    """Divide examples by each of several properties, without slices that are empty.

    Args:
      examples: A table of `hln_tf.analysis.ranked_examples`.
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


def slice_values(examples: pa.Table, metric: str) -> list[tuple[str, str, float, float]]:
    """Compute a metric of each slice, with what divides it, its value and its share."""
    values = values_of_ranks(metric, np.asarray(examples["rank"]))
    return [
        (by, label, float(values[chosen].mean()), float(chosen.mean()))
        for by, label, chosen in slices(examples)
    ]


def slices_table(examples: pa.Table, ks: Sequence[int]) -> list[list[str]]:
    """Make the rows of a table of metrics by slice, in percent; the first row is the header."""
    ranks = np.asarray(examples["rank"])
    measures = ("recall", "mrr")
    rows = []
    for by, label, chosen in slices(examples):
        means = means_of_ranks(ranks[chosen], ks, measures)
        figures = [f"{100 * value:.2f}" for value in means.values()]
        share = 100 * np.count_nonzero(chosen) / len(chosen)
        rows.append([by, label, f"{np.count_nonzero(chosen):,}", f"{share:.1f}", *figures])
    titles = list(means_of_ranks(ranks, ks, measures))
    return [["slice by", "value", "examples", "%", *titles], *rows]


def slices_markdown(examples: pa.Table, ks: Sequence[int]) -> str:
    """Make the Markdown table of `slices_table`."""
    return markdown(slices_table(examples, ks), texts=2)
