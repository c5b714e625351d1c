"""The examples of the public docstrings run and give what they print."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import hln_tf
from hln_tf.models import registry
from hln_tf.training import registration

PACKAGES = ("layers", "tasks", "metrics", "models")
MODULES = (
    "hln_tf.analysis.explanation",
    "hln_tf.data.dataset",
    "hln_tf.recommender",
    "hln_tf.retrieval.inputs",
    "hln_tf.training.registration",
)
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def modules():
    for package in PACKAGES:
        root = importlib.import_module(f"hln_tf.{package}")
        for found in pkgutil.iter_modules(root.__path__, f"{root.__name__}."):
            yield importlib.import_module(found.name)
    yield from map(importlib.import_module, MODULES)


def is_public(test):
    return not any(part.startswith("_") for part in test.name.split("."))


def examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    for module in modules():
        names = {"hln_tf": hln_tf, "tf": tf, "keras": keras, "np": np}
        for test in finder.find(module, extraglobs=names):
            if test.examples and is_public(test):
                yield pytest.param(test, id=test.name.removeprefix("hln_tf."))


@pytest.mark.parametrize("test", list(examples()))
def test_example(test, monkeypatch):
    models = dict(registry.MODELS)  # an example registers some
    for module in (registry, registration):
        monkeypatch.setattr(module, "MODELS", models)
    keras.utils.set_random_seed(1)
    report = []
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=report.append)
    assert not report, "".join(report)


def test_the_public_layers_losses_and_models_have_examples():
    found = {parameter.values[0].name.rpartition(".")[2] for parameter in examples()}
    wanted = {"LeapRecurrentCell", "LeapRecurrentUnit", "GRU", "PreferenceManager"}
    wanted |= {"FullSoftmax", "Equation8", "SampledSoftmax", "InBatchSoftmax", "RecallAtK", "HLN"}
    assert wanted <= found
