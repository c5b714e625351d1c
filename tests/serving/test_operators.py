"""What operators expect: TLS, a token, CORS, probes, several models and a log of requests.

One process serves two models from a file of models, over TLS and to clients with the token.
"""

import base64
import contextlib
import dataclasses
import http.client
import shutil
import signal
import ssl
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
import trustme
from commands import run
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from served import Served, serve_flags, wait_for
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

import serving
from serving.servable import Servable

TOKEN = "correct-horse-battery-staple"
ORIGIN = "https://shop.example"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
METADATA = [("authorization", f"Bearer {TOKEN}")]
CONFIG = """
model_config_list {{
  config {{
    name: "first" base_path: "{base}" model_platform: "tensorflow"
    model_version_policy {{ latest {{ num_versions: {count} }} }}
    version_labels {{ key: "old" value: 1 }}
  }}
  config {{ name: "second" base_path: "file://{base}" model_version_policy {{ {second} }} }}
}}
"""


@dataclasses.dataclass
class Secured(Served):
    """A server over TLS; requests have the token unless they say otherwise."""

    ca: Path = Path()
    base: Path = Path()

    def connection(self):
        context = ssl.create_default_context(cafile=str(self.ca))
        return http.client.HTTPSConnection("127.0.0.1", self.rest, timeout=120, context=context)

    def raw(self, verb, path, body=None, headers=BEARER):
        return super().raw(verb, path, body, headers)

    def channel(self):
        credentials = grpc.ssl_channel_credentials(self.ca.read_bytes())
        return grpc.secure_channel(f"127.0.0.1:{self.grpc}", credentials)

    @property
    def config(self):
        return self.base.parent / "models.config"

    def write_config(self, count=2, second="specific { versions: 1 }"):
        self.config.write_text(CONFIG.format(base=self.base, count=count, second=second))

    def health(self, service=""):
        with self.channel() as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service=service)
            return stub.Check(request, timeout=60).status


