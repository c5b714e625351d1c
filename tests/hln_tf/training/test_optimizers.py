import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from hln_tf.training.optimizers import LazyAdam, add_weight_decay
from hln_tf.training.settings import TrainingSettings
from hln_tf.training.trainer import make_optimizer

RATE, BETA_1, BETA_2, EPSILON = 0.1, 0.9, 0.999, 1e-7


def reference(table, gradients, clip=np.inf):
    """Run Adam row by row: gradients are lists of (row, values), a row may occur repeatedly."""
    table = table.astype(np.float64)
    m, v = np.zeros_like(table), np.zeros_like(table)
    for step, slices in enumerate(gradients, start=1):
        total = {}
        for row, values in slices:
            total[row] = total.get(row, 0) + np.asarray(values, np.float64)
        norm = np.sqrt(sum((values**2).sum() for values in total.values()))
        for row, values in total.items():
            values = values * min(1, clip / norm)
            m[row] = BETA_1 * m[row] + (1 - BETA_1) * values
            v[row] = BETA_2 * v[row] + (1 - BETA_2) * values**2
            m_hat, v_hat = m[row] / (1 - BETA_1**step), v[row] / (1 - BETA_2**step)
            epsilon = EPSILON / np.sqrt(1 - BETA_2**step)
            table[row] -= RATE * m_hat / (np.sqrt(v_hat) + epsilon)
    return table


def slices_of(random, rows):
    return [(row, random.normal(size=3).astype(np.float32)) for row in rows]


def indexed(slices):
    rows, values = zip(*slices, strict=True)
    return tf.IndexedSlices(tf.constant(np.stack(values)), tf.constant(rows), tf.constant([6, 3]))


@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize("compiled", [False, True])
def test_rows_are_updated_lazily(clip, compiled):
    random = np.random.default_rng(0)
    start = random.normal(size=(6, 3)).astype(np.float32)
    gradients = [slices_of(random, rows) for rows in ([0, 2, 2], [4], [2, 0, 0, 0], [5, 4])]
    table = tf.Variable(start)
    optimizer = LazyAdam(RATE, **({"global_clipnorm": clip} if clip else {}))

    def apply(values, rows):
        slices = tf.IndexedSlices(values, rows, tf.constant([6, 3]))
        optimizer.apply_gradients([(slices, table)])

    if compiled:
        signature = [tf.TensorSpec([None, 3]), tf.TensorSpec([None], tf.int32)]
        apply = tf.function(apply, input_signature=signature)
    for slices in gradients:
        gradient = indexed(slices)
        apply(gradient.values, gradient.indices)
    expected = reference(start, gradients, clip or np.inf)
    np.testing.assert_allclose(table, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(table[1], start[1])
    np.testing.assert_array_equal(table[3], start[3])
    assert optimizer.iterations == 4


def test_dense_gradients_are_adams():
    random = np.random.default_rng(1)
    start = random.normal(size=(6, 3)).astype(np.float32)
    tables = []
    for optimizer in (LazyAdam(RATE), keras.optimizers.legacy.Adam(RATE)):
        table = tf.Variable(start)
        for step in range(5):
            optimizer.apply_gradients([(tf.sin(table + step), table)])
        tables.append(table.numpy())
    np.testing.assert_array_equal(*tables)


def test_rows_with_a_gradient_in_every_step_are_adams():
    random = np.random.default_rng(2)
    start = random.normal(size=(6, 3)).astype(np.float32)
    gradients = [slices_of(random, range(6)) for _ in range(5)]
    tables = []
    for optimizer in (LazyAdam(RATE), keras.optimizers.legacy.Adam(RATE)):
        table = tf.Variable(start)
        for slices in gradients:
            optimizer.apply_gradients([(indexed(slices), table)])
        tables.append(table.numpy())
    np.testing.assert_allclose(*tables, rtol=1e-5, atol=1e-7)


def test_weight_decay_of_a_weight_and_of_the_rows_of_a_table_that_a_step_reads():
    table, weight = tf.Variable([[1.0], [2.0], [4.0]]), tf.Variable(3.0)
    rows = tf.IndexedSlices(tf.constant([[0.5], [0.25], [0.5]]), tf.constant([2, 0, 2]))
    (of_table, _), (of_weight, _) = add_weight_decay(
        0.1, [(rows, table), (tf.constant(1.0), weight)]
    )
    assert float(of_weight) == pytest.approx(1.3)
    found = dict(zip(of_table.indices.numpy(), of_table.values.numpy()[:, 0], strict=True))
    assert found == pytest.approx({0: 0.25 + 0.1, 2: 1.0 + 0.4})


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_optimisers_apply_weight_decay(optimizer):
    weight = tf.Variable(5.0)
    made = make_optimizer(TrainingSettings(optimizer=optimizer, l2=0.5, learning_rate=0.1))
    made.apply_gradients([(tf.constant(0.0), weight)])
    # Adam moves by its learning rate, plain gradient descent by 0.1 * 0.5 * 5.
    assert float(weight) == pytest.approx(4.9 if optimizer == "adam" else 4.75)
