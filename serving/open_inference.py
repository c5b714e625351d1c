"""The Open Inference Protocol (V2) of KServe and Triton: data types, tensors and descriptions.

A request runs the signature of its parameter `signature_name`, which is `serving_default`
without one.
"""

import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from hln_tf import __version__
from serving.errors import invalid
from serving.predictor import Predictor
from serving.servable import DEFAULT_SIGNATURE, Servable, Signature
from serving.tensors import MAX_RANK, InputSpec, Tensors

SERVER: dict[str, Any] = {
    "name": "hln-tf",
    "version": __version__,
    "extensions": ["binary_tensor_data"],
}
PLATFORM = "tensorflow_savedmodel"

# The protocol's names of types by NumPy's.
DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "bfloat16": "BF16",
    "object": "BYTES",
}


def parse_version(text: str) -> int | None:
    """Parse a version in a request, None for the latest.

    Raises:
      ServingError: INVALID_ARGUMENT; it is no number.
    """
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) < 2**63):
        raise invalid(f"the model version is {text[:40]!r}, expected a number")
    return int(text)


def find_signature(servable: Servable, chosen: str) -> Signature:
    """Return the signature of a request.

    Raises:
      ServingError: INVALID_ARGUMENT; the model has no such signature.
    """
    signature = servable.signature(chosen)
    if signature is None:
        raise invalid(
            f"the model has no signature {chosen or DEFAULT_SIGNATURE!r}, expected as the "
            f"parameter signature_name one of: {', '.join(sorted(servable.signature_defs))}"
        )
    return signature


async def infer(
    predictor: Predictor,
    servable: Servable,
    signature: Signature,
    inputs: Tensors,
    requested: Sequence[str],
    timeout: float | None,
) -> Tensors:
    """Run a signature and return the requested outputs, or all.

    Raises:
      ServingError: INVALID_ARGUMENT for other inputs or outputs than the signature
        has, or the error of the run.
    """
    if inputs.keys() != signature.inputs.keys():
        raise invalid(
            f"the inputs are {', '.join(sorted(inputs)) or 'none'}, expected "
            f"{', '.join(sorted(signature.inputs))}"
        )
    for name in requested:
        if name not in signature.outputs:
            raise invalid(
                f"the output {name!r} is unknown, expected one of {', '.join(signature.outputs)}"
            )
    outputs = await predictor.run(servable, signature, inputs, timeout)
    return {name: outputs[name] for name in requested or signature.outputs}


def check_tensor(signature: Signature, name: str, datatype: str, shape: Sequence[Any]) -> InputSpec:
    """Check the description of an input and return the type of the signature's.

    Raises:
      ServingError: INVALID_ARGUMENT; it is unknown, or of another type, or has no
        shape of the kind.
    """
    spec = signature.inputs.get(name)
    if spec is None:
        raise invalid(
            f"the input {name!r} is unknown, expected {', '.join(sorted(signature.inputs))}"
        )
    expected = DATATYPES.get(spec.dtype.name)
    if datatype != expected:
        raise invalid(f"the input {name!r} has the datatype {datatype}, expected {expected}")
    sizes = [size for size in shape if type(size) is int and 0 <= size < 2**31]
    if len(sizes) != len(shape) or len(shape) > MAX_RANK:
        raise invalid(f"the input {name!r} has the shape {list(shape)}, expected known sizes")
    return spec


def as_shape(name: str, array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Give the values of an input their shape.

    Raises:
      ServingError: INVALID_ARGUMENT; there are more or fewer values.
    """
    if array.size != math.prod(shape):
        raise invalid(
            f"the input {name!r} has {array.size} values, expected {math.prod(shape)} for the "
            f"shape {list(shape)}"
        )
    return array.reshape(shape)


def decode_raw(name: str, data: bytes, spec: InputSpec, shape: Sequence[int]) -> np.ndarray:
    """Decode little-endian numbers, or strings that each follow their length of four bytes.

    Raises:
      ServingError: INVALID_ARGUMENT; the bytes do not fit the shape.
    """
    if spec.dtype == object:
        strings: list[bytes] = []
        start = 0
        while start < len(data):
            end = start + 4
            if end <= len(data):
                end += struct.unpack_from("<I", data, start)[0]
            if end > len(data) or end < start + 4:
                raise invalid(f"the input {name!r} ends within a string")
            strings.append(data[start + 4 : end])
            start = end
        return as_shape(name, objects(strings), shape)
    if len(data) % spec.dtype.itemsize:
        raise invalid(f"the input {name!r} has {len(data)} bytes, which end within a number")
    return as_shape(name, np.frombuffer(data, spec.dtype.newbyteorder("<")), shape)


def encode_raw(array: np.ndarray) -> bytes:
    """Encode an array as `decode_raw` reads it."""
    if array.dtype == object:
        return b"".join(struct.pack("<I", len(each)) + each for each in array.ravel())
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def objects(strings: Sequence[bytes]) -> np.ndarray:
    """Return strings as an array of one dimension."""
    array = np.empty(len(strings), object)
    array[:] = strings
    return array


def describe(servable: Servable, versions: Iterable[int], chosen: str = "") -> dict[str, Any]:
    """Describe a model by one of its signatures, as both transports send it.

    Raises:
      ServingError: INVALID_ARGUMENT; the model has no such signature.
    """
    definition = servable.signature_defs[find_signature(servable, chosen).name]

    def tensors(infos: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "datatype": _datatype(infos[name].dtype),
                "shape": _sizes(infos[name].tensor_shape),
            }
            for name in sorted(infos)
        ]

    return {
        "name": servable.name,
        "versions": [str(version) for version in versions],
        "platform": PLATFORM,
        "inputs": tensors(definition.inputs),
        "outputs": tensors(definition.outputs),
    }


def _datatype(number: int) -> str:
    return DATATYPES.get(np.dtype(tf.as_dtype(number).as_numpy_dtype).name, "BYTES")


def _sizes(shape: Any) -> list[int]:
    return [-1] if shape.unknown_rank else [dimension.size for dimension in shape.dim]
