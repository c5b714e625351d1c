"""The client's transport over gRPC. Its messages import TensorFlow."""

from typing import Any

import grpc
import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving import proto_tensors
from serving.errors import Code
from serving.tensors import NUMPY_TYPES, InputSpec, Tensors
from serving.transport import Access, ServerError, SignatureTypes, Target


class GrpcTransport:
    """Requests over one channel.

    Args:
      target: The model.
      timeout: Seconds for a request.
      access: Credentials.
    """

    def __init__(self, target: Target, timeout: float, access: Access) -> None:
        self._target = target
        self._timeout = timeout
        self._metadata = [("authorization", f"Bearer {access.token}")] if access.token else []
        options = [("grpc.max_receive_message_length", -1)]
        if target.has_tls:
            credentials = grpc.ssl_channel_credentials(access.ca or None)
            self._channel = grpc.secure_channel(target.address, credentials, options)
        else:
            self._channel = grpc.insecure_channel(target.address, options)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(self, signature: str, inputs: Tensors, types: SignatureTypes) -> Tensors:
        """Run a signature."""
        request = predict_pb2.PredictRequest()
        request.model_spec.signature_name = signature
        encoded = {name: _encoded(array) for name, array in inputs.items()}
        proto_tensors.encode_outputs(encoded, request.inputs)
        response = self._call(self._prediction.Predict, request)
        return {name: _decoded(name, response.outputs[name]) for name in types.outputs}

    def signatures(self) -> dict[str, SignatureTypes]:
        """Return the signatures of the model by name."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        response = self._call(self._prediction.GetModelMetadata, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return {
            name: SignatureTypes(_types(definition.inputs), _types(definition.outputs))
            for name, definition in signatures.signature_def.items()
            if definition.inputs
        }

    def status(self) -> list[dict[str, str]]:
        """Return the status of each version of the model."""
        request = get_model_status_pb2.GetModelStatusRequest()
        return [
            {
                "version": str(entry.version),
                "state": get_model_status_pb2.ModelVersionStatus.State.Name(entry.state),
                "error_code": Code(entry.status.error_code).name,
                "error_message": entry.status.error_message,
            }
            for entry in self._call(self._models.GetModelStatus, request).model_version_status
        ]

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def _call(self, method: Any, request: Any) -> Any:
        request.model_spec.name = self._target.model
        if self._target.version is not None:
            request.model_spec.version.value = self._target.version
        elif self._target.label is not None:
            request.model_spec.version_label = self._target.label
        try:
            return method(request, timeout=self._timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            code = error.code().name
            if code == "UNAVAILABLE":
                raise ServerError(
                    f"no server can be reached at {self._target.address} by gRPC"
                    f"{' with TLS' if self._target.has_tls else ''}: check the address, which is "
                    "not that of the REST port, or start one with python -m serving.serve",
                    code,
                ) from None
            if code == "DEADLINE_EXCEEDED":
                raise ServerError(
                    f"{self._target} did not answer within {self._timeout:g} s", code
                ) from None
            raise ServerError(self._target.refusal(error.details() or ""), code) from None


def _types(tensors: Any) -> dict[str, str]:
    return {name: types_pb2.DataType.Name(info.dtype) for name, info in tensors.items()}


def _encoded(array: np.ndarray) -> np.ndarray:
    if array.dtype != object:
        return array
    return _mapped(array, lambda text: text.encode())


def _decoded(name: str, proto: Any) -> np.ndarray:
    kind = types_pb2.DataType.Name(proto.dtype)
    if kind not in NUMPY_TYPES:
        raise ServerError(f"the output {name!r} has the type {kind}, which has no array", "UNKNOWN")
    array = proto_tensors.decode_tensor(name, proto, InputSpec(np.dtype(NUMPY_TYPES[kind]), kind))
    if array.dtype != object or name.endswith("_bytes"):
        return array
    try:
        return _mapped(array, lambda data: data.decode())
    except UnicodeDecodeError:
        raise ServerError(f"the output {name!r} holds text that is not UTF-8", "UNKNOWN") from None


def _mapped(array: np.ndarray, convert: Any) -> np.ndarray:
    result = np.empty(array.shape, object)
    result[...] = np.frompyfunc(convert, 1, 1)(array)
    return result
