"""The precision that a machine is made for, chosen once for a run."""

import dataclasses
import os
import subprocess
import sys

import pytest
import tensorflow as tf

from hln_tf.common.errors import HlnError
from hln_tf.models.registry import model_entry
from hln_tf.training import run_config
from hln_tf.training.distribution import Workers
from hln_tf.training.precision import fastest_precision
from hln_tf.training.run_config import DataDescription, RunConfig
from hln_tf.training.run_directory import RunDirectory
from hln_tf.training.settings import TrainingSettings

ITEM_IDS = ["a", "b", "c"]
TILES = "processor\t: 0\nflags\t\t: fpu avx512_bf16 amx_bf16 amx_tile\n"
NO_TILES = "processor\t: 0\nflags\t\t: fpu avx512_bf16\nbugs\t\t: amx_bf16\n"


def config(**training):
    entry = model_entry("stamp")
    data = DataDescription("test", "", ",", 3, "", "0" * 64)
    return RunConfig("stamp", entry.settings(), TrainingSettings(**training), data)


@pytest.mark.parametrize(
    ("text", "expected"), [(TILES, "bfloat16"), (NO_TILES, "float32"), (None, "float32")]
)
def test_a_processor_with_tiles_is_given_bfloat16(tmp_path, text, expected):
    path = tmp_path / "cpuinfo"
    if text is not None:
        path.write_text(text)
    assert fastest_precision(path) == expected


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [([(9, 0)], "bfloat16"), ([(7, 5)], "float32"), ([(9, 0), (7, 5)], "float32")],
)
def test_gpus_decide_where_there_are_any(tmp_path, monkeypatch, capabilities, expected):
    (tmp_path / "cpuinfo").write_text(TILES)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: capabilities)
    monkeypatch.setattr(
        tf.config.experimental, "get_device_details", lambda gpu: {"compute_capability": gpu}
    )
    assert fastest_precision(tmp_path / "cpuinfo") == expected


@pytest.mark.process
def test_the_choice_prints_nothing():
    environment = {n: v for n, v in os.environ.items() if n != "TF_CPP_MIN_LOG_LEVEL"}
    program = "from hln_tf.training.precision import fastest_precision; fastest_precision()"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.fixture
def machine(monkeypatch):
    """Return a function that makes this a machine of another kind."""

    def be(kind):
        monkeypatch.setattr(run_config, "fastest_precision", lambda: kind)

    return be


def test_a_run_keeps_the_choice_of_the_machine_that_began_it(tmp_path, machine):
    directory, asked = RunDirectory(tmp_path / "run"), config(precision="auto")
    machine("bfloat16")
    assert directory.begin(asked, ITEM_IDS).training.precision == "bfloat16"
    machine("float32")
    assert directory.begin(asked, ITEM_IDS).training.precision == "bfloat16"
    assert directory.config().training.precision == "bfloat16"
    longer = dataclasses.replace(asked.training, epochs=asked.training.epochs + 1)
    extended = directory.begin(dataclasses.replace(asked, training=longer), ITEM_IDS)
    assert extended.training.precision == "bfloat16"
    (directory.path / "metrics.json").write_text("{}")
    with pytest.raises(HlnError, match=r"precision = 'bfloat16', not 'float32'"):
        directory.begin(config(precision="float32", epochs=longer.epochs), ITEM_IDS)


def test_a_run_that_replaces_another_chooses_anew(tmp_path, machine):
    directory = RunDirectory(tmp_path / "run")
    machine("bfloat16")
    directory.begin(config(precision="auto"), ITEM_IDS)
    machine("float32")
    begun = directory.begin(config(precision="auto", seed=5), ITEM_IDS, overwrite=True)
    assert begun.training.precision == "float32"


def test_workers_take_the_chiefs_choice(machine, monkeypatch):
    machine("float32")
    workers, chief = Workers(), config(precision="bfloat16").to_dict()
    monkeypatch.setattr(
        workers, "broadcast_object", lambda own: {"config": chief, "is_finished": False}
    )
    agreed, _ = workers.same_run(config(precision="auto"), is_finished=False)
    assert agreed.training.precision == "bfloat16"
    with pytest.raises(HlnError, match=r"worker 0 has training\.precision = 'float32'"):
        workers.same_run(config(precision="float32"), is_finished=False)


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_a_model_has_the_choice(machine, kind):
    machine(kind)
    assert config(precision="auto").create_model().retrieval_loss.precision == kind
