"""Errors at the start: one sentence, before TensorFlow is imported."""

import socket

import pytest
from commands import finish, run, start
from served import free_ports


@pytest.fixture
def model(tmp_path):
    (tmp_path / "model" / "3").mkdir(parents=True)
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ((), 2, "--model_base_path is missing"),
        (("--model_base_path", "nowhere"), 1, "nowhere is not a directory"),
        (("--model_base_path", "{empty}"), 1, "holds no version of a model"),
        (("--served_versions", "newest"), 2, "expected latest, latest:N, all or numbers"),
        (("--served_versions", "4"), 1, "has no version 4"),
        (("--version_labels", "stable"), 2, "expected LABEL=VERSION"),
        (("--version_labels", "stable=" + "9" * 5000), 2, "expected LABEL=VERSION"),
        (("--version_labels", "a=1", "a=2"), 2, "names 'a' twice"),
        (("--version_labels", "stable=4"), 1, "has no version 4"),
        (("--port", "0", "--rest_api_port", "0"), 2, "are both 0"),
        (("--port", "8501"), 2, "are both 8501"),
        (("--port", "70000"), 2, "at least 0 and at most 65535"),
        (("--max_batch_size", "0"), 2, "at least 1"),
        (("--request_timeout", "0"), 2, "more than 0"),
        (("--host", "192.0.2.1"), 1, "cannot listen on 192.0.2.1"),
        (("--host", "no.such.host.invalid"), 1, "--host no.such.host.invalid has no address"),
        (("--log", "loud"), 2, "loud"),
        (("--nonsense",), 2, "--nonsense"),
    ],
)
def test_bad_flags(model, tmp_path, flags, code, message):
    (tmp_path / "empty" / "not_a_number").mkdir(parents=True)
    flags = [flag.format(empty=tmp_path / "empty") for flag in flags]
    if flags and "--model_base_path" not in flags:
        flags = ["--model_base_path", str(model), *flags]
    assert message in run("serving.serve", *flags).sentence(code)


@pytest.mark.parametrize("flag", ["rest_api_port", "port"])
def test_a_port_in_use(model, flag):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        others = {"rest_api_port": "port", "port": "rest_api_port"}
        flags = (f"--{flag}", port, f"--{others[flag]}", 0)
        message = run("serving.serve", "--model_base_path", model, *flags).sentence()
    assert message.startswith(f"cannot listen on 127.0.0.1:{port} (Address already in use)")
    assert message.endswith(f"choose another --host or --{flag}")


def test_a_version_that_cannot_be_loaded(model):
    (rest,) = free_ports(1)
    ports = ("--rest_api_port", rest, "--port", 0)
    outcome = finish(start("serving.serve", "--model_base_path", model, *ports, "--log", "error"))
    assert "no version in" in outcome.err and "version 3" in outcome.err
    assert outcome.code == 1 and "Traceback" not in outcome.err
