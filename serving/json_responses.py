"""Encoding of the JSON body of a predict response, as in TensorFlow Serving's REST API."""

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

from serving.errors import invalid
from serving.json_values import NOT_IN_JSON
from serving.tensors import Layout, Tensors

# TensorFlow's names where they differ from NumPy's.
_TYPE_NAMES = {"float16": "half", "float32": "float", "float64": "double"}


def encode_outputs(outputs: Tensors, layout: Layout) -> bytes:
    """Encode outputs as the JSON body of a response.

    As in TensorFlow Serving, float32 numbers are written in the fewest digits
    that yield the same float32 again, NaN and the infinities as `NaN`,
    `Infinity` and `-Infinity`, and strings that are not UTF-8 as their bytes.

    Args:
      outputs: Arrays by name; strings are object arrays of bytes.
      layout: The layout of the request.

    Raises:
      ServingError: INVALID_ARGUMENT; the outputs do not fit the row layout, or
        have a type that JSON lacks.
    """
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    if layout is Layout.ROW:
        _check_same_batch(outputs)
    return dumps(lambda for_orjson: _document(outputs, layout, for_orjson), outputs)


def dumps(build: Callable[[bool], Any], outputs: Tensors) -> bytes:
    """Encode a document with the values of outputs, by orjson if that writes them.

    Args:
      build: Builds the document with arrays as `jsonable` converts them.
      outputs: The arrays.
    """
    try:
        body = orjson.dumps(build(True), option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:  # a string that is not UTF-8
        pass
    else:
        # orjson writes null for NaN and the infinities.
        if b"null" not in body or all(map(_is_finite, outputs.values())):
            return body
    text = json.dumps(build(False), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogateescape")


def _check_same_batch(outputs: Tensors) -> None:
    size = None
    # From the last name, the order in which TensorFlow Serving compares two.
    for name, array in reversed(outputs.items()):
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if size is not None and array.shape[0] != size:
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {array.shape[0]} "
                f"expecting: {size}"
            )
        size = array.shape[0]


def _document(outputs: Tensors, layout: Layout, for_orjson: bool) -> dict[str, Any]:
    values = {name: jsonable(name, array, for_orjson) for name, array in outputs.items()}
    key = "predictions" if layout is Layout.ROW else "outputs"
    if len(values) == 1:
        (content,) = values.values()
        return {key: content}
    if layout is Layout.COLUMNAR:
        return {key: values}
    return {
        key: [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    }


def jsonable(name: str, array: np.ndarray, for_orjson: bool) -> Any:
    """Convert an array to nested lists, or leave it to orjson if that writes the same digits.

    Args:
      name: Name of the output; strings of one that ends in `_bytes` become base64.
      array: The array.
      for_orjson: Whether orjson encodes it.

    Raises:
      ServingError: INVALID_ARGUMENT; JSON lacks the type.
    """
    if array.dtype.kind == "O":
        as_text = _base64_object if name.endswith("_bytes") else _text
        return _mapped(as_text, array.tolist())
    kind = _TYPE_NAMES.get(array.dtype.name, array.dtype.name)
    if kind in NOT_IN_JSON or array.dtype.kind not in "iubf":
        raise invalid(f"Failed to write JSON value for tensor type: {kind}")
    if for_orjson:
        return _contiguous(array)
    if array.dtype.kind != "f":
        return array.tolist()
    # The digits of the array's type, so that 0.1 in float32 is not 0.10000000149011612.
    return _mapped(lambda value: float(str(array.dtype.type(value))), array.tolist())


def _is_finite(array: np.ndarray) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _contiguous(array: np.ndarray) -> Any:
    """Return a contiguous array, or a single number, as orjson requires."""
    return np.ascontiguousarray(array) if array.ndim else array[()]


def _mapped(convert: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, list):
        return [_mapped(convert, item) for item in value]
    return convert(value)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _base64_object(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}
