"""Versions that appear and vanish, and the shutdown of a server."""

import json
import shutil
import signal
import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from served import request_bytes, serve, wait_for
from tensorflow_serving.apis import (
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
)

from serving.errors import Code, ServingError
from serving.servable import WARMUP_FILE, Servable

FAST = ("--file_system_poll_wait_seconds", "0.1")


def publish(saved, base, version):
    """Put a version into place atomically, as an export does."""
    shutil.copytree(saved, base / f".{version}.tmp")
    (base / f".{version}.tmp").rename(base / str(version))


class Load(threading.Thread):
    """A client that sends requests all the time; `answers` are the distinct ones, in order."""

    def __init__(self, server):
        super().__init__()
        self._server = server
        self._stop_now = threading.Event()
        self.answers = []
        self.count = 0

    def run(self):
        while not self._stop_now.is_set():
            answer = self._server.predict({"instances": [0]})
            self.count += 1
            if answer not in self.answers:
                self.answers.append(answer)

    def finish(self):
        self._stop_now.set()
        self.join()


def plus(bias):
    return (200, {"predictions": [bias]})


@pytest.mark.slow
def test_new_corrupt_repaired_and_removed_versions(base, versions, tmp_path):
    """One server, killed and restarted once."""
    server = serve(base, tmp_path / "log", *FAST)
    # A connection is refused until the server answers.
    with wait_for(lambda: accepted(server), "server") as connection:
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(2**16).startswith(b"HTTP/1.1 200 ")
        assert any(event["event"] == "serving" for event in server.events())
    load = Load(server)
    load.start()
    try:
        publish(versions / "2", base, 2)
        wait_for(lambda: server.predict({"instances": [0]}) == plus(3.0), "version 2")
        wait_for(lambda: server.states()["1"] == ("END", "OK"), "end of version 1")
        # A new version that is corrupt leaves the old one serving, and says why.
        (base / "3").mkdir()
        (base / "3" / "saved_model.pb").write_bytes(b"not a SavedModel")
        wait_for(lambda: server.states().get("3", ("",))[0] == "END", "failure of version 3")
        _, answer = server.ask("GET", "/v1/models/half_plus_two/versions/3")
        (entry,) = answer["model_version_status"]
        assert entry["status"]["error_code"] != "OK" and entry["status"]["error_message"]
        assert server.predict({"instances": [0]}) == plus(3.0)
        assert server.states()["2"] == ("AVAILABLE", "OK")
        # Once repaired, it is loaded.
        shutil.rmtree(base / "3")
        publish(versions / "1", base, 3)
        wait_for(lambda: server.states()["3"] == ("AVAILABLE", "OK"), "version 3")
        assert server.predict({"instances": [0]}) == plus(2.0)
        # Its removal restores the previous one; without any version, the last one remains.
        shutil.rmtree(base / "3")
        wait_for(lambda: server.predict({"instances": [0]}) == plus(3.0), "version 2 again")
        shutil.rmtree(base / "2")
        shutil.rmtree(base / "1")
        wait_for(lambda: any(e["event"] == "no_versions" for e in server.events()), "warning")
        assert server.predict({"instances": [0]}) == plus(3.0)
    finally:
        load.finish()
    # No request was dropped, and each got the answer of a version.
    assert load.count > 10 and load.answers == [plus(2.0), plus(3.0)]
    assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    # After a kill, a server starts in spite of a corrupt latest version.
    publish(versions / "1", base, 1)
    (base / "9").mkdir()
    again = serve(base, tmp_path / "log", *FAST)
    wait_for(again.is_ready, "server")
    assert again.predict({"instances": [0]}) == plus(2.0)
    assert again.states()["9"] == ("END", "NOT_FOUND")
    drain(again)


def accepted(server):
    """A connection to a server, None while it accepts none."""
    assert server.process.poll() is None
    try:
        return server.connect()
    except ConnectionRefusedError:
        return None


def slow(rounds):
    """The body of a request that takes at least half a millisecond a round."""
    return {"inputs": [rounds], "signature_name": "slow"}


def slow_over_grpc(channel, rounds):
    call = channel.unary_unary(
        "/tensorflow.serving.PredictionService/Predict",
        request_serializer=predict_pb2.PredictRequest.SerializeToString,
        response_deserializer=predict_pb2.PredictResponse.FromString,
    )
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "half_plus_two"
    request.model_spec.signature_name = "slow"
    request.inputs["rounds"].CopyFrom(tf.make_tensor_proto(np.int32([rounds])))
    return call.future(request, timeout=60)


