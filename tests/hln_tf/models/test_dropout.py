import numpy as np
import pytest
import tensorflow as tf
from small_hln import make_model

ITEMS = tf.constant([[1, 2, 3], [4, 5, 0]])
SEED = tf.constant([1, 2])


def test_dropout_leaves_the_mean_and_depends_on_seed_and_salt():
    model, x = make_model(), tf.ones([50, 40, 30])
    dropped = model.drop(x, 0.25, SEED, salt=1).numpy()
    assert set(np.unique(dropped)) == {0.0, np.float32(1 / 0.75)}
    assert np.mean(dropped == 0) == pytest.approx(0.25, abs=0.01)
    np.testing.assert_array_equal(dropped, model.drop(x, 0.25, SEED, salt=1))
    for seed, salt in ((SEED + 1, 1), (SEED, 2)):
        both = (dropped == 0) & (model.drop(x, 0.25, seed, salt).numpy() == 0)
        assert np.mean(both) == pytest.approx(0.25**2, abs=0.01)


def test_a_rate_of_0_returns_the_input():
    x = tf.random.stateless_normal([3, 4], [0, 0])
    assert make_model().drop(x, 0.0, None, salt=1) is x


def test_dropout_without_a_seed_is_an_error():
    with pytest.raises(ValueError, match="dropout must depend on the step"):
        make_model().drop(tf.ones([2, 2]), 0.5, None, salt=1)


@pytest.mark.parametrize("name", ["dropout", "preference_dropout"])
def test_dropout_is_for_training_alone(name):
    plain, model = make_model(), make_model(**{name: 0.5})

    def loss(model, step, training=True):
        batch = {"items": ITEMS, "target": tf.constant([5, 6]), "seed": tf.constant([1, step])}
        return float(model.compute_loss(batch, training=training))

    np.testing.assert_array_equal(model.scores(ITEMS), plain.scores(ITEMS))
    assert loss(model, 0, training=False) == loss(plain, 0, training=False)
    assert all(loss(model, step) != loss(plain, step) for step in range(3))
    assert loss(model, 1) == loss(model, 1)
