"""The last click's own path into the query."""

import numpy as np
import pytest
import tensorflow as tf
import tiny_models
from small_hln import make_model

from hln_tf.models.registry import MODELS

ENCODERS = [name for name, entry in MODELS.items() if entry.is_encoder]
SESSIONS = tf.constant([[3, 1, 0, 2], [7, 0, 0, 0], [0, 5, 5, 0]])
LAST = np.array([2, 7, 5])


def pair(name, kind, **settings):
    """A model without the path, and one with it and the same weights otherwise."""
    plain = tiny_models.make(name, **settings)
    model = tiny_models.make(name, last_click=kind, **settings)
    others = [weight for weight in model.trainable_variables if weight is not model.W_last]
    for weight, value in zip(others, plain.trainable_variables, strict=True):
        weight.assign(value)
    return plain, model


@pytest.mark.parametrize("kind", ["scaled", "projected"])
@pytest.mark.parametrize("name", ENCODERS)
def test_a_model_starts_as_it_would_without_the_path_and_learns_it(name, kind):
    plain, model = pair(name, kind)
    np.testing.assert_array_equal(model.scores(SESSIONS), plain.scores(SESSIONS))
    with tf.GradientTape() as tape:
        batch = {"items": SESSIONS, "target": tf.constant([4, 5, 6]), "seed": tf.constant([1, 2])}
        loss = model.compute_loss(batch, training=True)
    assert np.any(tape.gradient(loss, model.W_last) != 0)


@pytest.mark.parametrize("kind", ["scaled", "projected"])
@pytest.mark.parametrize("name", ENCODERS)
def test_the_last_click_adds_its_transformed_embedding(name, kind):
    plain, model = pair(name, kind, normalize=False)
    random = np.random.default_rng(0)
    W = random.normal(size=model.W_last.shape).astype("f")
    model.W_last.assign(W)
    x_t = plain.X.numpy()[LAST - 1]
    added = W * x_t if kind == "scaled" else x_t @ W.T
    expected = plain.encode(SESSIONS).numpy() + added
    np.testing.assert_allclose(model.encode(SESSIONS), expected, rtol=1e-4, atol=1e-5)
    scores = model.scores(SESSIONS)
    np.testing.assert_allclose(scores, expected @ plain.X.numpy().T, rtol=1e-4, atol=1e-5)


def test_a_normalised_query_has_the_last_click_before_it_is_normalised():
    plain, model = pair("stamp", "projected", normalize=True, scale=5.0)
    model.W_last.assign(np.eye(6))
    items = tf.constant([[4, 2]])
    x = plain.item_embeddings().numpy()
    query = plain.encode_embeddings(items, x[None, [3, 1]], False, None).numpy()[0] + x[1]
    expected = 5 * query / np.linalg.norm(query)
    np.testing.assert_allclose(model.encode(items)[0], expected, rtol=1e-5)


def test_sessions_without_a_click_have_none():
    model = make_model(last_click="projected")
    np.testing.assert_array_equal(model.encode(tf.zeros([1, 3], tf.int32)), np.zeros((1, 4)))


def test_hlns_query_with_leaps_is_its_query():
    model = make_model(last_click="projected")
    query, _ = model.encode_with_leaps(SESSIONS)
    np.testing.assert_array_equal(query, model.encode(SESSIONS))
    assert np.any(query != make_model().encode(SESSIONS))