@pytest.fixture(scope="module")
def secured(versions, tmp_path_factory):
    root = tmp_path_factory.mktemp("secured")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(root / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    certificate.private_key_pem.write_to_path(root / "key.pem")
    for number, pem in enumerate(certificate.cert_chain_pems):
        pem.write_to_path(root / "certificate.pem", append=number > 0)
    (root / "token").write_text(f"{TOKEN}\n")
    base = root / "models"
    shutil.copytree(versions, base)
    made = Secured(None, "first", 0, 0, root / "log", root / "ca.pem", base)
    made.write_config()
    started = serve_flags(
        root / "log",
        *("--model_config_file", made.config, "--model_config_file_poll_wait_seconds", "0.1"),
        *("--tls_certificate_file", root / "certificate.pem"),
        *("--tls_key_file", root / "key.pem"),
        *("--token_file", root / "token", "--cors_origins", ORIGIN),
        *("--request_log_prefix", root / "requests", "--request_log_sampling_rate", "1"),
        *("--shutdown_delay_seconds", "4", "--file_system_poll_wait_seconds", "0.1"),
        *("--enable_batching=false", "--rest_api_timeout_in_ms=20000", "--host", "localhost"),
    )
    made.process, made.rest, made.grpc = started.process, started.rest, started.grpc
    wait_for(lambda: answers(made), "server")
    yield made
    made.process.kill()


def answers(server):
    assert server.process.poll() is None, server.log.read_text("utf-8")
    with contextlib.suppress(ConnectionRefusedError):
        return server.raw("GET", "/readyz", headers={})[0] == 200


# Several models


def test_both_models_are_served(secured):
    for name, where, bias in (
        ("first", "", 3.0),
        ("first", "/versions/1", 2.0),
        ("first", "/labels/old", 2.0),
        ("second", "", 2.0),
    ):
        path = f"/v1/models/{name}{where}:predict"
        assert secured.post(path, {"instances": [0]}) == (200, {"predictions": [bias]})
    assert secured.ask("GET", "/page/model")[1]["models"] == ["first", "second"]
    assert secured.ask("GET", "/page/model?model=second")[1]["name"] == "second"
    assert secured.post("/v1/models/third:predict", {"instances": [0]})[0] == 404
    second = secured.ask("GET", "/v1/models/second/versions/2")
    assert second == (404, {"error": "Could not find version 2 of model second"})


def test_a_changed_file_is_applied_and_a_wrong_one_changes_nothing(secured):
    def events(kind):
        return [event for event in secured.events() if event["event"] == kind]

    failures = len(events("config_failed"))
    secured.config.write_text("model_config_list { config { name: 'first' } }")
    wait_for(lambda: len(events("config_failed")) > failures, "error in the log")
    assert "has no name or no base_path" in events("config_failed")[-1]["error"]
    secured.write_config(second="specific { versions: 9 }")
    wait_for(lambda: len(events("config_failed")) > failures + 1, "error in the log")
    assert "version 9 of model second is not available" in events("config_failed")[-1]["error"]
    assert secured.post("/v1/models/second:predict", {"instances": [0]})[1]["predictions"] == [2]
    secured.write_config(second="all {}")
    ask = ("/v1/models/second:predict", {"instances": [0]})
    wait_for(lambda: secured.post(*ask)[1] == {"predictions": [3.0]}, "the new policy")
    secured.write_config()
    wait_for(lambda: secured.post(*ask)[1] == {"predictions": [2.0]}, "the old policy")


def test_reload_replaces_the_models(secured):
    path = "/v1/models/{}:predict"
    with secured.channel() as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        request = model_management_pb2.ReloadConfigRequest()
        models = request.config.model_config_list.config
        models.add(name="third", base_path=str(secured.base))
        stub.HandleReloadConfigRequest(request, timeout=60, metadata=METADATA)
        assert secured.post(path.format("third"), {"instances": [0]})[1] == {"predictions": [3.0]}
        assert secured.post(path.format("first"), {"instances": [0]})[0] == 404
        # A model that cannot be served changes nothing.
        models.add(name="fourth", base_path=str(secured.base / "nowhere"))
        with pytest.raises(grpc.RpcError) as caught:
            stub.HandleReloadConfigRequest(request, timeout=60, metadata=METADATA)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert secured.post(path.format("third"), {"instances": [0]})[0] == 200
        del models[:]
        models.add(name="first", base_path=str(secured.base)).version_labels["old"] = 1
        models.add(name="second", base_path=f"file://{secured.base}")
        models[1].model_version_policy.specific.versions.append(1)
        stub.HandleReloadConfigRequest(request, timeout=60, metadata=METADATA)
    assert secured.post(path.format("second"), {"instances": [0]})[1] == {"predictions": [2.0]}
    calls = [e for e in secured.events() if e.get("api") == "HandleReloadConfigRequest"]
    assert [call["status"] for call in calls] == ["OK", "FAILED_PRECONDITION", "OK"]


# Token


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": TOKEN},
        {"Authorization": "Basic !"},
    ],
)
def test_requests_need_the_token(secured, header):
    for path in ("/", "/page/model", "/v1/models/first", "/v2/models/first", "/openapi.json"):
        status, headers, _ = secured.raw("GET", path, headers=header)
        assert status == 401 and "www-authenticate" in headers


def test_a_browser_may_send_the_token_as_a_password(secured):
    value = base64.b64encode(f"anyone:{TOKEN}".encode()).decode()
    assert secured.raw("GET", "/", headers={"Authorization": f"Basic {value}"})[0] == 200


def test_grpc_needs_the_token(secured):
    with secured.channel() as channel:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "first"
        request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.float32([0])))
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        assert predict(request, timeout=60, metadata=METADATA).outputs["y"].float_val == [3.0]
        models = model_service_pb2_grpc.ModelServiceStub(channel)
        for call, message in (
            (predict, request),
            (models.GetModelStatus, get_model_status_pb2.GetModelStatusRequest()),
            (models.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest()),
        ):
            for metadata in ([], [("authorization", "Bearer wrong")]):
                with pytest.raises(grpc.RpcError) as caught:
                    call(message, timeout=60, metadata=metadata)
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_page_of_an_allowed_origin_may_ask(secured):
    headers = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    path = "/v1/models/first:predict"
    status, answer, _ = secured.raw("OPTIONS", path, headers=headers)
    assert status == 200 and answer["access-control-allow-origin"] == ORIGIN
    _, answer, _ = secured.raw("GET", "/v1/models/first", headers={**BEARER, "Origin": ORIGIN})
    assert answer["access-control-allow-origin"] == ORIGIN
    other = {**headers, "Origin": "https://evil.example"}
    assert "access-control-allow-origin" not in secured.raw("OPTIONS", path, headers=other)[1]


