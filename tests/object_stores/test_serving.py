"""A server of a model in an object store."""

import errno

import pytest
from commands import run
from served import Models, free_ports, serve, wait_for

from hln_tf.common.errors import HlnError
from serving.directory import copy_version

BASE = "s3://clicks/models/half_plus_two"


@pytest.mark.slow
def test_versions_are_served_as_they_arrive(store, tmp_path):
    for version, bias in (("1", 2.0), ("2", 3.0)):
        Models(bias).save(tmp_path / version)
    store.put_directory("models/half_plus_two/1", tmp_path / "1")
    polls = ("--file_system_poll_wait_seconds", "0.2")
    server = serve(BASE, tmp_path / "log", *polls)
    try:
        wait_for(server.is_ready, "server")
        assert server.predict({"instances": [2.0]}) == (200, {"predictions": [3.0]})
        store.put_directory("models/half_plus_two/2", tmp_path / "2")
        wait_for(lambda: server.states().get("2", ("",))[0] == "AVAILABLE", "second version")
        assert server.predict({"instances": [2.0]}) == (200, {"predictions": [4.0]})
        store.breaks = lambda *request: True
        wait_for(lambda: any(e["event"] == "poll_failed" for e in server.events()), "failed poll")
        assert server.predict({"instances": [2.0]}) == (200, {"predictions": [4.0]})
    finally:
        assert server.stop() == 0


def test_a_disk_that_is_full_is_named_and_leaves_nothing(store, monkeypatch, tmp_path):
    store.put("models/half_plus_two/1/saved_model.pb", b"graph")

    def get_file(*paths):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("s3fs.S3FileSystem.get_file", get_file)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(HlnError, match=r"/1 cannot be copied to .* \(No space left on device\)"):
        copy_version(f"{BASE}/1")
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_not_there(store):
    rest, grpc = free_ports(2)
    ports = ("--rest_api_port", rest, "--port", grpc)
    for base, words in (
        ("s3://clicks/models/none", "is not a directory"),
        ("s3://nowhere/none", "cannot be read"),
    ):
        sentence = run("serving.serve", "--model_base_path", base, *ports).sentence()
        assert f"--model_base_path {base} {words}" in sentence
