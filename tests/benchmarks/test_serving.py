"""The load generator against a server, and the benchmark as a command."""

import json

import pytest
from commands import run
from toy import write_dataset

from benchmarks.load_generator import Load, rest_request, run_grpc, run_rest
from benchmarks.serving import Measurement, grpc_request

pytestmark = pytest.mark.slow

SESSIONS = ["i1 i2", "i3", "i4 i5 i6"]


@pytest.fixture
def few_sessions(tmp_path):
    sessions = [[1, 2, 3], [4, 5], [6, 7]]
    write_dataset(tmp_path / "data", {"train": sessions, "test": sessions}, 30)
    return tmp_path / "data"


def rest(server, total, path="/v1/models/hln:predict"):
    bodies = [{"signature_name": "sessions", "instances": [session]} for session in SESSIONS]
    requests = [
        rest_request("127.0.0.1", server.rest, path, json.dumps(body).encode()) for body in bodies
    ]
    return run_rest("127.0.0.1", server.rest, requests, 4, total)


def grpc(server, total, model="hln"):
    requests = [grpc_request(model, session) for session in SESSIONS]
    return run_grpc("127.0.0.1", server.grpc, requests, 4, total)


def test_every_request_has_one_response(server):
    for send in (rest, grpc):
        load = send(server, 50)
        assert (len(load.latencies), load.errors) == (50, 0)
        assert 0 < max(load.latencies) <= load.seconds


def test_errors_are_counted(server):
    for load in (rest(server, 10, "/v1/models/x:predict"), grpc(server, 10, "x")):
        assert (len(load.latencies), load.errors) == (0, 10)
        assert "Servable not found for request: Latest(x)" in load.first_error


def test_percentiles():
    measured = Measurement.from_load(Load([0.001] * 98 + [0.1] * 2, 0, 2.0))
    assert (measured.rate, measured.p50) == (50.0, pytest.approx(1.0))
    assert measured.p99 == pytest.approx(100.0)


def test_bad_input(hln, other_model, data, tmp_path):
    def sentence(base, directory, *flags, code=1):
        arguments = ("--model_base_path", base, "--data_dir", directory, *flags)
        return run("benchmarks.serving", *arguments).sentence(code)

    assert "manifest.json" in sentence(hln, tmp_path)
    assert "not a directory" in sentence(tmp_path / "none", data)
    assert "has no signature 'sessions'" in sentence(other_model, data)
    assert "--clients is 1" in sentence(hln, data, "--clients", "1", code=2)
    write_dataset(tmp_path / "empty", {"train": [[1, 2]]}, 30)
    assert "no test sessions" in sentence(hln, tmp_path / "empty")


@pytest.mark.benchmark
def test_no_error_in_100_000_requests(server):
    for send in (rest, grpc):
        load = send(server, 100_000)
        assert (len(load.latencies), load.errors) == (100_000, 0)


@pytest.mark.benchmark
def test_the_table(hln, few_sessions):
    arguments = ("--model_base_path", hln, "--data_dir", few_sessions)
    outcome = run("benchmarks.serving", *arguments, "--requests", "400", "--rounds", "2")
    assert outcome.code == 0, outcome.err
    rows = [line.split(" | ")[0].strip("| ") for line in outcome.out.splitlines()[2:8]]
    assert rows == [
        "direct, 1 session",
        "direct, batches of 32",
        "REST, 1 client",
        "REST, 32 clients",
        "gRPC, 1 client",
        "gRPC, 32 clients",
    ]
