"""Combinations of columns from all workers into global values."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apache_beam as beam
import numpy as np

from beam_preprocess.doubts import Doubts
from beam_preprocess.scan import add_row_counts
from hln_tf.data.vocabulary import add_counts, earliest_appearances

_PENDING = 16  # inputs that wait to be reduced together


class _Reduce(beam.CombineFn):
    """A combination by a function that reduces several values to one of the same kind."""

    reduce: Callable[[Sequence[Any]], Any]

    def create_accumulator(self) -> list[Any]:
        """Return no values."""
        return []

    def add_input(self, values: list[Any], value: Any) -> list[Any]:
        """Add a value; reduce when many wait."""
        values.append(value)
        return self.compact(values) if len(values) > _PENDING else values

    def merge_accumulators(self, several: Iterable[list[Any]]) -> list[Any]:
        """Add the values of all accumulators."""
        merged: list[Any] = []
        for values in several:
            for value in values:
                merged = self.add_input(merged, value)
        return merged

    def compact(self, values: list[Any]) -> list[Any]:
        """Reduce the values to at most one."""
        return [type(self).reduce(values)] if len(values) > 1 else values

    def extract_output(self, values: list[Any]) -> Any:
        """Return the reduced value, also of none."""
        return type(self).reduce(values)


class AddItemCounts(_Reduce):
    """Adds up tables of the columns `item` and `count`."""

    reduce = staticmethod(add_counts)


class EarliestAppearances(_Reduce):
    """Finds the first appearance of each item."""

    reduce = staticmethod(earliest_appearances)


def _add_named(parts: Sequence[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total


class AddNamedCounts(_Reduce):
    """Adds up counts by name; the order of names is that of each input."""

    reduce = staticmethod(_add_named)


def _add_arrays(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.sum(parts, axis=0)


class AddArrays(_Reduce):
    """Adds up arrays of the same shape."""

    reduce = staticmethod(_add_arrays)


def _add_date_counts(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Add up counts by date, int64 [2, dates]: dates and counts."""
    dates, index = np.unique(np.concatenate([part[0] for part in parts]), return_inverse=True)
    counts = np.concatenate([part[1] for part in parts])
    return np.stack([dates, np.bincount(index, counts, len(dates)).astype(np.int64)])


class AddDateCounts(_Reduce):
    """Adds up counts by date."""

    reduce = staticmethod(_add_date_counts)


class AddDoubts(_Reduce):
    """Adds up doubts."""

    reduce = staticmethod(lambda parts: sum(parts, Doubts()))


def _span(parts: Sequence[tuple[int, int]]) -> tuple[int, int]:
    first, last = zip(*parts, strict=True)
    return min(first), max(last)


class FindSpan(_Reduce):
    """Finds the first and last of pairs of first and last dates."""

    reduce = staticmethod(_span)


class AddRowCounts(_Reduce):
    """Adds up the counts of blocks of rows."""

    reduce = staticmethod(add_row_counts)
