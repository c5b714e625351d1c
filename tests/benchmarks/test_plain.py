import numpy as np
import pytest
import tensorflow as tf
from small_hln import NUM_ITEMS, make_model

from benchmarks.throughput.plain import PlainHLN

SEED = tf.constant([3, 4])
ITEMS = tf.constant([[1, 2, 3, 4, 5], [6, 7, 0, 0, 0], [8, 8, 9, 0, 0]])
TARGET = tf.constant([6, 1, NUM_ITEMS])


@pytest.fixture
def model():
    return make_model()


@pytest.mark.slow
def test_loss_and_gradients_are_those_of_the_package(model):
    plain = PlainHLN(model)
    batch = {"items": ITEMS, "target": TARGET, "seed": SEED}
    with tf.GradientTape(persistent=True) as tape:
        package = model.compute_loss(batch, training=True)
        other = plain.loss(ITEMS, TARGET, SEED)
    np.testing.assert_allclose(other, package, rtol=1e-5)
    for weight in model.trainable_variables:
        expected, found = (
            tf.convert_to_tensor(tape.gradient(loss, weight)) for loss in (package, other)
        )
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6, err_msg=weight.name)


def test_scores_are_those_of_the_package(model):
    np.testing.assert_allclose(PlainHLN(model).scores(ITEMS), model.scores(ITEMS), rtol=1e-4)


@pytest.mark.slow
def test_its_step_learns(model):
    plain = PlainHLN(model)
    step = plain.compile_step(learning_rate=0.01)
    before = plain.loss(ITEMS, TARGET, SEED)
    for _ in range(5):
        step(ITEMS, TARGET, SEED)
    assert plain.loss(ITEMS, TARGET, SEED) < before
