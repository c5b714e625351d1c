import numpy as np
import pytest
import tensorflow as tf
from small_hln import NUM_ITEMS, D, make_model


@pytest.fixture(scope="module")
def model():
    model = make_model(normalize=True, inference_gate="expected")  # retains all clicks in part
    model.scale.assign(7.0)
    return model


def test_scores_are_cosines_times_the_scale(model):
    items = tf.constant([[1, 2, 3], [4, 5, 0]])
    embeddings = model.encode(items).numpy()
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 7.0, rtol=1e-5)
    X = model.X.numpy()
    cosines = embeddings @ X.T / (7.0 * np.linalg.norm(X, axis=1))
    assert cosines.shape == (2, NUM_ITEMS)
    np.testing.assert_allclose(model.scores(items), 7.0 * cosines, rtol=1e-4, atol=1e-5)


def test_a_session_of_which_nothing_is_retained_has_a_small_gradient(model):
    """That of x / |x| is unbounded near 0, and would ruin the leap gate's training."""
    embeddings = tf.constant([np.zeros(D), np.full(D, 1e-8), np.full(D, 2.0)], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        queries = model.to_query(embeddings)
    np.testing.assert_array_equal(queries[0], np.zeros(D))
    np.testing.assert_allclose(queries[2], np.full(D, 7.0 / np.sqrt(D)), rtol=1e-5)
    assert np.abs(tape.gradient(queries, embeddings)).max() <= 7.0 / 0.1 + 1e-3
