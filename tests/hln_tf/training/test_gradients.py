import numpy as np
import pytest
import tensorflow as tf
from small_hln import make_model

from hln_tf.training.gradients import compile_gradient_norm

SEED = tf.constant([3, 4])


@pytest.mark.parametrize("loss", ["softmax", pytest.param("sampled", marks=pytest.mark.slow)])
def test_the_norm_is_that_of_all_gradients_in_full(loss):
    model = make_model(loss=loss)
    # Item 2 is clicked in three places, whose sparse gradients are for one row.
    items, target = tf.constant([[2, 5, 2], [2, 7, 0]]), tf.constant([4, 2])
    with tf.GradientTape() as tape:
        batch = {"items": items, "target": target, "seed": SEED}
        value = model.compute_loss(batch, training=True)
    gradients = tape.gradient(value, model.trainable_variables)
    is_sparse = [isinstance(gradient, tf.IndexedSlices) for gradient in gradients]
    assert any(is_sparse) == (loss == "sampled")
    squares = [np.square(tf.convert_to_tensor(gradient).numpy()).sum() for gradient in gradients]
    before = [variable.numpy() for variable in model.trainable_variables]
    norm = compile_gradient_norm(model)(items, target, SEED)
    assert float(norm) == pytest.approx(np.sqrt(np.sum(squares)), rel=1e-5)
    for variable, old in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable, old)
