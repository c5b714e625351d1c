import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from commands import finish, start
from small_narm import (
    ITEMS,
    MEMORY,
    SEED,
    TARGET,
    N,
    csrm_query,
    gradients,
    loss,
    make_model,
    session,
    values_of,
    variables_of,
)

from hln_tf.models.csrm import CSRM
from hln_tf.training.gradients import compile_gradient_norm
from hln_tf.training.settings import TrainingSettings
from hln_tf.training.steps import compile_step
from hln_tf.training.trainer import make_optimizer

BATCH = {"items": tf.constant(ITEMS), "target": tf.constant(TARGET), "seed": tf.constant(SEED)}
# Two logical devices; three sessions cannot be divided evenly between them.
ON_TWO_DEVICES = """
import sys
import hln_tf
import numpy as np
import tensorflow as tf
import tf_keras as keras
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
sys.path.insert(0, "tests")
from small_narm import ITEMS, SEED, TARGET, make_model
from hln_tf.models.csrm import CSRM
from hln_tf.training.settings import TrainingSettings
from hln_tf.training.steps import compile_step
from hln_tf.training.trainer import make_optimizer

def trained(strategy):
    with strategy.scope():
        model = make_model(CSRM)
        optimizer = make_optimizer(TrainingSettings(epsilon=0.01))
    step = compile_step(model, optimizer, keras.metrics.Mean())
    for _ in range(3):
        step(ITEMS, TARGET, SEED)
    return [strategy.experimental_local_results(variable) for variable in model.variables]

two = trained(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
for copies, (alone,) in zip(two, trained(tf.distribute.get_strategy()), strict=True):
    assert len(copies) == 2
    for copy in copies:
        np.testing.assert_allclose(copy.numpy(), alone.numpy(), atol=1e-4, err_msg=alone.name)
"""
STORED = np.random.default_rng(5).normal(size=(MEMORY - 1, N))


@pytest.fixture
def model():
    """A model whose memory has room for one more encoding."""
    result = make_model(CSRM)
    result.memory.write(tf.constant(STORED, tf.float32))
    return result


def memory_of(model):
    return int(model.memory.written), model.memory.vectors.numpy()


def assert_memory_is(model, expected):
    for found, wanted in zip(memory_of(model), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_scores_are_the_references(model):
    w = values_of(model)
    expected = [w["X"] @ csrm_query(items, w, STORED) for items in ITEMS]
    np.testing.assert_allclose(model.scores(tf.constant(ITEMS)), expected, atol=1e-5)


def test_an_empty_memory_adds_nothing():
    model = make_model(CSRM)
    w = values_of(model)
    expected = [w["X"] @ csrm_query(items, w, []) for items in ITEMS]
    np.testing.assert_allclose(model.scores(tf.constant(ITEMS)), expected, atol=1e-5)


def test_scores_of_a_session_do_not_depend_on_the_batch(model):
    together = model.scores(tf.constant(ITEMS)).numpy()
    for row, items in enumerate(ITEMS):
        np.testing.assert_allclose(model.scores(items[None])[0], together[row], atol=1e-5)


def test_loss_and_gradients_are_the_references_for_a_constant_memory(model):
    before, query = memory_of(model), functools.partial(csrm_query, stored=STORED)
    with tf.GradientTape() as tape:
        tape.watch(model.memory.vectors)
        found = model.compute_loss(BATCH, training=True)
    w, named = values_of(model), variables_of(model)
    assert len(named) == len(model.trainable_variables)
    assert float(found) == pytest.approx(loss(query, w), abs=1e-5)
    *by_weights, by_memory = tape.gradient(found, [*named.values(), model.memory.vectors])
    assert by_memory is None
    expected = gradients(query, w)
    for name, ours in zip(named, by_weights, strict=True):
        assert np.abs(expected[name]).max() > 1e-3, name
        np.testing.assert_allclose(ours, expected[name], atol=2e-5, err_msg=name)
    assert_memory_is(model, before)


@pytest.mark.slow
def test_a_step_stores_its_sessions_encoded_by_the_new_weights(model):
    step = compile_step(model, make_optimizer(TrainingSettings()), keras.metrics.Mean())
    step(ITEMS, TARGET, SEED)
    w = values_of(model)
    first, second, third = (session(items, w)[1] for items in ITEMS)
    expected = [second, third, *STORED[2:], first]
    assert int(model.memory.written) == len(STORED) + len(ITEMS)
    np.testing.assert_allclose(model.memory.vectors, expected, atol=1e-5)


def test_nothing_but_a_step_writes(model):
    before = memory_of(model)
    model.scores(tf.constant(ITEMS))
    model.test_step(BATCH)
    model.compiled_rank_targets(ITEMS, TARGET)
    model.compute_loss(BATCH, training=True)
    compile_gradient_norm(model)(ITEMS, TARGET, SEED)
    assert_memory_is(model, before)


def test_a_checkpoint_stores_the_memory(model, tmp_path):
    path = tf.train.Checkpoint(model=model).write(str(tmp_path / "weights"))
    other = make_model(CSRM, seed=2)
    tf.train.Checkpoint(model=other).read(path).assert_existing_objects_matched()
    assert_memory_is(other, memory_of(model))
    np.testing.assert_array_equal(other.scores(ITEMS), model.scores(ITEMS))


@pytest.mark.benchmark
def test_two_devices_store_what_one_does():
    outcome = finish(start(ON_TWO_DEVICES))
    assert outcome.code == 0, outcome.err