def drain(server):
    """SIGTERM: requests in flight are finished, new ones refused, and the exit code is 0."""
    body = json.dumps(slow(600)).encode()
    with (
        server.connect() as connection,
        server.connect() as half,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel,
    ):
        connection.sendall(request_bytes("/v1/models/half_plus_two:predict", body))
        half.sendall(request_bytes("/v1/models/half_plus_two:predict", body)[:-1])
        over_grpc = slow_over_grpc(channel, 600)
        wait_for(lambda: server.in_flight() == 2, "two requests in flight")
        server.process.send_signal(signal.SIGTERM)
        # Half a request cannot become complete any more.
        assert half.recv(2**16).startswith(b"HTTP/1.1 503 ")
        assert connection.recv(2**16).startswith(b"HTTP/1.1 200 ")
        assert len(over_grpc.result().outputs["y"].float_val) == 1
    assert server.process.wait(60) == 0
    assert server.events()[-1]["event"] == "stopped"
    assert not [event for event in server.events() if "traceback" in event]
    with pytest.raises(OSError):
        server.connect()


@pytest.fixture(scope="module")
def narrow(versions, tmp_path_factory):
    """A server with a queue of one request and a timeout that two requests meet together."""
    server = serve(
        versions,
        tmp_path_factory.mktemp("narrow") / "log",
        *("--no-enable_batching", "--max_enqueued_batches", "1", "--request_timeout", "6"),
        *("--max_batch_threads", "1"),
    )
    wait_for(server.is_ready, "server")
    yield server
    assert server.stop() == 0


def test_labels_and_versions_can_be_changed_while_serving(narrow, versions):
    with grpc.insecure_channel(f"127.0.0.1:{narrow.grpc}") as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        request = model_management_pb2.ReloadConfigRequest()
        config = request.config.model_config_list.config.add(
            name="half_plus_two", base_path=str(versions)
        )
        config.model_version_policy.specific.versions.extend([1, 2])
        config.version_labels["old"] = 1
        assert stub.HandleReloadConfigRequest(request, timeout=60).status.error_code == 0
        assert narrow.predict({"instances": [0]}, "/labels/old") == plus(2.0)
        # A policy that cannot be applied completely changes nothing.
        del config.version_labels["old"]
        config.model_version_policy.specific.versions[:] = [2]
        config.version_labels["future"] = 7
        with pytest.raises(grpc.RpcError) as caught:
            stub.HandleReloadConfigRequest(request, timeout=60)
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert narrow.predict({"instances": [0]}, "/labels/old") == plus(2.0)


def test_a_full_queue_and_a_deadline(narrow):
    statuses = []
    waiting = []
    for count in (1, 2):
        thread = threading.Thread(target=lambda: statuses.append(narrow.predict(slow(20_000))[0]))
        thread.start()
        waiting.append(thread)
        wait_for(lambda count=count: narrow.in_flight() == count, "request in flight")
    status, answer = narrow.predict({"instances": [0]})
    assert status == 429 and "queue" in answer["error"]
    with (
        grpc.insecure_channel(f"127.0.0.1:{narrow.grpc}") as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        slow_over_grpc(channel, 1).result()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    for thread in waiting:
        thread.join()
    assert statuses == [504, 504]
    # Requests dropped from the queue are not run, so that the next one gets its turn.
    wait_for(lambda: narrow.predict({"instances": [0]})[0] == 200, "free queue")


def warm_up(version, signature, value):
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = signature
    log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto([value]))
    path = version / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(log.SerializeToString())


def test_warm_up_requests_are_run_and_a_failing_one_fails_the_version(base):
    warm_up(base / "1", "root", 4.0)
    Servable(str(base / "1"), "m", 1).retire()
    for signature, value, code in (
        ("root", -1.0, Code.INVALID_ARGUMENT),
        ("absent", 1.0, Code.FAILED_PRECONDITION),
    ):
        warm_up(base / "1", signature, value)
        with pytest.raises(ServingError) as caught:
            Servable(str(base / "1"), "m", 1)
        assert caught.value.code is code
        assert f"{base / '1' / WARMUP_FILE}, request 1 " in caught.value.message
    (base / "1" / WARMUP_FILE).write_bytes(b"no TFRecords")
    with pytest.raises(ServingError, match="tf_serving_warmup_requests is no TFRecord file"):
        Servable(str(base / "1"), "m", 1)


@pytest.fixture(scope="module")
def half_plus_two_1(versions):
    return Servable(str(versions / "1"), "m", 1)


def test_a_version_in_use_is_unloaded_after_its_last_use(base):
    servable = Servable(str(base / "1"), "m", 1)
    servable.acquire()
    servable.retire()
    outputs = servable.signature("").run({"x": np.float32([1])})
    assert outputs["y"] == [2.5]
    assert not servable.closed
    servable.release()
    assert servable.closed


@pytest.mark.parametrize(
    ("signature", "batches"),
    [("serving_default", True), ("slow", True), ("constant", False), ("pair", False)],
)
def test_only_signatures_with_a_batch_dimension_merge(half_plus_two_1, signature, batches):
    assert half_plus_two_1.signature(signature).batches is batches


def test_a_saved_model_without_signatures_is_refused(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "1"))
    with pytest.raises(ServingError, match="no signature to serve"):
        Servable(str(tmp_path / "1"), "m", 1)


def test_a_saved_model_that_lacks_its_variables_is_refused(base):
    shutil.rmtree(base / "1" / "variables")
    with pytest.raises(ServingError):
        Servable(str(base / "1"), "m", 1)
