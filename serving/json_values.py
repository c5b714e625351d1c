"""Conversion of JSON values to a tensor, as TensorFlow Serving's codec does it."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import rapidjson

from serving.errors import Code, ServingError, invalid
from serving.tensors import MAX_RANK, InputSpec

# The beginning of a value that an error message echoes.
_ECHO_CHARACTERS = 500
# Types for which TensorFlow Serving has no JSON, although NumPy could convert them.
NOT_IN_JSON = frozenset({"half", "bfloat16", "uint16"})

# As `absl::Base64Unescape`: padding is complete or absent, and `.` pads as `=` does.
_BASE64 = re.compile(r"([A-Za-z0-9+/]*)([=.]*)")
_LARGEST_FLOAT = float(np.finfo(np.float32).max)


def decode_tensor(value: Any, spec: InputSpec) -> np.ndarray:
    """Convert nested lists, or a single value, to an array of the input's type.

    Raises:
      ServingError: INVALID_ARGUMENT; they are ragged or of another type.
        UNIMPLEMENTED; JSON lacks the type.
    """
    convert = None if spec.type in NOT_IN_JSON else _CONVERTERS.get(spec.dtype.kind)
    shape = _shape(value)
    level = [value]
    for size in shape:
        if set(map(type, level)) != {list} or set(map(len, level)) != {size}:
            break
        level = level[0] if len(level) == 1 else [item for items in level for item in items]
    else:
        array = convert(level, spec) if convert else None
        if array is not None:
            return array.reshape(shape)
    raise _first_error(value, 0, shape, spec) or ServingError(
        Code.UNIMPLEMENTED, f"Conversion of JSON to type: {spec.type}"
    )


def _shape(value: Any) -> list[int]:
    """Return the lengths of the first list at each level, which determine the shape."""
    shape: list[int] = []
    while type(value) is list:
        shape.append(len(value))
        if len(shape) > MAX_RANK:
            raise invalid(f"JSON Value is nested deeper than {MAX_RANK} lists")
        if not value:
            break
        value = value[0]
    return shape


def _first_error(
    value: Any, level: int, shape: Sequence[int], spec: InputSpec
) -> ServingError | None:
    """Return the error of the first value that does not fit, in the order of the document."""
    rank = len(shape)
    if type(value) is not list:
        if level != rank:
            return invalid(
                f"JSON Value: {echo(value)} found at incorrect level: {level + 1} in the JSON "
                f"DOM. Expected at level: {rank}"
            )
        return _value_error(value, spec)
    if level >= rank:
        return invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        return invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    errors = (_first_error(item, level + 1, shape, spec) for item in value)
    return next((error for error in errors if error), None)


def _value_error(value: Any, spec: InputSpec) -> ServingError | None:
    """Return the error of a single value, None if it fits."""
    convert = None if spec.type in NOT_IN_JSON else _CONVERTERS.get(spec.dtype.kind)
    if type(value) is dict:
        if spec.dtype.kind != "O":
            return type_error(value, spec.type)
        try:
            decode_base64(value)
        except ServingError as error:
            return error
        return None
    if convert is None:
        return ServingError(
            Code.UNIMPLEMENTED, f"Conversion of JSON Value: {echo(value)} to type: {spec.type}"
        )
    return None if convert([value], spec) is not None else type_error(value, spec.type)


# Each returns None if a value does not fit.


def _to_strings(values: list[Any], spec: InputSpec) -> np.ndarray | None:
    array = np.empty(len(values), object)
    try:
        array[:] = [
            value.encode() if type(value) is str else decode_base64(value) for value in values
        ]
    except ServingError:
        return None
    return array


def _to_integers(values: list[Any], spec: InputSpec) -> np.ndarray | None:
    if not set(map(type, values)) <= {int}:
        return None
    bounds = np.iinfo(spec.dtype)
    if values and not bounds.min <= min(values) <= max(values) <= bounds.max:
        return None
    return np.array(values, spec.dtype)


def _to_floats(values: list[Any], spec: InputSpec) -> np.ndarray | None:
    """Round every number to the type, also those beyond its range, to infinity."""
    if not set(map(type, values)) <= {int, float}:
        return None
    with np.errstate(over="ignore"):
        return np.array(values, np.float64).astype(spec.dtype)


def _to_booleans(values: list[Any], spec: InputSpec) -> np.ndarray | None:
    return np.array(values, bool) if set(map(type, values)) <= {bool} else None


_CONVERTERS: Mapping[str, Callable[[list[Any], InputSpec], np.ndarray | None]] = {
    "O": _to_strings,
    "i": _to_integers,
    "u": _to_integers,
    "f": _to_floats,
    "b": _to_booleans,
}


def json_type(value: Any) -> str:
    """Return RapidJSON's name of a value's type."""
    names = {type(None): "Null", dict: "Object", list: "Array", str: "String"}
    return str(value) if type(value) is bool else names.get(type(value), "Number")


def type_error(value: Any, type_name: str) -> ServingError:
    """Create the error of a value that does not fit a type."""
    return invalid(
        f"JSON Value: {echo(value)} Type: {json_type(value)} is not of expected type: {type_name}"
    )


def is_base64(value: Any) -> bool:
    """Return whether an object represents bytes, `{"b64": "..."}`."""
    return len(value) == 1 and type(value.get("b64")) is str


def decode_base64(value: Any) -> bytes:
    """Decode an object that represents bytes.

    Raises:
      ServingError: INVALID_ARGUMENT; it is no such object, or not base64.
    """
    if type(value) is not dict:
        raise type_error(value, "string")
    if not is_base64(value):
        raise invalid(f"JSON Value: {echo(value)} not formatted correctly for base64 data")
    found = _BASE64.fullmatch("".join(value["b64"].split()))
    complete = -len(found[1]) % 4 if found else 0
    if found and len(found[2]) in (0, complete):
        try:
            return base64.b64decode(found[1] + "=" * complete, validate=True)
        except binascii.Error:
            pass
    raise invalid("Unable to base64 decode")


def echo(value: Any) -> str:
    """Return the beginning of a value as RapidJSON prints it, for an error message."""
    if type(value) is float:
        return _decimal(value)
    numbers = rapidjson.NM_NATIVE | rapidjson.NM_NAN
    try:
        text = rapidjson.dumps(value, indent=4, ensure_ascii=False, number_mode=numbers)
    except OverflowError:  # an integer of more than 64 bits
        text = rapidjson.dumps(value, indent=4, ensure_ascii=False)
    except RecursionError:
        return "..."
    return text if len(text) <= _ECHO_CHARACTERS else text[:_ECHO_CHARACTERS] + "..."


def _decimal(number: float) -> str:
    """Format a number in six digits, or in as many as its type needs."""
    if number != number:
        return "NaN"
    if abs(number) == float("inf"):
        return "Infinity" if number > 0 else "-Infinity"
    is_single = abs(number) <= _LARGEST_FLOAT
    exact = float(np.float32(number)) if is_single else number
    text = f"{exact:g}"
    back = float(np.float32(text)) if is_single else float(text)
    if back != exact:
        text = f"{exact:.{9 if is_single else 17}g}"
    return text if "." in text or "e" in text else f"{text}.0"
