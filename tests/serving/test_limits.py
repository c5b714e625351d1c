"""Limits of requests and connections: bytes, time, and what one client can do to the others."""

import contextlib
import json
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tensorflow as tf
from served import everything, request_bytes, wait_for
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.errors import Code, ServingError
from serving.servable import Servable

MODEL = "/v1/models/half_plus_two"
PATH = f"{MODEL}:predict"
LIMIT = 2**20  # --max_request_bytes of the shared servers


def peak_bytes(server):
    """The largest resident memory that the process has had."""
    with open(f"/proc/{server.process.pid}/status") as file:
        return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", file.read())[1])


def requests_logged(server, **fields):
    return [
        event
        for event in server.events()
        if event["event"] == "request" and fields.items() <= event.items()
    ]


# Bytes


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("POST", "/page/known"),
        ("POST", "/v2/models/half_plus_two/infer"),
        ("POST", "/nowhere"),
        ("GET", "/page/model"),
        ("POST", f"{MODEL}:classify"),
    ],
)
def test_no_route_reads_beyond_the_limit(server, verb, path):
    before = peak_bytes(server)
    status, answer = server.ask(verb, path, b'["a",' + b" " * 100 * 2**20 + b'"b"]')
    assert status == 413
    assert answer == {"error": f"The body has more than {LIMIT} bytes (--max_request_bytes)"}
    assert peak_bytes(server) - before < 32 * 2**20


# Time of the interpreter


