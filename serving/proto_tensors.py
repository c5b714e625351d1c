"""Conversion between TensorProto and arrays, for gRPC."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.errors import Code, ServingError, invalid
from serving.tensors import MAX_RANK, InputSpec, Tensors

# The field of a TensorProto that contains the values of a type.
_FIELDS = {
    "float32": (types_pb2.DT_FLOAT, "float_val"),
    "float64": (types_pb2.DT_DOUBLE, "double_val"),
    "int8": (types_pb2.DT_INT8, "int_val"),
    "int16": (types_pb2.DT_INT16, "int_val"),
    "int32": (types_pb2.DT_INT32, "int_val"),
    "uint8": (types_pb2.DT_UINT8, "int_val"),
    "uint16": (types_pb2.DT_UINT16, "int_val"),
    "int64": (types_pb2.DT_INT64, "int64_val"),
    "uint32": (types_pb2.DT_UINT32, "uint32_val"),
    "uint64": (types_pb2.DT_UINT64, "uint64_val"),
    "bool": (types_pb2.DT_BOOL, "bool_val"),
    "object": (types_pb2.DT_STRING, "string_val"),
}
# These are stored as 16-bit patterns.
_HALF_FIELDS = {"float16": types_pb2.DT_HALF, "bfloat16": types_pb2.DT_BFLOAT16}
_MAX_ELEMENTS = 2**26
# A last value that repeats lets a few bytes describe a tensor of any size; this many at most.
_MAX_REPEATED = 2**20


def decode_inputs(protos: Mapping[str, Any], specs: Mapping[str, InputSpec]) -> Tensors:
    """Convert the inputs of a PredictRequest to arrays.

    Args:
      protos: TensorProto by name.
      specs: The signature's inputs by name.

    Raises:
      ServingError: INVALID_ARGUMENT; they are not the signature's inputs.
    """
    if protos.keys() != specs.keys():
        extra, missing = protos.keys() - specs.keys(), specs.keys() - protos.keys()
        raise invalid(
            f"input size does not match signature: {len(protos)}!={len(specs)} "
            f"len({_set(protos)}) != len({_set(specs)}). "
            f"Sent extra: {_set(extra)}. Missing but required: {_set(missing)}."
        )
    return {name: decode_tensor(name, protos[name], spec) for name, spec in specs.items()}


def encode_outputs(outputs: Tensors, into: Any) -> None:
    """Write arrays to a map of TensorProto, with the values in the typed fields.

    Raises:
      ServingError: UNIMPLEMENTED; a type has no field.
    """
    for name, array in outputs.items():
        proto = into[name]
        for size in array.shape:
            proto.tensor_shape.dim.add(size=size)
        kind = array.dtype.name
        if kind in _FIELDS:
            proto.dtype, field = _FIELDS[kind]
            getattr(proto, field).extend(array.ravel().tolist())
        elif kind in _HALF_FIELDS:
            proto.dtype = _HALF_FIELDS[kind]
            proto.half_val.extend(array.ravel().view(np.uint16).tolist())
        else:
            raise ServingError(Code.UNIMPLEMENTED, f"output {name} has the type {kind}")


def decode_tensor(name: str, proto: tensor_pb2.TensorProto, spec: InputSpec) -> np.ndarray:
    """Convert a TensorProto to an array; strings remain bytes.

    Raises:
      ServingError: INVALID_ARGUMENT; it has another type or contradicts itself.
    """
    kind = spec.dtype.name
    number, field = _FIELDS.get(kind) or (_HALF_FIELDS.get(kind), "half_val")
    if number is None:
        raise ServingError(Code.UNIMPLEMENTED, f"input {name} has the type {kind}")
    if proto.dtype != number:
        given = types_pb2.DataType.Name(proto.dtype) if proto.dtype in _TYPES else proto.dtype
        raise invalid(
            f"input {name} has the type {given}, expected {types_pb2.DataType.Name(number)}"
        )
    shape = [dimension.size for dimension in proto.tensor_shape.dim]
    count = math.prod(shape)
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0 or len(shape) > MAX_RANK:
        raise invalid(f"input {name} has the shape {shape}, expected known sizes")
    # With a size of 0 there is no element, however large the others are.
    if max(count, *shape, 0) > _MAX_ELEMENTS:
        raise invalid(
            f"input {name} has the shape {shape}, expected at most {_MAX_ELEMENTS} elements"
        )
    if proto.tensor_content and kind != "object":
        if len(proto.tensor_content) != count * spec.dtype.itemsize:
            raise invalid(
                f"input {name} has {len(proto.tensor_content)} bytes of content, "
                f"expected {count * spec.dtype.itemsize} for the shape {shape}"
            )
        return np.frombuffer(proto.tensor_content, spec.dtype).reshape(shape)
    values = list(getattr(proto, field))
    # As in TensorFlow, the last value repeats for those that are missing; no value means zeros.
    if len(values) > count or (not values and count and kind == "object"):
        raise invalid(
            f"input {name} has {len(values)} values, expected {count} for the shape {shape}"
        )
    if count - len(values) > _MAX_REPEATED:
        raise invalid(
            f"input {name} has {len(values)} values for {count} elements, "
            f"expected at most {_MAX_REPEATED} to be left out"
        )
    array = np.empty(count, np.uint16 if field == "half_val" else spec.dtype)
    try:
        array[: len(values)] = values
        array[len(values) :] = values[-1] if values else 0
    except OverflowError:
        raise invalid(f"input {name} has a value outside the range of {kind}") from None
    return array.view(spec.dtype).reshape(shape) if field == "half_val" else array.reshape(shape)


_TYPES = frozenset(types_pb2.DataType.values())


def _set(names: Any) -> str:
    return "{" + ",".join(sorted(names)) + "}"
