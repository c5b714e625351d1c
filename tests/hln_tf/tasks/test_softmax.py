import functools

import numpy as np
import pytest
import reference
import tensorflow as tf

from hln_tf.layers.catalogue_scores import catalogue_statistics
from hln_tf.tasks import Equation8, FullSoftmax

SMOOTHING = 0.3
LOSSES = {
    "softmax": FullSoftmax,
    "smoothed": functools.partial(FullSoftmax, label_smoothing=SMOOTHING),
    "equation_8": Equation8,
}
REFERENCE = {
    "softmax": reference.softmax_cross_entropy,
    "smoothed": functools.partial(reference.smoothed_cross_entropy, smoothing=SMOOTHING),
    "equation_8": reference.equation_8,
}

# The softmax of these rows is [1/8, 2/8, 5/8] and [1/4, 1/4, 1/2].
SCORES = np.log([[1.0, 2.0, 5.0], [4.0, 4.0, 8.0]])
TARGET = np.array([1, 2])
BY_HAND = {
    "softmax": [-np.log(2 / 8), -np.log(1 / 2)],
    # 0.7 + 0.1 of the mass on the target, 0.1 on each of the others.
    "smoothed": [
        -0.1 * np.log(1 / 8) - 0.8 * np.log(2 / 8) - 0.1 * np.log(5 / 8),
        -0.2 * np.log(1 / 4) - 0.8 * np.log(1 / 2),
    ],
    "equation_8": [
        -np.log(2 / 8) - np.log(7 / 8) - np.log(3 / 8),
        -np.log(1 / 2) - np.log(3 / 4) - np.log(3 / 4),
    ],
}


def losses_of(scores, target, name, dtype="float32"):
    """The losses where the queries are the scores and item i has the i-th unit vector."""
    scores = tf.convert_to_tensor(scores, dtype)
    identity = tf.eye(scores.shape[1], dtype=dtype)
    return LOSSES[name](dtype=dtype)(scores, identity, tf.constant(target))


def test_unknown_precision_is_refused():
    with pytest.raises(ValueError, match=r"`precision` must be one of .*, received 'float8'"):
        FullSoftmax("float8")


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_label_smoothing_outside_of_its_range_is_refused(smoothing):
    with pytest.raises(ValueError, match=r"`label_smoothing` must be from 0 to below 1, received"):
        FullSoftmax(label_smoothing=smoothing)


def test_label_smoothing_is_in_the_config():
    loss = FullSoftmax(label_smoothing=0.25)
    assert FullSoftmax.from_config(loss.get_config()).label_smoothing == 0.25