def bodies():
    """Bodies within the limit that take a parser as long as can be."""
    size = LIMIT - 100
    yield b'{"inputs":[' + b"[]," * (size // 3) + b"[]]}"
    yield b'{"inputs":[' + b'{"":1},' * (size // 7) + b"{}]}"
    yield b'{"inputs":[' + b"[]," * 32_000 + b"[]]}"
    yield b'{"inputs":[' + b'{"":1},' * 32_000 + b"{}]}"
    yield b"{" + b",".join(b'"%x":1' % key for key in range(65_000)) + b"}"
    yield b'{"inputs":[' + b"0.25," * 65_000 + b"1]}"
    yield b'{"inputs":["' + b"\\u00e9" * (size // 6) + b'"]}'
    yield b'{"inputs":[' + b"9" * (size - 20) + b"]}"


def test_no_body_keeps_the_others_waiting(server):
    """While each body is refused, another client gets answers, many in all."""
    stop, answers = threading.Event(), []

    def ask():
        while not stop.is_set():
            answers.append(server.predict({"instances": [0]}))

    other = threading.Thread(target=ask)
    other.start()
    try:
        for body in bodies():
            before = len(answers)
            assert len(body) <= LIMIT
            assert server.predict(body)[0] == 400
            wait_for(lambda before=before: len(answers) > before, "answer to the other client")
    finally:
        stop.set()
        other.join()
    assert set(map(str, answers)) == {str((200, {"predictions": [3.0]}))}
    assert len(answers) > len(list(bodies()))


# Time of the model


def slow(rounds):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "half_plus_two"
    request.model_spec.signature_name = "slow"
    request.inputs["rounds"].CopyFrom(tf.make_tensor_proto(np.int32([rounds])))
    return request


def test_a_request_does_not_wait_for_slow_ones(server):
    """Three requests of many seconds each, and quick ones with a deadline of their own."""
    with (
        grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel,
        ThreadPoolExecutor(3) as threads,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        calls = [threads.submit(stub.Predict, slow(10**6 + each), timeout=5) for each in range(3)]
        wait_for(lambda: server.in_flight() == 3, "slow requests")
        for _ in range(3):
            assert server.predict({"instances": [0]}) == (200, {"predictions": [3.0]})
        for call in calls:
            with pytest.raises(grpc.RpcError) as caught:
                call.result()
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    # Their work ended with their deadlines: it would take many minutes.
    wait_for(lambda: server.in_flight() == 0, "end of the slow requests")
    assert server.predict({"instances": [0]}) == (200, {"predictions": [3.0]})


def test_tensorflow_stops_at_the_deadline(versions):
    signature = Servable(str(versions / "1"), "m", 1).signature("slow")
    with pytest.raises(ServingError) as caught:
        signature.run({"rounds": np.int32([10**8])}, 0.2)
    assert caught.value.code is Code.DEADLINE_EXCEEDED


# Connections


def test_a_request_behind_a_large_body_loses_no_answer(server):
    large = json.dumps({"instances": [1] * 20, "other": "x" * 70_000}).encode()
    small = b'{"instances": [2]}'
    first, second = request_bytes(PATH, large), request_bytes(PATH, small, "Connection: close")
    for cut in (10, len(second) - 5, len(second)):
        with server.connect() as connection:
            connection.sendall(first + second[:cut])
            data = connection.recv(2**16)
            connection.sendall(second[cut:])
            data += everything(connection)
        assert data.count(b"HTTP/1.1 200 ") == 2
        assert data.endswith(b'{"predictions":[4.0]}')


@pytest.mark.parametrize(
    ("behind", "status"),
    [(b"GARBAGE\r\n\r\n", 400), (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000, 400)],
    ids=["garbage", "long header"],
)
def test_garbage_behind_a_request_loses_no_answer(server, behind, status):
    body = json.dumps({"inputs": [200], "signature_name": "slow"}).encode()
    with server.connect() as connection:
        connection.sendall(request_bytes(PATH, body))
        with contextlib.suppress(ConnectionError):
            connection.sendall(behind)
        data = everything(connection)
    first, second = data.split(b"HTTP/1.1 ")[1:]
    assert first.startswith(b"200 ") and second.startswith(b"%d " % status)


def test_a_half_closed_client_gets_its_answers(server):
    body = json.dumps({"inputs": [200], "signature_name": "slow"}).encode()
    with server.connect() as connection:
        connection.sendall(request_bytes(PATH, body) + request_bytes(PATH, b'{"instances": [2]}'))
        connection.shutdown(socket.SHUT_WR)
        data = everything(connection)
    assert data.count(b"HTTP/1.1 200 ") == 2 and data.endswith(b'{"predictions":[4.0]}')


def test_an_answer_that_nobody_reads_ends_the_connection(server):
    body = json.dumps({"inputs": [1.5] * 60_000, "signature_name": "flat"}).encode()
    before = peak_bytes(server)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**12)
        connection.connect(("127.0.0.1", server.rest))
        connection.settimeout(5)
        address = f"127.0.0.1:{connection.getsockname()[1]}"
        with contextlib.suppress(TimeoutError, ConnectionError):
            for _ in range(200):
                connection.sendall(request_bytes(PATH, body))
        error = "The client read no response for 2 s"
        wait_for(lambda: requests_logged(server, peer=address, error=error), "line in the log")
    assert peak_bytes(server) - before < 64 * 2**20


# The log and the counts


def counted(server, status):
    page = server.raw("GET", "/monitoring/prometheus/metrics")[2].decode()
    pattern = rf'request_count{{model_name="\w*",status="{status}"}} (\d+)'
    return sum(map(int, re.findall(pattern, page)))


@pytest.mark.parametrize(
    ("sent", "status", "error"),
    [
        (b"GARBAGE\r\n\r\n", "INVALID_ARGUMENT", "Malformed request: Invalid HTTP request"),
        (b"GET /v1/foo HTTP/1.1\r\n\r\n", "INVALID_ARGUMENT", "Malformed request: GET /v1/foo"),
        (b"GET / HTTP/1.1\r\n", "DEADLINE_EXCEEDED", "did not arrive within 2 s"),
        (request_bytes("/page/known", b" " * (LIMIT + 1)), "INVALID_ARGUMENT", "more than"),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "INVALID_ARGUMENT", "evil.example"),
    ],
    ids=["no HTTP", "no route", "408", "413", "host"],
)
def test_refused_requests_are_logged_and_counted(server, sent, status, error):
    before = counted(server, status)
    with server.connect() as connection:
        address = f"127.0.0.1:{connection.getsockname()[1]}"
        connection.sendall(sent)
        assert connection.recv(2**16).startswith(b"HTTP/1.1 4")
    (event,) = wait_for(lambda: requests_logged(server, peer=address), "line in the log")
    assert event["status"] == status and error in event["error"]
    assert counted(server, status) > before


@pytest.mark.parametrize(
    ("verb", "path", "api"),
    [("GET", MODEL, "GetModelStatus"), ("GET", f"{MODEL}/metadata", "GetModelMetadata")],
)
def test_status_and_metadata_are_logged(server, verb, path, api):
    before = len(requests_logged(server, api=api, model="half_plus_two"))
    assert server.ask(verb, path)[0] == 200
    wait_for(
        lambda: len(requests_logged(server, api=api, model="half_plus_two")) > before,
        "line in the log",
    )
    assert re.match(r"127\.0\.0\.1:\d+$", requests_logged(server, api=api)[-1]["peer"])


def test_the_log_has_one_schema_for_any_text(server):
    server.ask("POST", "/v1/models/%ed%a0%80:predict", b'{"instances": [1]}')
    server.predict(b'{"instances": [1], "signature_name": "\\ud800"}')
    server.predict({"instances": [1], "signature_name": "none"})
    for event in server.events():
        if event["event"] == "request":
            assert isinstance(event["micros"], int) and isinstance(event["status"], str)


# Hosts


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.1:8501", 200),
        ("[::1]:8501", 200),
        ("192.0.2.7", 200),
        ("evil.example", 400),
        ("localhost.evil.example:80", 400),
    ],
)
def test_names_of_other_hosts_do_not_reach_a_local_server(server, host, status):
    for path in ("/", "/page/model", MODEL):
        assert server.raw("GET", path, headers={"Host": host})[0] == status


# gRPC


def test_bytes_that_are_no_message_are_an_invalid_argument(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"\xff\xff\xff", timeout=60)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "The request is no tensorflow.serving.PredictRequest"
