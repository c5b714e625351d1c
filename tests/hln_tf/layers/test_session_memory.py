import numpy as np
import pytest
import tensorflow as tf
from small_narm import read

from hln_tf.layers.session_memory import SessionMemory

SIZE, UNITS = 5, 3


def make_memory(size=SIZE, neighbors=2):
    memory = SessionMemory(size, UNITS, neighbors)
    memory(tf.zeros([1, UNITS]))
    return memory


def vectors(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, UNITS)).astype(np.float32)


@pytest.mark.parametrize(
    "batches",
    [[3], [2, 3], [3, 3], [3, 3, 3, 3], [5, 5], [8], [2, 13, 1], [0, 1]],
)
def test_it_stores_the_latest_vectors_in_a_ring(batches):
    memory, written = make_memory(), vectors(sum(batches))
    for part in np.split(written, np.cumsum(batches)[:-1]):
        memory.write(tf.constant(part))
    expected = np.zeros((SIZE, UNITS), np.float32)
    for place, vector in enumerate(written):
        expected[place % SIZE] = vector
    np.testing.assert_array_equal(memory.vectors, expected)
    assert int(memory.written) == len(written)


@pytest.mark.parametrize("count", [1, 2, 4, 5, 9])
@pytest.mark.parametrize("neighbors", [1, 2, 5, 100])
def test_readers_get_the_nearest_by_cosine(count, neighbors):
    memory, written, keys = make_memory(neighbors=neighbors), vectors(count), vectors(6, seed=1)
    # Lengths have no effect on what is near, but on what is read.
    written *= np.arange(1, count + 1)[:, None]
    memory.write(tf.constant(written))
    expected = [read(key, written[-SIZE:], neighbors) for key in keys]
    np.testing.assert_allclose(memory(keys), expected, atol=1e-5)
    np.testing.assert_allclose(memory(100 * keys), expected, atol=1e-5)


def test_weights_by_hand():
    memory = make_memory(neighbors=2)
    memory.write(tf.constant([[0.0, 2.0, 0.0], [-1.0, 0.0, 0.0], [3.0, 0.0, 0.0]]))
    # Cosines with the key are 0, -1 and 1, so the first and the last are nearest.
    share = np.e / (1 + np.e)
    np.testing.assert_allclose(
        memory(tf.constant([[5.0, 0.0, 0.0]])), [[3 * share, 2 * (1 - share), 0.0]], rtol=1e-6
    )


def test_rows_that_were_never_written_do_not_count():
    memory = make_memory(neighbors=SIZE)
    memory.write(tf.constant([[-1.0, 0.0, 0.0]]))
    np.testing.assert_allclose(memory(tf.constant([[1.0, 0.0, 0.0]])), [[-1.0, 0.0, 0.0]])


def test_an_empty_memory_returns_zero_and_has_no_gradient():
    memory, keys = make_memory(), tf.constant(vectors(2))
    with tf.GradientTape() as tape:
        tape.watch(keys)
        found = memory(keys)
    np.testing.assert_array_equal(found, np.zeros((2, UNITS)))
    np.testing.assert_array_equal(tape.gradient(found, keys), np.zeros((2, UNITS)))


def test_it_is_not_trained():
    memory = make_memory()
    assert memory.trainable_variables == []
    assert len(memory.variables) == 2


@pytest.mark.parametrize("name", ["size", "units", "neighbors"])
def test_wrong_sizes_are_refused(name):
    with pytest.raises(ValueError, match=f"`{name}` must be an integer .*, received 0"):
        SessionMemory(**{"size": SIZE, "units": UNITS, "neighbors": 2, name: 0})
