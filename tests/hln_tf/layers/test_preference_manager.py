import numpy as np
import pytest
import reference
import tensorflow as tf

from hln_tf.layers.choices import AGGREGATIONS
from hln_tf.layers.preference_manager import PreferenceManager

FIRST = [[1.0, -2.0], [0.5, 0.0]]
SECOND = [[-3.0, 4.0], [0.25, -1.0]]


def aggregate(manager, h, ages=None):
    """Call a manager, with ages 0, 1, 2, ... of the preferences where it needs them."""
    if manager.aggregation != "recency":
        return manager(h)
    batch, groups = h[0].shape[0], len(h)
    if isinstance(h, tf.Tensor):
        batch, groups = h.shape[0], 1 if h.shape.rank == 2 else h.shape[1]
    ages = np.tile(np.arange(groups), [batch, 1]) if ages is None else ages
    return manager(h, tf.constant(ages, tf.int32))


def test_unknown_aggregation_is_refused():
    with pytest.raises(ValueError, match=r"`aggregation` must be one of .*, received 'mean'"):
        PreferenceManager("mean")


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [("sum", [[-2.0, 2.0], [0.75, -1.0]]), ("max", [[1.0, 4.0], [0.5, 0.0]])],
)
def test_aggregate_by_hand(aggregation, expected):
    result = PreferenceManager(aggregation)([tf.constant(FIRST), tf.constant(SECOND)])
    np.testing.assert_array_equal(result, expected)


def test_attention_by_hand():
    manager = PreferenceManager("attention")
    h = [tf.constant([[1.0, 0.0]]), tf.constant([[0.0, 1.0]])]
    manager(h)
    manager.W_a.assign([[2.0, 3.0], [0.0, 0.0]])
    manager.v.assign([[1.0], [5.0]])
    # W_a h is [2, 0] and [3, 0]; the energies are tanh 2 and tanh 3.
    e = np.exp([np.tanh(2.0), np.tanh(3.0)])
    np.testing.assert_allclose(manager(h), [e / e.sum()], rtol=1e-6)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("groups", [1, 2, 5])
def test_aggregate_is_the_reference(aggregation, groups):
    random = np.random.default_rng(groups)
    h = random.normal(size=(groups, 4, 3)).astype(np.float32)
    manager, ages = PreferenceManager(aggregation), random.integers(0, 30, (4, groups))
    aggregate(manager, list(h), ages)
    weights = {}
    if aggregation == "attention":
        weights = {"W_att": manager.W_a.numpy(), "v_att": manager.v.numpy()[:, 0]}
    if aggregation == "recency":
        manager.r.assign(random.normal(size=16))
        weights = {"r": manager.r.numpy()}
    result = aggregate(manager, list(h), ages)
    expected = [reference.aggregate(h[:, row], weights, aggregation, ages[row]) for row in range(4)]
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_one_preference_is_its_own_aggregate(aggregation):
    result = aggregate(PreferenceManager(aggregation), [tf.constant(FIRST)])
    np.testing.assert_array_equal(result, FIRST)


def test_weights_of_the_aggregations():
    expected = {"attention": [(2, 2), (2, 1)], "recency": [(16,)]}
    for aggregation in AGGREGATIONS:
        manager = PreferenceManager(aggregation)
        aggregate(manager, [tf.constant(FIRST)])
        shapes = [tuple(weight.shape) for weight in manager.trainable_variables]
        assert shapes == expected.get(aggregation, [])


def test_recency_without_ages_is_an_error():
    with pytest.raises(ValueError, match="`ages` is None, but the aggregation `recency` needs"):
        PreferenceManager("recency")([tf.constant(FIRST)])


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_one_tensor_of_all_groups_is_a_list_of_its_groups(aggregation):
    h = tf.constant([FIRST, SECOND])
    manager = PreferenceManager(aggregation)
    expected = aggregate(manager, [h[0], h[1]])
    np.testing.assert_array_equal(aggregate(manager, tf.transpose(h, [1, 0, 2])), expected)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_a_tensor_of_one_preference_is_a_list_of_one(aggregation):
    """As Keras passes it when it loads a functional model."""
    h = tf.random.stateless_normal([3, 5], [1, 2])
    manager = PreferenceManager(aggregation)
    np.testing.assert_array_equal(aggregate(manager, h), aggregate(manager, [h]))
