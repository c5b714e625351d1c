"""Decoding of the JSON body of a predict request, as in TensorFlow Serving's REST API."""

import gc
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import rapidjson

from serving.errors import ServingError, invalid
from serving.json_values import decode_tensor, echo, is_base64
from serving.tensors import InputSpec, Layout, Tensors

# So that no body occupies the interpreter for long: parsing so many values takes up to 60 ms.
MAX_VALUES = 2**16

_BOM = b"\xef\xbb\xbf"
# Python would take an integer of any length; RapidJSON's largest number is that of a double.
_HUGE_NUMBER = re.compile(rb"\d{309}")
_ERROR = re.compile(r"Parse error at offset (\d+): (.*)")


class _Decoder(rapidjson.Decoder):
    """RapidJSON, where the first of duplicate keys counts."""

    def start_object(self) -> list[tuple[str, Any]]:
        """Collect the members of an object in a list."""
        return []

    def end_object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Return the members as a dict in the order of the document."""
        members = dict(pairs)
        if len(members) < len(pairs):
            members.update(reversed(pairs))
        return members


# `NaN` and the infinities are numbers. Python converts the digits of numbers, because RapidJSON's
# own conversion may be wrong in the last bit.
_DECODE = _Decoder(number_mode=rapidjson.NM_NAN)
_DECODE_NATIVE = _Decoder(number_mode=rapidjson.NM_NAN | rapidjson.NM_NATIVE)


def parse_json(body: bytes) -> Any:
    """Parse a JSON document; errors have RapidJSON's words and offsets.

    Raises:
      ServingError: INVALID_ARGUMENT; the body is not JSON in UTF-8, or has more
        than `MAX_VALUES` values.
    """
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_VALUES:
        raise invalid(
            f"The body has more than {MAX_VALUES} commas, brackets and braces: send fewer values "
            "at a time, or use gRPC"
        )
    text = body.removeprefix(_BOM)
    skipped = len(body) - len(text)
    if not text:
        raise _parse_error("The document is empty", None)
    decode = _DECODE_NATIVE if _HUGE_NUMBER.search(text) else _DECODE
    # The new objects are no garbage: no collection may look for any between them.
    gc.disable()
    try:
        return decode(text)
    except UnicodeDecodeError as error:
        raise _parse_error("Invalid encoding in string.", error.start + skipped) from None
    except rapidjson.JSONDecodeError as error:
        found = _ERROR.match(str(error))
        if not found:
            raise _parse_error(str(error), skipped) from None
        raise _parse_error(found[2], int(found[1]) + skipped) from None
    except RecursionError:
        raise _parse_error("The document is nested too deeply", None) from None
    finally:
        gc.enable()


def _parse_error(message: str, offset: int | None) -> ServingError:
    return invalid(
        f"JSON Parse error: {message}" + ("" if offset is None else f" at offset: {offset}")
    )


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a body that must be a JSON object.

    Raises:
      ServingError: INVALID_ARGUMENT; the body is not a JSON object in UTF-8.
    """
    document = parse_json(body)
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
            "'inputs' or 'instances' keys to exist "
        )
    if "instances" in document:
        instances = document["instances"]
        if not isinstance(instances, list):
            raise invalid(f"JSON Value: {echo(document)} Expecting 'instances' to be an list/array")
        if not instances:
            raise invalid(f"JSON Value: {echo(document)} No values in 'instances' array")
        return _decode_rows(instances, specs), Layout.ROW
    if "inputs" in document:
        return _decode_columns(document["inputs"], specs), Layout.COLUMNAR
    raise invalid("Missing 'inputs' or 'instances' key")


def _is_object(item: Any) -> bool:
    return type(item) is dict and not is_base64(item)


def _decode_rows(instances: list[Any], specs: Mapping[str, InputSpec]) -> Tensors:
    if type(instances[0]) is not dict and len(specs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    has_objects = _is_object(instances[0])
    objects = [_is_object(item) for item in instances] if has_objects else []
    try:
        if has_objects and all(objects) and all(item.keys() == specs.keys() for item in instances):
            return {
                name: decode_tensor([item[name] for item in instances], spec)
                for name, spec in specs.items()
            }
        if not has_objects and not any(map(_is_object, instances)):
            name, spec = next(iter(specs.items()))
            return {name: decode_tensor(instances, spec)}
    except ServingError:
        pass  # the first element that does not fit is named below
    _check_rows(instances, has_objects, specs)
    raise invalid("the elements of 'instances' do not form a tensor")


def _check_rows(instances: list[Any], has_objects: bool, specs: Mapping[str, InputSpec]) -> None:
    """Raise the error of the first element that does not fit, as TensorFlow Serving finds it."""
    shapes: dict[str, tuple[int, ...]] = {}
    for number, item in enumerate(instances):
        if _is_object(item) != has_objects:
            found = "Expecting object but got list" if has_objects else _GOT_OBJECT
            raise invalid(f"{found} at item {number} of input list")
        values = item if has_objects else {next(iter(specs)): item}
        for name, value in values.items():
            error = _instance_error(value, name, specs, shapes)
            if error:
                key = f" key: {name}" if has_objects else ""
                raise invalid(
                    f"Failed to process element: {number}{key} of 'instances' list. "
                    f"Error: {error.code.name}: {error.message}"
                )
        if values.keys() != specs.keys():
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. JSON object: "
                f"{echo(item)} keys must be equal to: {','.join(sorted(specs))}"
            )


_GOT_OBJECT = "Expecting value/list but got object"


def _instance_error(
    value: Any,
    name: str,
    specs: Mapping[str, InputSpec],
    shapes: dict[str, tuple[int, ...]],
) -> ServingError | None:
    """Return the error of one input of an element; `shapes` are those of the first element."""
    if name not in specs:
        return invalid(f"JSON object: does not have named input: {name}")
    try:
        array = decode_tensor(value, specs[name])
    except ServingError as error:
        return error
    shape = shapes.setdefault(name, array.shape)
    size = int(np.prod(shape))
    if array.size != size:
        return invalid(f"Expecting tensor size: {size} but got: {array.size}")
    if array.shape != shape:
        return invalid(f"Expecting shape {_shape_text(shape)} but got: {_shape_text(array.shape)}")
    return None


def _decode_columns(inputs: Any, specs: Mapping[str, InputSpec]) -> Tensors:
    if not _is_object(inputs):
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


def _shape_text(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"
