"""Tensors of requests and responses: NumPy arrays by name, their types and layout."""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

import numpy as np

Tensors = dict[str, np.ndarray]

MAX_RANK = 32

# NumPy types by TensorFlow's names in metadata; strings are object arrays.
NUMPY_TYPES: Mapping[str, Any] = {
    "DT_FLOAT": np.float32,
    "DT_DOUBLE": np.float64,
    "DT_HALF": np.float16,
    "DT_INT8": np.int8,
    "DT_INT16": np.int16,
    "DT_INT32": np.int32,
    "DT_INT64": np.int64,
    "DT_UINT8": np.uint8,
    "DT_UINT16": np.uint16,
    "DT_UINT32": np.uint32,
    "DT_UINT64": np.uint64,
    "DT_BOOL": np.bool_,
    "DT_STRING": np.object_,
}


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """The type of an input of a signature.

    Attributes:
      dtype: NumPy type; object for strings, as bytes.
      type: TensorFlow's name of the type, such as `float` or `string`.
    """

    dtype: np.dtype
    type: str


def elements(tensors: Tensors) -> int:
    """Return the total number of elements in tensors."""
    return sum(array.size for array in tensors.values())


class Layout(enum.Enum):
    """The layout of tensors in a REST request and its response.

    Attributes:
      ROW: `instances` and `predictions`, lists with one entry per row.
      COLUMNAR: `inputs` and `outputs`, complete tensors.
    """

    ROW = "instances"
    COLUMNAR = "inputs"
