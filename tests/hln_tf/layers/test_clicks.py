import hypothesis
import numpy as np
import pair_oracles
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from hln_tf.layers.choices import WEIGHTINGS
from hln_tf.layers.clicks import (
    LatestClicks,
    clicks_after,
    distance_weights,
    last_click,
    mean_of_clicks,
)

ITEMS = tf.constant([[4, 2, 0], [0, 0, 7], [0, 3, 0], [5, 5, 1], [0, 0, 0]])
X = np.arange(30.0, dtype=np.float32).reshape(5, 3, 2)


def mask_padding(x, items):
    return tf.constant(x) * tf.cast(items > 0, tf.float32)[..., None]


def test_last_click_by_hand():
    expected = [X[0, 1], X[1, 2], X[2, 1], X[3, 2], X[4, 0]]
    np.testing.assert_array_equal(last_click(tf.constant(X), ITEMS), expected)
    np.testing.assert_array_equal(last_click(ITEMS, ITEMS), [2, 7, 3, 1, 0])


def test_mean_of_clicks_by_hand():
    expected = [(X[0, 0] + X[0, 1]) / 2, X[1, 2], X[2, 1], X[3].mean(axis=0), [0, 0]]
    np.testing.assert_allclose(mean_of_clicks(mask_padding(X, ITEMS), ITEMS), expected)


def test_clicks_after_by_hand():
    items = tf.constant([[4, 0, 2, 4, 0], [0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(clicks_after(items), [[2, 2, 1, 0, 0], [0, 0, 0, 0, 0]])


def test_latest_clicks_by_hand():
    # 4 and 2 and 4; no click; 3.
    clicks = LatestClicks.from_items(tf.constant([[4, 0, 2, 4], [0, 0, 0, 0], [0, 3, 0, 0]]))
    expected = {"sessions": [0, 0, 2], "items": [2, 4, 3], "later": [1, 0, 0], "lengths": [3, 3, 1]}
    for name, values in expected.items():
        np.testing.assert_array_equal(getattr(clicks, name), values)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_weights_fall_with_the_distance(weighting):
    weights = distance_weights(weighting, tf.range(1, 15))
    expected = [pair_oracles.WEIGHTS[weighting](i) for i in range(1, 15)]
    np.testing.assert_allclose(weights, expected, rtol=1e-12)


@hypothesis.settings(deadline=None, max_examples=25)
@hypothesis.given(st.lists(st.integers(0, 4), min_size=1, max_size=7))
def test_one_session_padded_anywhere(row):
    items = tf.constant([row])
    x = np.random.default_rng(0).normal(size=(1, len(row), 3)).astype(np.float32)
    clicks = [vector for vector, item in zip(x[0], row, strict=True) if item]
    expected = np.mean(clicks, axis=0) if clicks else np.zeros(3)
    mean = mean_of_clicks(mask_padding(x, items), items)[0]
    np.testing.assert_allclose(mean, expected, rtol=1e-5, atol=1e-5)
    last = clicks[-1] if clicks else x[0, 0]
    np.testing.assert_array_equal(last_click(tf.constant(x), items)[0], last)


def test_a_session_without_a_click_has_finite_gradients():
    items = tf.constant([[0, 0], [0, 2]])
    x = tf.ones([2, 2, 3])
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(mean_of_clicks(x * [[[0.0], [0.0]], [[0.0], [1.0]]], items))
    expected = np.zeros([2, 2, 3])
    expected[1, 1] = 1.0
    np.testing.assert_array_equal(tape.gradient(total, x), expected)
