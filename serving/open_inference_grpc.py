"""The Open Inference Protocol (V2) over gRPC."""

from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np

from serving import open_inference as v2
from serving.errors import invalid
from serving.grpc_methods import Method, add_service
from serving.open_inference_pb2 import (
    DESCRIPTOR,
    InferParameter,
    ModelInferResponse,
    ModelMetadataResponse,
    ModelReadyResponse,
    ServerLiveResponse,
    ServerMetadataResponse,
    ServerReadyResponse,
)
from serving.predictor import Predictor
from serving.servable import Signature
from serving.tensors import Tensors, elements
from serving.threads import LARGE_BYTES, LARGE_ELEMENTS, offload_if

SERVICE = "inference.GRPCInferenceService"

# The field of the contents that has the values of a type; FP16 is raw only.
_FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def add_open_inference(server: grpc.aio.Server, predictor: Predictor) -> None:
    """Add the service to a server."""
    service = DESCRIPTOR.services_by_name["GRPCInferenceService"]
    add_service(server, service, OpenInferenceService(predictor).methods(), predictor)


class OpenInferenceService:
    """The methods of GRPCInferenceService.

    Args:
      predictor: Runs the requests.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._models = predictor.models

    def methods(self) -> Mapping[str, Method]:
        """Return the methods by name."""
        return {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._infer,
        }

    async def _live(self, request: Any, context: Any) -> Any:
        return ServerLiveResponse(live=True)

    async def _ready(self, request: Any, context: Any) -> Any:
        return ServerReadyResponse(ready=self._predictor.is_ready)

    async def _model_ready(self, request: Any, context: Any) -> Any:
        with self._models.using(request.name, v2.parse_version(request.version), None):
            return ModelReadyResponse(ready=not self._predictor.is_draining)

    async def _server_metadata(self, request: Any, context: Any) -> Any:
        return ServerMetadataResponse(**v2.SERVER)

    async def _model_metadata(self, request: Any, context: Any) -> Any:
        version = v2.parse_version(request.version)
        with self._models.using(request.name, version, None) as servable:
            versions = [servable.version] if version else self._models.available(request.name)
            return ModelMetadataResponse(**v2.describe(servable, versions))

    async def _infer(self, request: Any, context: Any) -> Any:
        version = v2.parse_version(request.model_version)
        chosen = request.parameters["signature_name"] if request.parameters else InferParameter()
        with self._models.using(request.model_name, version, None) as servable:
            signature = v2.find_signature(servable, chosen.string_param)
            is_large = request.ByteSize() > LARGE_BYTES
            inputs = await offload_if(is_large, lambda: _decode_inputs(request, signature))
            names = [output.name for output in request.outputs]
            remaining = context.time_remaining()
            outputs = await v2.infer(self._predictor, servable, signature, inputs, names, remaining)
        response = ModelInferResponse(
            model_name=servable.name, model_version=str(servable.version), id=request.id
        )
        as_raw = bool(request.raw_input_contents)
        await offload_if(
            elements(outputs) > LARGE_ELEMENTS, lambda: _encode_outputs(outputs, as_raw, response)
        )
        return response


def _decode_inputs(request: Any, signature: Signature) -> Tensors:
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise invalid(
            f"there are {len(raw)} raw_input_contents for {len(request.inputs)} inputs, "
            "expected one for each"
        )
    inputs: Tensors = {}
    for index, tensor in enumerate(request.inputs):
        shape = list(tensor.shape)
        spec = v2.check_tensor(signature, tensor.name, tensor.datatype, shape)
        if raw:
            inputs[tensor.name] = v2.decode_raw(tensor.name, raw[index], spec, shape)
            continue
        field = _FIELDS.get(tensor.datatype)
        if field is None:
            raise invalid(f"the input {tensor.name!r} is {tensor.datatype}: send it raw")
        values = list(getattr(tensor.contents, field))
        try:
            array = v2.objects(values) if spec.dtype == object else np.array(values, spec.dtype)
        except OverflowError:
            raise invalid(
                f"the input {tensor.name!r} has a value outside the range of {tensor.datatype}"
            ) from None
        inputs[tensor.name] = v2.as_shape(tensor.name, array, shape)
    return inputs


def _encode_outputs(outputs: Tensors, as_raw: bool, response: Any) -> None:
    as_raw = as_raw or any(
        v2.DATATYPES[each.dtype.name] not in _FIELDS for each in outputs.values()
    )
    for name, array in outputs.items():
        datatype = v2.DATATYPES[array.dtype.name]
        tensor = response.outputs.add(name=name, datatype=datatype, shape=array.shape)
        if as_raw:
            response.raw_output_contents.append(v2.encode_raw(array))
        else:
            getattr(tensor.contents, _FIELDS[datatype]).extend(array.ravel().tolist())