@pytest.mark.parametrize("name", LOSSES)
def test_losses_by_hand(name):
    np.testing.assert_allclose(losses_of(SCORES, TARGET, name), BY_HAND[name], rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_of_queries_and_candidates_is_that_of_the_reference(name):
    random = np.random.default_rng(0)
    query, candidates = random.normal(size=(6, 4)), random.normal(size=(9, 4))
    target = random.integers(0, 9, 6)
    losses = LOSSES[name]()(
        tf.constant(query, tf.float32), tf.constant(candidates, tf.float32), tf.constant(target)
    )
    expected = REFERENCE[name](query @ candidates.T, target)
    np.testing.assert_allclose(np.mean(losses), expected, rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("spread", [0.0, 1.0, 10.0, 100.0])
def test_loss_is_that_of_the_reference_at_any_spread_of_scores(name, spread):
    random = np.random.default_rng(1)
    scores = (spread * random.normal(size=(20, 7))).astype(np.float32)
    target = random.integers(0, 7, 20)
    for row in range(20):
        expected = REFERENCE[name](scores[row : row + 1], target[row : row + 1])
        found = losses_of(scores, target, name)[row]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("target", [0, 1, 2])
@pytest.mark.parametrize(
    "scores", [[1e4, -1e4, 0.0], [1e4, 1e4, -1e4], [-1e4, -1e4, -1e4], [1e4, -1e4, -1e4]]
)
def test_saturated_scores(scores, target, name):
    variable = tf.Variable([scores])
    with tf.GradientTape() as tape:
        loss = losses_of(variable, [target], name)
    # The mean score of smoothed targets rounds as scores of 1e4 do.
    rounding = 1e-3 if name == "smoothed" else 0.0
    expected = [REFERENCE[name]([scores], [target])]
    np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=rounding)
    gradient = tape.gradient(loss, variable).numpy()
    assert np.all(np.isfinite(gradient))
    # A common shift of all scores changes nothing.
    np.testing.assert_allclose(gradient.sum(), 0.0, atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("spread", [0.5, 2.0, 6.0])
def test_gradient_is_that_of_finite_differences_of_numpy(name, spread):
    random = np.random.default_rng(2)
    scores, target = spread * random.normal(size=(3, 5)), [0, 4, 2]
    weight = np.array([0.5, 2.0, -1.0])
    variable = tf.Variable(scores)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(weight * losses_of(variable, target, name, "float64"))
    gradient = tape.gradient(total, variable)
    step = 1e-6
    for row, column in np.ndindex(scores.shape):
        moved = [scores[row : row + 1].copy(), scores[row : row + 1].copy()]
        moved[0][0, column] += step
        moved[1][0, column] -= step
        upper, lower = (REFERENCE[name](where, target[row : row + 1]) for where in moved)
        expected = weight[row] * (upper - lower) / (2 * step)
        np.testing.assert_allclose(gradient[row, column], expected, atol=1e-7)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_by_queries_and_candidates_are_those_of_numpy(name):
    random = np.random.default_rng(3)
    arrays = [random.normal(size=(4, 3)), random.normal(size=(6, 3))]
    target = random.integers(0, 6, 4)
    variables = [tf.Variable(array) for array in arrays]
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(LOSSES[name](dtype="float64")(*variables, tf.constant(target)))
    gradients = tape.gradient(loss, variables)
    step = 1e-6
    for array, gradient in zip(arrays, gradients, strict=True):
        for index in np.ndindex(array.shape):
            value, around = array[index], []
            for array[index] in (value + step, value - step):
                around.append(REFERENCE[name](arrays[0] @ arrays[1].T, target))
            array[index] = value
            expected = (around[0] - around[1]) / (2 * step)
            np.testing.assert_allclose(gradient[index], expected, atol=1e-7)


@pytest.mark.parametrize("name", LOSSES)
def test_a_catalogue_of_one_item_has_nothing_to_learn(name):
    variable = tf.Variable([[3.0]])
    with tf.GradientTape() as tape:
        loss = losses_of(variable, [0], name)
    assert loss[0] == 0
    assert tape.gradient(loss, variable) == 0


@pytest.mark.parametrize("smoothing", [0.0, SMOOTHING])
def test_bfloat16_rounds_the_products_alone(smoothing):
    random = np.random.default_rng(4)
    query = tf.Variable(random.normal(size=(30, 8)), dtype=tf.float32)
    candidates = tf.Variable(random.normal(size=(50, 8)), dtype=tf.float32)
    target = tf.constant(random.integers(0, 50, 30))
    found = []
    for precision in ("float32", "bfloat16"):
        with tf.GradientTape() as tape:
            losses = FullSoftmax(precision, smoothing)(query, candidates, target)
        found.append([losses, *tape.gradient(losses, [query, candidates])])
    for exact, rounded in zip(*found, strict=True):
        assert rounded.dtype == tf.float32
        assert np.any(rounded != exact)
        np.testing.assert_allclose(rounded, exact, atol=0.05 * np.abs(exact).max())


@pytest.mark.parametrize("smoothing", [0.0, SMOOTHING])
def test_evaluation_takes_the_loss_from_the_statistics_of_the_scores(smoothing):
    random = np.random.default_rng(5)
    query, candidates = (random.normal(size=(rows, 4)).astype("f") for rows in (6, 9))
    target = tf.constant(random.integers(0, 9, 6))
    arguments = (tf.constant(query), tf.constant(candidates), target)
    loss = FullSoftmax("bfloat16", smoothing)
    found = loss.evaluate(*arguments, catalogue_statistics(*arguments))
    np.testing.assert_allclose(found, FullSoftmax(label_smoothing=smoothing)(*arguments), rtol=1e-5)