# The client


def test_the_client_speaks_tls_and_has_the_token(secured):
    access = {
        "token_file": str(secured.log.parent / "token"),
        "ca_file": str(secured.ca),
    }
    for url in (
        f"https://127.0.0.1:{secured.rest}/v1/models/first",
        f"grpcs://127.0.0.1:{secured.grpc}/first",
    ):
        with serving.Client(url, timeout=60, **access) as client:
            assert client.predict("serving_default", {"x": [1.0]})["y"] == [3.5]
        with (
            serving.Client(url, timeout=60, ca_file=access["ca_file"]) as client,
            pytest.raises(serving.ServerError, match="Authorization: Bearer TOKEN"),
        ):
            client.status()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://127.0.0.1:{rest}/v1/models/first", "TLS with 127.0.0.1:{rest} fails"),
        ("http://127.0.0.1:{rest}/v1/models/first", "does not answer by HTTP"),
        ("grpcs://127.0.0.1:{grpc}/first", "no server can be reached"),
        ("grpc://127.0.0.1:{grpc}/first", "no server can be reached"),
        ("http://127.0.0.1:{grpc}/v1/models/first", "is this the gRPC port"),
        ("grpcs://127.0.0.1:{rest}/first", "which is not that of the REST port"),
    ],
)
def test_an_address_that_speaks_something_else_is_one_sentence(secured, url, message):
    ports = {"rest": secured.rest, "grpc": secured.grpc}
    outcome = run("serving.query", "--url", url.format(**ports), "--session", "a", "--timeout", "5")
    assert message.format(**ports) in outcome.sentence()


# Probes


def test_probes_need_no_token(secured):
    for path in ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"):
        assert secured.raw("GET", path, headers={})[0] == 200
    serving_status = health_pb2.HealthCheckResponse.SERVING
    for service in ("", "tensorflow.serving.PredictionService", "inference.GRPCInferenceService"):
        assert secured.health(service) == serving_status


def test_reflection_lists_the_services(secured):
    with secured.channel() as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = stub.ServerReflectionInfo(iter([request]), timeout=60, metadata=METADATA)
        names = {each.name for each in answer.list_services_response.service}
        assert {
            "tensorflow.serving.PredictionService",
            "tensorflow.serving.ModelService",
            "inference.GRPCInferenceService",
            "grpc.health.v1.Health",
        } <= names
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.ServerReflectionInfo(iter([request]), timeout=60))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


# The end of the process: the last test of this file


def test_a_draining_server_is_not_ready_but_answers_and_its_log_warms_up(secured, versions):
    secured.post("/v1/models/first:predict", {"instances": [4.0]})
    started = time.monotonic()
    secured.process.send_signal(signal.SIGTERM)
    wait_for(lambda: secured.raw("GET", "/readyz")[0] == 503, "draining")
    assert secured.raw("GET", "/healthz")[0] == 200
    assert secured.raw("GET", "/v2/health/ready")[0] == 503
    assert secured.health() == health_pb2.HealthCheckResponse.NOT_SERVING
    assert secured.post("/v1/models/first:predict", {"instances": [0]})[0] == 200
    assert secured.process.wait(60) == 0
    assert time.monotonic() - started >= 4
    assert not [event for event in secured.events() if "traceback" in event]
    root = secured.log.parent
    assert not list(root.glob("requests.*.part"))
    path = root / "requests.first.0"
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record)
        for record in tf.compat.v1.io.tf_record_iterator(str(path))
    ]
    values = [log.predict_log.request.inputs["x"].float_val for log in logs]
    assert [4.0] in values and len(logs) > 3
    assert logs[0].log_metadata.sampling_config.sampling_rate == 1
    assert (root / "requests.second.0").exists()
    # As they are, they are warm-up requests of a version.
    version = root / "warm" / "1"
    shutil.copytree(versions / "1", version)
    (version / "assets.extra").mkdir(exist_ok=True)
    shutil.copy(path, version / "assets.extra" / "tf_serving_warmup_requests")
    Servable(str(version), "m", 1).retire()
