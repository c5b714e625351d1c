"""Decoding of the JSON body of a predict request, as in TensorFlow Serving's REST API."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from serving.errors import ServingError, invalid
from serving.json_values import decode_tensor, echo, is_base64
from serving.tensors import InputSpec, Layout, Tensors

_BOM = b"\xef\xbb\xbf"
_MAX_ECHOED_DIGITS = 100


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"Number too big to be stored in double: {text[:_MAX_ECHOED_DIGITS]}")
    return number


_DECODER = json.JSONDecoder(parse_float=_finite)


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a body that must be a JSON object; `NaN` and `Infinity` are numbers.

    Raises:
      ServingError: INVALID_ARGUMENT; the body is not a JSON object in UTF-8.
    """
    body = body.removeprefix(_BOM)
    if not body.strip():
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise invalid(f"JSON Parse error: Invalid UTF-8 at offset: {error.start}") from None
    except json.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: {error.msg} at offset: {error.pos}") from None
    except RecursionError:
        raise invalid("JSON Parse error: The document is nested too deeply") from None
    except ValueError as error:  # an integer with more digits than Python parses
        raise invalid(f"JSON Parse error: {error}") from None
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {echo(document)} Is not object")
    return document


def signature_name(document: Mapping[str, Any]) -> str:
    """Return the name of the signature in a request, empty for the default one.

    Raises:
      ServingError: INVALID_ARGUMENT; the name is not a string.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {echo(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name


def decode_inputs(
    document: Mapping[str, Any], specs: Mapping[str, InputSpec]
) -> tuple[Tensors, Layout]:
    """Convert the body of a predict request to tensors.

    Args:
      document: The parsed body.
      specs: The signature's inputs by name; not empty.

    Returns:
      A tensor for each input, and the layout of the response.

    Raises:
      ServingError: INVALID_ARGUMENT; the body does not fit the inputs.
    """
    if "instances" in document and "inputs" in document:
        raise invalid(
            f"JSON Value: {echo(document)} Not formatted correctly expecting only one of "
            "'inputs' or 'instances' keys to exist"
        )
    if "instances" in document:
        instances = document["instances"]
        if not isinstance(instances, list):
            raise invalid(f"JSON Value: {echo(document)} Excepting 'instances' to be an list/array")
        if not instances:
            raise invalid(f"JSON Value: {echo(document)} No values in 'instances' array")
        return _decode_rows(instances, specs), Layout.ROW
    if "inputs" in document:
        return _decode_columns(document["inputs"], specs), Layout.COLUMNAR
    raise invalid("Missing 'inputs' or 'instances' key")


def _decode_rows(instances: list[Any], specs: Mapping[str, InputSpec]) -> Tensors:
    objects = [type(item) is dict and not is_base64(item) for item in instances]
    if not objects[0]:
        if len(specs) > 1:
            raise invalid(
                "instances is a plain list, but expecting list of objects as multiple "
                "input tensors required as per tensorinfo_map"
            )
        if any(objects):
            raise invalid(
                f"Expecting value/list but got object at item {objects.index(True)} of input list"
            )
        ((name, spec),) = specs.items()
        return {name: _decode_row_input(instances, spec, "")}
    if not all(objects):
        raise invalid(f"Expecting object but got list at item {objects.index(False)} of input list")
    for number, item in enumerate(instances):
        if item.keys() != specs.keys():
            for name in item.keys() - specs.keys():
                raise invalid(
                    f"Failed to process element: {number} key: {name} of 'instances' list. "
                    f"Error: INVALID_ARGUMENT: JSON object: does not have named input: {name}"
                )
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. JSON object: "
                f"{echo(item)} keys must be equal to: {','.join(sorted(specs))}"
            )
    return {
        name: _decode_row_input([item[name] for item in instances], spec, f" key: {name}")
        for name, spec in specs.items()
    }


def _decode_row_input(values: list[Any], spec: InputSpec, key: str) -> np.ndarray:
    try:
        return decode_tensor(values, spec)
    except ServingError as batch_error:
        first_shape = None
        for number, value in enumerate(values):
            where = f"Failed to process element: {number}{key} of 'instances' list. Error: "
            try:
                shape = decode_tensor(value, spec).shape
            except ServingError as error:
                raise ServingError(
                    error.code, f"{where}{error.code.name}: {error.message}"
                ) from None
            if first_shape is None:
                first_shape = shape
            elif shape != first_shape:
                raise invalid(
                    f"{where}INVALID_ARGUMENT: Expecting shape {_shape_text(first_shape)} "
                    f"but got: {_shape_text(shape)}"
                ) from None
        raise batch_error


def _decode_columns(inputs: Any, specs: Mapping[str, InputSpec]) -> Tensors:
    if type(inputs) is not dict or is_base64(inputs):
        if len(specs) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        ((name, spec),) = specs.items()
        return {name: decode_tensor(inputs, spec)}
    for name in specs:
        if name not in inputs:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: decode_tensor(inputs[name], spec) for name, spec in specs.items()}


def _shape_text(shape: Sequence[int]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"
