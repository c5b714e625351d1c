import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from small_narm import (
    ITEMS,
    SEED,
    TARGET,
    gradients,
    loss,
    make_model,
    narm_query,
    values_of,
    variables_of,
)

from hln_tf.training.settings import TrainingSettings
from hln_tf.training.steps import compile_step
from hln_tf.training.trainer import make_optimizer

BATCH = {"items": tf.constant(ITEMS), "target": tf.constant(TARGET), "seed": tf.constant(SEED)}


@pytest.fixture(scope="module")
def expected_gradients():
    return gradients(narm_query, values_of(make_model()))


def test_scores_are_the_references():
    model = make_model()
    w = values_of(model)
    expected = [w["X"] @ narm_query(items, w) for items in ITEMS]
    np.testing.assert_allclose(model.scores(tf.constant(ITEMS)), expected, atol=1e-5)


def test_loss_and_gradients_are_the_references(expected_gradients):
    model = make_model()
    with tf.GradientTape() as tape:
        found = model.compute_loss(BATCH, training=True)
    assert float(found) == pytest.approx(loss(narm_query, values_of(model)), abs=1e-5)
    named = variables_of(model)
    assert len(named) == len(model.trainable_variables)
    found = tape.gradient(found, named)
    for name, expected in expected_gradients.items():
        assert np.abs(expected).max() > 1e-3, name
        np.testing.assert_allclose(found[name], expected, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_a_step_of_adam_moves_all_weights(expected_gradients):
    model = make_model()
    before = values_of(model)
    # With a large epsilon gradients near 0 move their weights little.
    settings = TrainingSettings(learning_rate=0.01, epsilon=0.01)
    compile_step(model, make_optimizer(settings), keras.metrics.Mean())(ITEMS, TARGET, SEED)
    for name, after in values_of(model).items():
        gradient = expected_gradients[name]
        # Keras corrects the step for both moments' start at 0, and adds epsilon after that.
        m, v = 0.1 * gradient, 0.001 * gradient**2
        step = 0.01 * np.sqrt(0.001) / 0.1 * m / (np.sqrt(v) + 0.01)
        np.testing.assert_allclose(after, before[name] - step, atol=1e-5, err_msg=name)


def test_dropout_of_the_session_encoding_is_for_training_alone():
    plain, model = make_model(), make_model(hidden_dropout=0.5)
    np.testing.assert_array_equal(model.scores(ITEMS), plain.scores(ITEMS))

    def in_training(step):
        return float(model.compute_loss(BATCH | {"seed": tf.constant([1, step])}, training=True))

    assert in_training(0) == in_training(0)
    assert len({in_training(step) for step in range(4)}) == 4
