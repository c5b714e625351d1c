"""A version of a model: a SavedModel in a session, as TensorFlow Serving runs it."""

import dataclasses
import itertools
import math
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import prediction_log_pb2

from serving.errors import Code, ServingError, invalid
from serving.proto_tensors import decode_inputs
from serving.tensors import InputSpec, Tensors

DEFAULT_SIGNATURE = "serving_default"
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
MAX_WARMUP_RECORDS = 1000


@dataclasses.dataclass
class Signature:
    """A signature that can be run.

    Attributes:
      name: Its key in the SavedModel.
      inputs: Types of its inputs by name.
      outputs: Names of its outputs.
      batches: Whether the first dimension of all its tensors is the batch, so
        that several requests can run as one. If the SignatureDef leaves a rank
        unknown, true until an output has another size.
    """

    name: str
    inputs: Mapping[str, InputSpec]
    outputs: tuple[str, ...]
    _call: Any
    batches: bool

    def run(self, inputs: Tensors, seconds: float | None = None) -> Tensors:
        """Compute the outputs.

        Args:
          inputs: Arrays by name.
          seconds: Time after which TensorFlow starts no further operation; None for
            no limit. An operation that runs is not interrupted.

        Raises:
          ServingError: The graph refused the inputs, with its own code, or
            DEADLINE_EXCEEDED.
        """
        options = None
        if seconds is not None:
            milliseconds = max(1, math.ceil(seconds * 1000))
            options = tf.compat.v1.RunOptions(timeout_in_ms=milliseconds)
        try:
            values = self._call(*(inputs[name] for name in self.inputs), options=options)
        except tf.errors.OpError as error:
            raise ServingError(Code(error.error_code), error.message) from None
        except (ValueError, TypeError) as error:
            raise invalid(str(error)) from None
        return {name: _array(value) for name, value in zip(self.outputs, values, strict=True)}


class Servable:
    """A loaded version.

    Like TensorFlow Serving, it runs the graph in a session. A call takes half of
    the time of a restored function, and any SavedModel can be loaded.

    Args:
      path: The version's directory.
      name: The model's name.
      version: The version's number.
      config: Threads and devices of the session.

    Attributes:
      path: The version's directory.
      name: The model's name.
      version: The version's number.
      signature_defs: Every SignatureDef by name, for metadata.

    Raises:
      ServingError: It cannot be loaded, with TensorFlow's reason.
    """

    def __init__(
        self, path: str, name: str, version: int, config: tf.compat.v1.ConfigProto | None = None
    ) -> None:
        self.path = path
        self.name = name
        self.version = version
        self._users = 0
        self._retired = False
        self._lock = threading.Lock()
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph, config=config)
        try:
            with graph.as_default():
                loader = tf.compat.v1.saved_model.load
                meta_graph = loader(self._session, [tf.saved_model.SERVING], path)
            self.signature_defs = dict(meta_graph.signature_def)
            self._signatures = {
                name: self._signature(name, definition)
                for name, definition in self.signature_defs.items()
                if definition.inputs and definition.outputs
            }
            if not self._signatures:
                raise ServingError(
                    Code.FAILED_PRECONDITION,
                    f"{path} has no signature to serve: give tf.saved_model.save its signatures",
                )
            self._warm_up(f"{path}/{WARMUP_FILE}")
        except ServingError:
            self._session.close()
            raise
        except tf.errors.OpError as error:
            self._session.close()
            raise ServingError(Code(error.error_code), error.message) from None
        except Exception as error:
            # A corrupt SavedModel fails in many ways; none may stop the server.
            self._session.close()
            code = Code.NOT_FOUND if isinstance(error, OSError) else Code.INTERNAL
            raise ServingError(code, f"{path} cannot be loaded: {error}") from error

    def signature(self, name: str) -> Signature | None:
        """Return the signature of a name, the default one for an empty name."""
        return self._signatures.get(name or DEFAULT_SIGNATURE)

    def acquire(self) -> None:
        """Begin a use, which delays unloading until `release`."""
        with self._lock:
            self._users += 1

    def release(self) -> None:
        """End a use; the last one of a retired version unloads it."""
        with self._lock:
            self._users -= 1
        self._close_when_unused()

    def retire(self) -> None:
        """Unload the version as soon as it is not in use."""
        self._retired = True
        self._close_when_unused()

    @property
    def closed(self) -> bool:
        """True once the version has been unloaded."""
        return self._retired and self._users == 0

    def _close_when_unused(self) -> None:
        if self.closed:
            self._session.close()

    def _signature(self, name: str, definition: Any) -> Signature:
        inputs, outputs = definition.inputs, definition.outputs
        if any(not info.name for info in (*inputs.values(), *outputs.values())):
            raise ServingError(
                Code.UNIMPLEMENTED, f"signature {name!r} has a sparse or composite tensor"
            )
        call = self._session.make_callable(
            [outputs[key].name for key in sorted(outputs)],
            [inputs[key].name for key in sorted(inputs)],
        )
        specs = {}
        for key in sorted(inputs):
            dtype = tf.as_dtype(inputs[key].dtype)
            kind = types_pb2.DataType.Name(inputs[key].dtype).removeprefix("DT_").lower()
            specs[key] = InputSpec(np.dtype(dtype.as_numpy_dtype), kind)
        tensors = (*inputs.values(), *outputs.values())
        batches = all(_may_batch(info.tensor_shape) for info in tensors)
        return Signature(name, specs, tuple(sorted(outputs)), call, batches)

    def _warm_up(self, path: str) -> None:
        for number, log in enumerate(_warmup_logs(path), start=1):
            kind = log.WhichOneof("log_type")
            if kind != "predict_log":
                raise ServingError(
                    Code.UNIMPLEMENTED,
                    f"{path}, request {number} is a {kind}, only predict_log is served",
                )
            request = log.predict_log.request
            signature = self.signature(request.model_spec.signature_name)
            if signature is None:
                raise ServingError(
                    Code.FAILED_PRECONDITION,
                    f"{path}, request {number} asks for the signature "
                    f"{request.model_spec.signature_name!r}, which the model lacks",
                )
            try:
                signature.run(decode_inputs(request.inputs, signature.inputs))
            except ServingError as error:
                raise ServingError(
                    error.code, f"{path}, request {number} fails: {error.message}"
                ) from None


def _warmup_logs(path: str) -> Iterator[prediction_log_pb2.PredictionLog]:
    if not tf.io.gfile.exists(path):
        return
    records = tf.compat.v1.io.tf_record_iterator(path)
    try:
        for record in itertools.islice(records, MAX_WARMUP_RECORDS):
            yield prediction_log_pb2.PredictionLog.FromString(record)
    except (tf.errors.OpError, DecodeError) as error:
        raise ServingError(
            Code.DATA_LOSS, f"{path} is no TFRecord file of PredictionLogs: {error}"
        ) from None


def _may_batch(shape: Any) -> bool:
    """Return whether a TensorShapeProto has a first dimension of any size."""
    return shape.unknown_rank or (len(shape.dim) > 0 and shape.dim[0].size == -1)


def _array(value: Any) -> np.ndarray:
    """Convert a session's output, which may be a NumPy scalar or bytes, to an array."""
    if isinstance(value, bytes):
        array = np.empty((), object)
        array[()] = value
        return array
    return np.asarray(value)
