"""The guide's example of a model of one's own: one class and one entry in the registry."""

import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras
from commands import run

from hln_tf.models.registry import MODELS

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "models.md"


@pytest.fixture(scope="module")
def added(tmp_path_factory):
    """Do what the guide's example shows; the name of the new model."""
    section = GUIDE.read_text("utf-8").split("## A model of your own", 1)[1]
    source, entry = re.findall(r"```python\n(.*?)```", section, re.S)[:2]
    directory = tmp_path_factory.mktemp("added")
    package = directory / "my_package"
    package.mkdir()
    (package / "bag.py").write_text(source)
    (package / "registry.py").write_text(entry)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(directory)
        patch.setitem(MODELS, "bag", importlib.import_module("my_package.registry").BAG)
        yield "bag"
    for module in ("bag", "registry"):
        sys.modules.pop(f"my_package.{module}", None)
    sys.modules.pop("my_package", None)


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
    bag = importlib.import_module(f"my_package.{added}").Bag
    model = bag(num_items=50, embedding_dim=8, loss="sampled")
    model.compile(keras.optimizers.Adam(0.01))
    items, target = np.array([[3, 7, 0], [9, 1, 4]], np.int32), np.array([4, 2])
    losses = model.fit(items, target, epochs=3, verbose=0).history["loss"]
    assert losses == sorted(losses, reverse=True)
    model.save(tmp_path / "bag.keras")
    loaded = keras.models.load_model(tmp_path / "bag.keras")
    np.testing.assert_array_equal(loaded.predict(items, verbose=0), model.scores(items))
