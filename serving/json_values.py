"""Conversion of the values of a JSON document to a tensor."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from serving.errors import Code, ServingError, invalid
from serving.tensors import MAX_RANK, InputSpec

_ECHO_CHARACTERS = 100
_ENCODER = json.JSONEncoder()


def decode_tensor(value: Any, spec: InputSpec) -> np.ndarray:
    """Convert nested lists, or a single value, to an array of the input's type.

    Raises:
      ServingError: INVALID_ARGUMENT; they are ragged or of another type.
        UNIMPLEMENTED; JSON lacks the type.
    """
    convert = _CONVERTERS.get(spec.dtype.kind)
    if convert is None:
        raise ServingError(
            Code.UNIMPLEMENTED, f"Conversion of JSON Value: {echo(value)} to type: {spec.type}"
        )
    shape: list[int] = []
    level = [value]
    # As in TensorFlow Serving, the first element at each level determines the shape.
    while level and type(level[0]) is list:
        size = len(level[0])
        shape.append(size)
        if len(shape) > MAX_RANK:
            raise invalid(f"JSON Value is nested deeper than {MAX_RANK} lists")
        for item in level:
            if type(item) is not list:
                raise invalid(
                    f"JSON Value: {echo(item)} found at incorrect level: {len(shape)} "
                    "in the JSON DOM."
                )
            if len(item) != size:
                raise invalid(
                    f"Encountered list at unexpected size: {len(item)} at level: "
                    f"{len(shape) - 1} expected size: {size}"
                )
        level = level[0] if len(level) == 1 else [value for item in level for value in item]
    if list in set(map(type, level)):
        raise invalid(f"Encountered list at unexpected level: {len(shape)} expected < {len(shape)}")
    return convert(level, spec).reshape(shape)


def _to_strings(values: list[Any], spec: InputSpec) -> np.ndarray:
    array = np.empty(len(values), object)
    try:
        array[:] = [
            value.encode() if type(value) is str else _base64_bytes(value, spec) for value in values
        ]
    except UnicodeEncodeError:
        raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from None
    return array


def _to_integers(values: list[Any], spec: InputSpec) -> np.ndarray:
    _check_types(values, spec, int)
    bounds = np.iinfo(spec.dtype)
    for value in (min(values, default=0), max(values, default=0)):
        if not bounds.min <= value <= bounds.max:
            raise _type_error(value, spec)
    return np.array(values, spec.dtype)


def _to_floats(values: list[Any], spec: InputSpec) -> np.ndarray:
    _check_types(values, spec, float, int)
    # The largest integer up to which the type represents every integer exactly.
    largest_integer = 2 ** (np.finfo(spec.dtype).nmant + 1) - 1
    largest = float(np.finfo(spec.dtype).max)
    integers = [value for value in values if type(value) is int]
    lossy = [value for value in integers if abs(value) > largest_integer]
    if not lossy:
        array = np.array(values, np.float64)
        lossy = array[np.isfinite(array) & (np.abs(array) > largest)].tolist()
    if lossy:
        raise invalid(
            f"Cannot convert JSON value: {echo(lossy[0])} to {spec.type} without loss of precision."
        )
    return array.astype(spec.dtype)


def _to_booleans(values: list[Any], spec: InputSpec) -> np.ndarray:
    _check_types(values, spec, bool)
    return np.array(values, bool)


_CONVERTERS: Mapping[str, Callable[[list[Any], InputSpec], np.ndarray]] = {
    "O": _to_strings,
    "i": _to_integers,
    "u": _to_integers,
    "f": _to_floats,
    "b": _to_booleans,
}


def _check_types(values: Sequence[Any], spec: InputSpec, *allowed: type) -> None:
    if not set(map(type, values)).issubset(allowed):
        raise _type_error(next(v for v in values if type(v) not in allowed), spec)


def _type_error(value: Any, spec: InputSpec) -> ServingError:
    kinds = {type(None): "Null", dict: "Object", list: "Array", str: "String"}
    kind = str(value) if type(value) is bool else kinds.get(type(value), "Number")
    return invalid(f"JSON Value: {echo(value)} Type: {kind} is not of expected type: {spec.type}")


def is_base64(value: Any) -> bool:
    """Return whether an object represents bytes, `{"b64": "..."}`."""
    return len(value) == 1 and type(value.get("b64")) is str


def echo(value: Any) -> str:
    """Return the beginning of a value, for an error message."""
    text = ""
    try:
        for piece in _ENCODER.iterencode(value):
            text += piece
            if len(text) > _ECHO_CHARACTERS:
                return text[:_ECHO_CHARACTERS] + "..."
    except RecursionError:
        return text + "..."
    return text


def _base64_bytes(value: Any, spec: InputSpec) -> bytes:
    if type(value) is not dict:
        raise _type_error(value, spec)
    if not is_base64(value):
        raise invalid(f"JSON Value: {echo(value)} not formatted correctly for base64 data")
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None
