"""TensorFlow Serving's PredictionService and ModelService over gRPC."""

from collections.abc import Mapping
from typing import Any

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    model_management_pb2,
    model_service_pb2,
    predict_pb2,
    prediction_service_pb2,
    regression_pb2,
)

from serving import examples
from serving.descriptions import metadata_proto, statuses_proto
from serving.errors import Code, ServingError, invalid
from serving.grpc_methods import Method, add_service
from serving.models import configs_from
from serving.predictor import Predictor
from serving.proto_tensors import decode_inputs, encode_outputs
from serving.servable import DEFAULT_SIGNATURE, Servable
from serving.tensors import Tensors, elements
from serving.threads import LARGE_BYTES, LARGE_ELEMENTS, offload_if

_DESCRIPTORS = (prediction_service_pb2.DESCRIPTOR, model_service_pb2.DESCRIPTOR)
# Full names of the services.
SERVICES = tuple(
    service.full_name
    for descriptor in _DESCRIPTORS
    for service in descriptor.services_by_name.values()
)


def add_services(server: grpc.aio.Server, predictor: Predictor) -> None:
    """Add both services to a server."""
    methods_of_each = (PredictionService(predictor).methods(), ModelService(predictor).methods())
    for descriptor, methods in zip(_DESCRIPTORS, methods_of_each, strict=True):
        (service,) = descriptor.services_by_name.values()
        add_service(server, service, methods, predictor)


class PredictionService:
    """Predict, Classify, Regress and GetModelMetadata; MultiInference is UNIMPLEMENTED.

    Args:
      predictor: Runs the requests.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._models = predictor.models

    def methods(self) -> Mapping[str, Method]:
        """Return the methods by name."""
        return {
            "Predict": self._predict,
            "Classify": self._classify,
            "Regress": self._regress,
            "GetModelMetadata": self._metadata,
        }

    async def _predict(self, request: Any, context: Any) -> Any:
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        with self._models.using(*_model(request)) as servable:
            chosen = request.model_spec.signature_name or DEFAULT_SIGNATURE
            signature = servable.signature(chosen)
            if signature is None:
                raise ServingError(
                    Code.FAILED_PRECONDITION, f'Serving signature key "{chosen}" not found.'
                )
            names = list(request.output_filter)
            _check_filter(names, signature.outputs)
            is_large = request.ByteSize() > LARGE_BYTES
            inputs = await offload_if(
                is_large, lambda: decode_inputs(request.inputs, signature.inputs)
            )
            remaining = context.time_remaining()
            outputs = await self._predictor.run(servable, signature, inputs, remaining)
        response = predict_pb2.PredictResponse()
        _describe(response.model_spec, servable, chosen)
        chosen_outputs = {name: outputs[name] for name in names} if names else outputs
        await offload_if(
            elements(chosen_outputs) > LARGE_ELEMENTS,
            lambda: encode_outputs(chosen_outputs, response.outputs),
        )
        return response

    async def _classify(self, request: Any, context: Any) -> Any:
        response = classification_pb2.ClassificationResponse()
        outputs, batch = await self._run_examples(examples.CLASSIFY, request, response, context)
        for row in examples.classifications(outputs, batch):
            classes = response.result.classifications.add().classes
            for name, score in row:
                # Fields of text hold UTF-8 only.
                classes.add(label=name.decode("utf-8", "backslashreplace"), score=score)
        return response

    async def _regress(self, request: Any, context: Any) -> Any:
        response = regression_pb2.RegressionResponse()
        outputs, batch = await self._run_examples(examples.REGRESS, request, response, context)
        for value in examples.regressions(outputs, batch):
            response.result.regressions.add(value=value)
        return response

    async def _run_examples(
        self, method: examples.Method, request: Any, response: Any, context: Any
    ) -> tuple[Tensors, int]:
        """Run a signature on a request's examples; return the outputs and the batch size."""
        inputs = examples.read_examples(request.input)
        chosen = request.model_spec.signature_name or DEFAULT_SIGNATURE
        with self._models.using(*_model(request)) as servable:
            signature = examples.signature_for(servable, chosen, method)
            remaining = context.time_remaining()
            outputs = await self._predictor.run(servable, signature, inputs, remaining)
        _describe(response.model_spec, servable, chosen)
        return outputs, len(inputs[examples.INPUT])

    async def _metadata(self, request: Any, context: Any) -> Any:
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid(f"Metadata field {field} is not supported")
        with self._models.using(*_model(request)) as servable:
            return metadata_proto(servable)


class ModelService:
    """GetModelStatus, and HandleReloadConfigRequest, which replaces the served models.

    Args:
      predictor: Holds the models.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def methods(self) -> Mapping[str, Method]:
        """Return the methods by name."""
        return {"GetModelStatus": self._status, "HandleReloadConfigRequest": self._reload}

    async def _status(self, request: Any, context: Any) -> Any:
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        return statuses_proto(self._predictor.models.statuses(*_model(request)))

    async def _reload(self, request: Any, context: Any) -> Any:
        await self._predictor.models.reload(configs_from(request.config))
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response


def _model(request: Any) -> tuple[str, int | None, str | None]:
    spec = request.model_spec
    return (
        spec.name,
        spec.version.value if spec.HasField("version") else None,
        spec.version_label or None,
    )


def _describe(model_spec: Any, servable: Servable, signature: str) -> None:
    model_spec.name = servable.name
    model_spec.signature_name = signature
    model_spec.version.value = servable.version


def _check_filter(names: list[str], outputs: tuple[str, ...]) -> None:
    for name in names:
        if name not in outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} "
                f"Outputs expected to be in the set {{{','.join(outputs)}}}."
            )
        if names.count(name) > 1:
            raise invalid(f"duplicate output tensor alias: {name}")
