"""Graphs of a model's functions, and what AutoGraph must convert in them."""

import inspect

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from tiers import slow_unless
from tiny_models import examples, make, walks

from hln_tf.models.encoder import SessionEncoder
from hln_tf.models.graphs import needs_autograph
from hln_tf.models.hln import HLN
from hln_tf.models.registry import MODELS
from hln_tf.models.settings import EncoderSettings
from hln_tf.tasks.softmax import FullSoftmax
from hln_tf.training.settings import TrainingSettings
from hln_tf.training.steps import compile_step
from hln_tf.training.trainer import make_optimizer

ITEMS = tf.constant([[1, 2, 0], [3, 0, 0]])
TARGET = tf.constant([3, 1])


class Branching(SessionEncoder):
    """The mean of the items, negated where the batch is short: a branch on a tensor."""

    Settings = EncoderSettings

    def encode_embeddings(self, items, x, training, seed):
        """Branch as Python does."""
        if tf.shape(items)[1] > 2:
            mean = tf.reduce_mean(x, axis=1)
        else:
            mean = -tf.reduce_mean(x, axis=1)
        return mean


class BranchingLoss(FullSoftmax):
    """Twice the loss where the batch is small."""

    def call(self, query, candidates, target, seed=None):
        """Branch as Python does."""
        loss = super().call(query, candidates, target, seed)
        if tf.size(target) < 3:
            loss = 2 * loss
        return loss


@pytest.mark.parametrize("name", MODELS)
def test_models_of_the_package_are_traced_without_autograph(name):
    assert not needs_autograph(make(name))


@pytest.mark.parametrize(
    "model", [lambda: Branching(4), lambda: HLN(4, loss=BranchingLoss())], ids=["model", "loss"]
)
def test_a_model_or_loss_of_ones_own_may_branch_on_tensors(model):
    model = model()
    assert needs_autograph(model)
    optimizer, loss = make_optimizer(TrainingSettings()), keras.metrics.Mean()
    before = model.X.numpy()
    compile_step(model, optimizer, loss)(ITEMS, TARGET, tf.constant([0, 1]))
    assert np.any(model.X.numpy() != before)
    for items in (ITEMS, ITEMS[:, :2]):
        ranks, scores = model.rank_targets({"items": items, "target": TARGET})
        found = model.compiled_rank_targets(items, TARGET)
        np.testing.assert_array_equal(found[0], ranks)
        np.testing.assert_allclose(found[1], scores, rtol=1e-5)


def test_a_step_has_its_optimisers_variables_before_it_is_taken():
    model, optimizer = HLN(4), make_optimizer(TrainingSettings())
    compile_step(model, optimizer, keras.metrics.Mean())
    slots = set(optimizer.get_slot_names())
    shapes = [optimizer.get_slot(model.X, name).shape for name in slots]
    assert slots == {"m", "v"}
    assert shapes == [model.X.shape] * 2
    assert int(optimizer.iterations) == 0
    assert not np.any(optimizer.get_slot(model.X, "m"))


@pytest.mark.parametrize("name", slow_unless(("hln", "stamp", "markov"), MODELS))
def test_a_model_is_a_function_to_compile(name):
    model = make(name)
    if not MODELS[name].is_encoder:
        model.fit(walks())
    items, _ = examples(1)
    assert "num_items" not in inspect.signature(model).parameters
    shape = [tf.TensorSpec([None, None], tf.int32)]
    compiled = tf.function(model, input_signature=shape, autograph=False)
    np.testing.assert_allclose(compiled(tf.constant(items)), model(items), atol=1e-5)
