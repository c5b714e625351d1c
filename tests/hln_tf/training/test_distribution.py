"""Training by several workers and on several devices, as real processes."""

import json
import signal
import socket
import time

import numpy as np
import pytest
from commands import (
    TINY,
    checkpoint_number,
    finish,
    run,
    signal_when_saved,
    start,
    tree,
    weights,
)
from events import scalars
from toy import write_dataset

from hln_tf.common import files
from hln_tf.common.errors import HlnError
from hln_tf.training.run_config import RunConfig
from hln_tf.training.run_directory import RunDirectory

# Epochs of 6 steps. Neither 63 rows nor the last batch's 45 divide evenly between two replicas.
SETTINGS = (
    *TINY,
    "--num_groups",
    "1",
    "--batch_size",
    "63",
    "--patience",
    "30",
    "--decay_epochs",
    "20",
)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start_two(monkeypatch, *arguments):
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = []
    for index in range(2):
        with monkeypatch.context() as environment:
            task = {"type": "worker", "index": index}
            config = {"cluster": {"worker": addresses}, "task": task}
            environment.setenv("TF_CONFIG", json.dumps(config))
            processes.append(start("hln_tf.train", *arguments))
    return processes


def assert_same_training(found, wanted, epochs):
    """Check that losses, validation, test and weights agree within 1e-4."""
    found_metrics, wanted_metrics = (
        files.read_json(path / "metrics.json", "") for path in (found, wanted)
    )
    assert len(wanted_metrics["history"]) == epochs
    for one, other in zip(found_metrics["history"], wanted_metrics["history"], strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert found_metrics["test"] == pytest.approx(wanted_metrics["test"], abs=1e-4)
    found_weights, wanted_weights = (weights(path / "model") for path in (found, wanted))
    assert found_weights.keys() == wanted_weights.keys()
    for name, array in wanted_weights.items():
        np.testing.assert_allclose(found_weights[name], array, atol=1e-4, err_msg=name)


@pytest.mark.slow
def test_two_workers_learn_what_one_does(data, tmp_path, monkeypatch):
    """One worker starts, two continue for over 100 steps until one is stopped, one finishes."""

    def arguments(name):
        where = ("--dataset", "sample", "--data_dir", data, "--workdir", tmp_path / name)
        return (*where, *SETTINGS, "--epochs", "24")

    path, checkpoints = tmp_path / "two", tmp_path / "two" / "checkpoint"
    thread = signal_when_saved(checkpoints, 3, signal.SIGTERM)
    assert run("hln_tf.train", *arguments("two")).code == 128 + signal.SIGTERM
    thread.join()
    begun = checkpoint_number(checkpoints)

    processes = start_two(monkeypatch, *arguments("two"))
    # An epoch saves two checkpoints.
    while checkpoint_number(checkpoints) < begun + 2 * 17 + 2:
        assert [process.poll() for process in processes] == [None, None]
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGTERM)
    chief, other = map(finish, processes)
    for outcome in (chief, other):
        assert outcome.code == 128 + signal.SIGTERM, outcome.err
        assert outcome.err.splitlines()[-1].startswith("stopped by SIGTERM; run the same command")
    assert "resuming epoch" in chief.err and "validation" in chief.err
    assert "epoch" not in other.err and "validation" not in other.err
    assert not (path / "metrics.json").exists()

    for name in ("two", "one"):
        outcome = run("hln_tf.train", *arguments(name))
        assert outcome.code == 0, outcome.err
    assert_same_training(path, tmp_path / "one", epochs=24)


# Two logical devices on one CPU.
ON_TWO_DEVICES = """
import sys
import hln_tf
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from hln_tf import train
from hln_tf.common import cli
from hln_tf.training import distribution
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
distribution._strategy = lambda cluster: strategy
sys.exit(cli.run(train.main))
"""


@pytest.mark.slow
def test_two_devices_learn_what_one_does_with_sampled_negatives(splits, tmp_path):
    # 361 prefixes: the last batch of an epoch has one row, so a replica has none.
    splits = {**splits, "train": [*splits["train"], [4, 9]]}
    write_dataset(tmp_path / "data", splits, 30)

    def arguments(name):
        where = ("--dataset", "sample", "--data_dir", tmp_path / "data", "--workdir")
        loss = ("--loss", "sampled", "--num_negatives", "20", "--clip_norm", "1")
        settings = (*SETTINGS, "--batch_size", "60", "--epochs", "3")
        return (*where, tmp_path / name, *settings, *loss, "--tensorboard")

    process = start(ON_TWO_DEVICES, *arguments("two"), "--steps_per_execution", "4")
    assert run("hln_tf.train", *arguments("one")).code == 0
    outcome = finish(process)
    assert outcome.code == 0, outcome.err
    assert_same_training(tmp_path / "two", tmp_path / "one", epochs=3)
    found, wanted = (scalars(tmp_path / name / "events" / "selection") for name in ("two", "one"))
    assert len(wanted["gradient_norm"]) == 3
    for tag in ("gradient_norm", "epoch/retention/group_1"):
        np.testing.assert_allclose(found[tag], wanted[tag], rtol=1e-3)


def test_workers_with_other_settings_are_refused(trained, monkeypatch):
    from hln_tf.training.distribution import Workers

    config = RunDirectory(trained.path).config()
    chiefs = config.to_dict()
    chiefs["training"]["seed"] = 7
    workers = Workers()
    assert workers.same_run(config, is_finished=True) == (config, True)
    monkeypatch.setattr(
        workers, "broadcast_object", lambda own: {"config": chiefs, "is_finished": False}
    )
    with pytest.raises(HlnError, match=r"worker 0 has training\.seed = 1 where the chief has 7"):
        workers.same_run(config, is_finished=False)
    _, is_finished = workers.same_run(RunConfig.from_dict(chiefs, "test"), is_finished=True)
    assert not is_finished


@pytest.mark.parametrize(
    ("config", "code", "words"),
    [
        ("{", 2, "TF_CONFIG is '{'"),
        (
            '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 0}}',
            1,
            "is not a prepared data set",
        ),
    ],
)
def test_what_several_workers_cannot_start_from(tmp_path, monkeypatch, config, code, words):
    monkeypatch.setenv("TF_CONFIG", config)
    where = ("--data_dir", tmp_path / "none", "--workdir", tmp_path / "run")
    sentence = run("hln_tf.train", "--dataset", "sample", *where).sentence(code)
    assert words in sentence
    assert tree(tmp_path) == {}
