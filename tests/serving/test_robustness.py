"""Clients that misbehave: the server remains up and serves the others."""

import contextlib
import json
import re
import threading

import pytest
from served import everything, request_bytes, wait_for

PATH = "/v1/models/half_plus_two:predict"
LINE = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]*)((?:\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\.)*",?)+\})?) (\S+)'
)
GOOD = b'{"instances": [1.0]}'


@pytest.fixture(autouse=True)
def others_are_served(server):
    """A second client, which sends valid requests during each test."""
    stop, failures = threading.Event(), []

    def ask():
        while not stop.is_set():
            status, answer = server.predict({"instances": [1]})
            if (status, answer) != (200, {"predictions": [3.5]}):
                failures.append((status, answer))

    thread = threading.Thread(target=ask)
    thread.start()
    yield
    stop.set()
    thread.join()
    assert not failures
    assert server.process.poll() is None


def test_a_client_that_disconnects(server):
    whole = request_bytes(PATH, GOOD)
    for sent in (b"", b"POST", whole[: len(whole) // 2], whole[:-1], whole):
        for _ in range(5):
            with server.connect() as connection:
                connection.sendall(sent)


def test_slow_and_silent_clients_time_out(server):
    whole = request_bytes(PATH, GOOD)
    with server.connect() as slow, server.connect() as silent:

        def trickle():
            with contextlib.suppress(OSError):
                for number in range(len(whole)):
                    slow.sendall(whole[number : number + 1])
                    if stopped.wait(0.2):
                        return

        stopped = threading.Event()
        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            # --read_timeout is two seconds, and the request takes much longer.
            assert everything(slow).startswith(b"HTTP/1.1 408 ")
            assert everything(silent).startswith(b"HTTP/1.1 408 ")
        finally:
            stopped.set()
            thread.join()


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_of_100_megabytes(server, declared):
    size = 100 * 2**20
    length = f"Content-Length: {size}" if declared else "Transfer-Encoding: chunked"
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n".encode()
    piece = b" " * 2**20
    with server.connect() as connection:
        connection.sendall(head)
        for _ in range(size // len(piece)):
            connection.sendall(piece if declared else b"100000\r\n" + piece + b"\r\n")
        if not declared:
            connection.sendall(b"0\r\n\r\n")
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert error == "The body has more than 1048576 bytes (--max_request_bytes)"


def test_expect_100_continue_with_too_large_a_body(server):
    body = request_bytes(PATH, b"", "Expect: 100-continue").replace(b": 0\r", b": 104857600\r")
    with server.connect() as connection:
        connection.sendall(body)
        assert everything(connection).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 500_000 + b"]" * 500_000,
        b'{"instances": ' + b"[" * 500_000 + b"]" * 500_000 + b"}",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"instances": ' + b"[" * 900 + b"1" + b"]" * 900 + b"}",
        b'{"instances": ["\xc3\x28"]}',
        b'{"instances": [' + b"9" * 300_000 + b"]}",
        b"\x00" * 1000,
    ],
    ids=["brackets", "instances", "objects", "rank 900", "utf-8", "digits", "zeros"],
)
def test_a_hostile_body(server, body):
    status, answer = server.predict(body)
    assert status == 400 and list(answer) == ["error"]
    assert len(answer["error"]) < 1000


@pytest.mark.parametrize(
    "sent",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"POST / HTTP/1.1\r\nContent-Length: minus\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
    ],
    ids=["no request", "TLS", "length", "long head"],
)
def test_bytes_that_are_not_http(server, sent):
    with server.connect() as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
        assert re.match(rb"HTTP/1.1 400 |$", everything(connection))


def test_many_idle_connections(server):
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(server.connect())
        assert server.predict(GOOD)[0] == 200


def test_metrics_and_log(server):
    server.predict({"instances": ["a"]})
    server.ask("POST", '/v1/models/un"known:predict', GOOD)
    status, headers, body = server.raw("GET", "/monitoring/prometheus/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain; version=0.0.4")
    values = {}
    for line in body.decode().splitlines():
        if not line.startswith("#"):
            found = LINE.fullmatch(line)
            assert found, line
            values[found[1] + found[2]] = float(found[3])
    counted = ':tensorflow:serving:request_count{model_name="half_plus_two",status="%s"}'
    assert values[counted % "OK"] >= 1 and values[counted % "INVALID_ARGUMENT"] >= 1
    latency = (
        ':tensorflow:serving:request_latency_%s{model_name="half_plus_two",API="Predict",'
        'entrypoint="REST",status="OK"%s}'
    )
    assert values[latency % ("count", "")] == values[latency % ("bucket", ',le="+Inf"')]

    def logged():
        events = [event for event in server.events() if event["event"] == "request"]
        return [event for event in events if event["status"] == "INVALID_ARGUMENT"]

    event = wait_for(logged, "line in the log")[-1]
    assert event["level"] == "info" and event["entrypoint"] == "REST"
    assert event["model"] == "half_plus_two" and event["micros"] >= 0 and event["error"]
