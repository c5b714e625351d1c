"""The README's example of a model of one's own: one class and one entry in the registry."""

import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras
from commands import run

from hln_tf.models.entry import ModelEntry
from hln_tf.models.registry import MODELS
from hln_tf.models.settings import EncoderSettings

README = Path(__file__).parents[3] / "README.md"


@pytest.fixture(scope="module")
def added(tmp_path_factory):
    """Do what the README's example shows; the name of the new model."""
    section = README.read_text("utf-8").split("### A model of your own", 1)[1]
    source, line = re.findall(r"```python\n(.*?)```", section, re.S)[:2]
    name = re.search(r'^"(\w+)"', line)[1]
    directory = tmp_path_factory.mktemp("added")
    (directory / f"{name}.py").write_text(source)
    names = {"ModelEntry": ModelEntry, "EncoderSettings": EncoderSettings}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(directory)
        line = line.replace("hln_tf.models.", "")
        for key, entry in eval(f"{{{line}}}", names).items():
            patch.setitem(MODELS, key, entry)
        yield name
    sys.modules.pop(name, None)


def test_one_class_and_one_entry_make_a_model(added, data, tmp_path):
    where = ("--dataset", "sample", "--data_dir", data, "--workdir", tmp_path / "run")
    size = ("--embedding_dim", "8", "--epochs", "1")
    outcome = run("hln_tf.train", "--model", added, *where, *size)
    assert outcome.code == 0, outcome.err
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["model"] == added
    outcome = run("hln_tf.recommend", "--workdir", tmp_path / "run", "--session", "i1 i4", "-k", 3)
    assert outcome.code == 0, outcome.err
    assert len(outcome.out.splitlines()) == 3
    assert (tmp_path / "run" / "export" / "1" / "saved_model.pb").is_file()


def test_it_is_a_keras_model(added, tmp_path):
    model = importlib.import_module(added).Bag(num_items=50, embedding_dim=8, loss="sampled")
    model.compile(keras.optimizers.Adam(0.01))
    items, target = np.array([[3, 7, 0], [9, 1, 4]], np.int32), np.array([4, 2])
    losses = model.fit(items, target, epochs=3, verbose=0).history["loss"]
    assert losses == sorted(losses, reverse=True)
    model.save(tmp_path / "bag.keras")
    loaded = keras.models.load_model(tmp_path / "bag.keras")
    np.testing.assert_array_equal(loaded.predict(items, verbose=0), model.scores(items))
