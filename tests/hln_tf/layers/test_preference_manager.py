import numpy as np
import pytest
import reference
import tensorflow as tf

from hln_tf.layers.choices import AGGREGATIONS
from hln_tf.layers.preference_manager import PreferenceManager

FIRST = [[1.0, -2.0], [0.5, 0.0]]
SECOND = [[-3.0, 4.0], [0.25, -1.0]]


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
    manager = PreferenceManager(aggregation)
    result = manager(list(h))
    weights = {}
    if aggregation == "attention":
        weights = {"W_att": manager.W_a.numpy(), "v_att": manager.v.numpy()[:, 0]}
    expected = [reference.aggregate(h[:, row], weights, aggregation) for row in range(4)]
    np.testing.assert_allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_one_preference_is_its_own_aggregate(aggregation):
    np.testing.assert_array_equal(PreferenceManager(aggregation)([tf.constant(FIRST)]), FIRST)


def test_only_attention_has_weights():
    for aggregation in AGGREGATIONS:
        manager = PreferenceManager(aggregation)
        manager([tf.constant(FIRST)])
        shapes = [tuple(weight.shape) for weight in manager.trainable_variables]
        assert shapes == ([(2, 2), (2, 1)] if aggregation == "attention" else [])


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_one_tensor_of_all_groups_is_a_list_of_its_groups(aggregation):
    h = tf.constant([FIRST, SECOND])
    manager = PreferenceManager(aggregation)
    expected = manager([h[0], h[1]])
    np.testing.assert_array_equal(manager(tf.transpose(h, [1, 0, 2])), expected)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_a_tensor_of_one_preference_is_a_list_of_one(aggregation):
    """As Keras passes it when it loads a functional model."""
    h = tf.random.stateless_normal([3, 5], [1, 2])
    manager = PreferenceManager(aggregation)
    np.testing.assert_array_equal(manager(h), manager([h]))
