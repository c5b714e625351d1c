"""Encoding of the JSON body of a predict response, as in TensorFlow Serving's REST API."""

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

from serving.errors import invalid
from serving.tensors import Layout, Tensors


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
    try:
        document = _document(outputs, layout, for_orjson=True)
        body = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:  # a string that is not UTF-8
        pass
    else:
        # orjson writes null for NaN and the infinities.
        if b"null" not in body or all(map(_is_finite, outputs.values())):
            return body
    document = _document(outputs, layout, for_orjson=False)
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogateescape")


def _check_same_batch(outputs: Tensors) -> None:
    size = None
    for name, array in outputs.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information")
        if size is not None and array.shape[0] != size:
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {array.shape[0]} "
                f"expecting: {size}"
            )
        size = array.shape[0]


def _document(outputs: Tensors, layout: Layout, for_orjson: bool) -> dict[str, Any]:
    values = {name: _jsonable(name, array, for_orjson) for name, array in outputs.items()}
    key = "predictions" if layout is Layout.ROW else "outputs"
    if len(values) == 1:
        (content,) = values.values()
        return {key: content}
    if layout is Layout.COLUMNAR:
        return {key: values}
    return {
        key: [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    }


def _jsonable(name: str, array: np.ndarray, for_orjson: bool) -> Any:
    """Convert an array to nested lists, or leave it to orjson if that writes the same digits."""
    if array.dtype.kind == "O":
        as_text = _base64_object if name.endswith("_bytes") else _text
        return _mapped(as_text, array.tolist())
    if array.dtype.kind in "iub":
        return _contiguous(array) if for_orjson else array.tolist()
    if array.dtype.kind != "f":
        raise invalid(f"Failed to write JSON value for tensor type: {array.dtype.name}")
    if for_orjson and array.dtype.itemsize > 2:
        return _contiguous(array)
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
