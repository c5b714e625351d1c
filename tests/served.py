"""A server process, and models for it."""

import atexit
import contextlib
import dataclasses
import http.client
import json
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import tensorflow as tf
from commands import start
from tensorflow.core.protobuf import saved_model_pb2

TIMEOUT = 120.0


def wait_for(condition, what):
    """Poll until `condition()` is true, and return its value."""
    deadline = time.monotonic() + TIMEOUT
    while not (value := condition()):
        assert time.monotonic() < deadline, f"no {what} within {TIMEOUT} s"
        time.sleep(0.05)
    return value


def free_ports(count):
    """Find ports that are not in use."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@dataclasses.dataclass
class Served:
    """A server process.

    `ask` returns the status and the parsed JSON of one REST request.
    """

    process: subprocess.Popen
    name: str
    rest: int
    grpc: int
    log: Path

    def ask(self, verb, path, body=None):
        status, _, data = self.raw(verb, path, body)
        return status, json.loads(data)

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.rest, timeout=TIMEOUT)

    def raw(self, verb, path, body=None, headers=()):
        connection = self.connection()
        try:
            connection.request(verb, path, body, dict(headers))
            response = connection.getresponse()
            return response.status, dict(response.headers), response.read()
        finally:
            connection.close()

    def post(self, path, body):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", path, data)

    def predict(self, body, where=""):
        return self.post(f"/v1/models/{self.name}{where}:predict", body)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.rest), timeout=TIMEOUT)

    def states(self):
        _, answer = self.ask("GET", f"/v1/models/{self.name}")
        return {
            entry["version"]: (entry["state"], entry["status"]["error_code"])
            for entry in answer["model_version_status"]
        }

    def in_flight(self):
        """Return the number of requests that wait for TensorFlow or run."""
        page = self.raw("GET", "/monitoring/prometheus/metrics")[2].decode()
        (count,) = re.findall("^:tensorflow:serving:requests_in_flight (.*)$", page, re.MULTILINE)
        return int(count)

    def events(self):
        # A line ends with a line feed only: its texts may have other characters that end lines.
        lines = self.log.read_bytes().split(b"\n")[:-1]
        # TensorFlow's native code writes lines of its own where it finds no GPU.
        return [json.loads(line) for line in lines if not line.startswith(b"E0000 ")]

    def is_ready(self):
        assert self.process.poll() is None, self.log.read_text("utf-8")
        try:
            return self.raw("GET", f"/v1/models/{self.name}")[0] == 200
        except OSError:
            return False

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT)


def serve(base, log, *flags, name="half_plus_two"):
    """Start a server; `Served.is_ready` returns whether it has loaded its model."""
    return serve_flags(log, "--model_base_path", base, "--model_name", name, *flags, name=name)


def serve_flags(log, *flags, name=""):
    """Start a server with these flags, on ports of its own."""
    rest, grpc = free_ports(2)
    with open(log, "w") as file:
        process = start("serving.serve", "--rest_api_port", rest, "--port", grpc, *flags, err=file)
    # For tests that fail before they stop their server.
    atexit.register(process.kill)
    return Served(process, name, rest, grpc, log)


def everything(connection):
    """All bytes that the server sends until it closes the connection."""
    pieces = []
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(2**16):
            pieces.append(piece)
    return b"".join(pieces)


def request_bytes(path, body, *headers):
    """Return the bytes of a POST request."""
    head = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class Models(tf.Module):
    """Half plus two, and signatures of other types, shapes and methods."""

    def __init__(self, bias=2.0):
        super().__init__()
        self.slope, self.bias = tf.Variable(0.5), tf.Variable(bias)

    def save(self, path):
        """Write the SavedModel, with the method names that TensorFlow 2 omits."""
        tf.saved_model.save(self, str(path), signatures=self.signatures())
        file = path / "saved_model.pb"
        saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
        for name, definition in saved.meta_graphs[0].signature_def.items():
            if name.startswith(("classify", "regress")):
                definition.method_name = f"tensorflow/serving/{name.partition('_')[0]}"
        file.write_bytes(saved.SerializeToString())

    def signatures(self):
        def signature(function, **types):
            specs = [tf.TensorSpec(None, kind, name=name) for name, kind in types.items()]
            return tf.function(function, input_signature=specs)

        def half_plus_two(x):
            return {"y": self.slope * x + self.bias}

        def two_outputs(x):
            return {"half": x / 2, "double": x * 2}

        def scalar(x):
            return {"y": tf.reduce_sum(x)}

        def constant(x):
            """The same labels for any number of rows, so that a merged output cannot be split."""
            return {"labels": tf.constant([10.0, 20.0]) + 0 * tf.reduce_sum(x)}

        def flat(x):
            """An input of any length, because an output lacks a batch dimension."""
            return {"y": x, "sum": tf.reduce_sum(x)}

        def text(word, times):
            repeated = tf.strings.join([word, tf.strings.as_string(times)], "x")
            return {"text": repeated, "text_bytes": repeated}

        def numbers(f, d, i, j, u, b):
            return {"f": f, "d": d, "i": i, "j": j, "u": u, "b": b}

        def root(x):
            """The square root, an error for negative numbers."""
            with tf.control_dependencies([tf.debugging.assert_non_negative(x)]):
                return {"y": tf.sqrt(x)}

        def x_of(inputs):
            feature = tf.io.FixedLenFeature([1], tf.float32, default_value=[0.0])
            return tf.io.parse_example(inputs, {"x": feature})["x"]

        def regress_x_to_y(inputs):
            return {"outputs": self.slope * x_of(inputs) + self.bias}

        def regress_badly(inputs):
            return {"outputs": tf.concat([x_of(inputs), x_of(inputs)], 1)}

        def classify_x_to_y(inputs):
            return {"scores": self.slope * x_of(inputs) + self.bias}

        def classify_words(inputs):
            """The two words of an example, with constant scores."""
            feature = tf.io.FixedLenFeature([2], tf.string)
            words = tf.io.parse_example(inputs, {"words": feature})["words"]
            scores = tf.constant([[0.1, 0.7]])
            return {"classes": words, "scores": tf.repeat(scores, tf.shape(words)[0], axis=0)}

        def slow(rounds):
            """Matrix products, as many as the number of rounds."""
            rows = tf.shape(rounds)[0]
            matrix = tf.ones([400, 400]) / 400
            result = tf.while_loop(
                lambda i, m: i < tf.reduce_max(rounds),
                lambda i, m: (i + 1, m @ matrix),
                [0, matrix],
            )[1]
            return {"y": tf.fill([rows], result[0, 0])}

        return {
            "serving_default": signature(half_plus_two, x=tf.float32),
            "two_outputs": signature(two_outputs, x=tf.float32),
            "scalar": signature(scalar, x=tf.float32),
            "constant": tf.function(
                constant, input_signature=[tf.TensorSpec([None], tf.float32, name="x")]
            ),
            "flat": tf.function(
                flat, input_signature=[tf.TensorSpec([None], tf.float32, name="x")]
            ),
            "pair": tf.function(
                half_plus_two, input_signature=[tf.TensorSpec([2], tf.float32, name="x")]
            ),
            "text": signature(text, word=tf.string, times=tf.int32),
            "numbers": signature(
                numbers,
                f=tf.float32,
                d=tf.float64,
                i=tf.int32,
                j=tf.int64,
                u=tf.uint8,
                b=tf.bool,
            ),
            "root": signature(root, x=tf.float32),
            **{
                function.__name__: tf.function(
                    function, input_signature=[tf.TensorSpec([None], tf.string, name="inputs")]
                )
                for function in (regress_x_to_y, regress_badly, classify_x_to_y, classify_words)
            },
            "slow": tf.function(
                slow, input_signature=[tf.TensorSpec([None], tf.int32, name="rounds")]
            ),
        }
