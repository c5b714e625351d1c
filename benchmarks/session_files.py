"""Parts of a data set as arrays in a file of NumPy. Imports no TensorFlow."""

from collections.abc import Iterable, Mapping
from typing import Any

from hln_tf.data.sessions import Sessions

COLUMNS = ("items", "offsets", "dates")


def to_arrays(parts: Mapping[str, Sessions]) -> dict[str, Any]:
    """Return the columns of parts by names that `from_arrays` knows."""
    return {
        f"{name}_{column}": getattr(part, column)
        for name, part in parts.items()
        for column in COLUMNS
    }


def from_arrays(arrays: Mapping[str, Any], names: Iterable[str]) -> dict[str, Sessions]:
    """Return the parts of these names from what `to_arrays` returned."""
    return {
        name: Sessions(**{column: arrays[f"{name}_{column}"] for column in COLUMNS})
        for name in names
    }
