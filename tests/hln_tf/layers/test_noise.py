"""Noise of a step: of a replica's rows, under padding, and drawn outside of a program of XLA."""

import numpy as np
import pytest
import tensorflow as tf

from hln_tf.layers.noise import StepSeed, sizes, uniform_rows, uniform_shared
from hln_tf.layers.relaxed_bernoulli import LEAST, logistic_noise, to_logistic

SEED = tf.constant([5, 7])


@pytest.mark.parametrize(
    ("shape", "axis"), [([10, 3, 5], 0), ([10], 0), ([3, 10, 7], 1), ([1, 10, 4], 1), ([2, 10], 1)]
)
@pytest.mark.parametrize("size", [1, 3, 4, 10])
def test_replicas_draw_what_their_rows_have_in_the_whole_batch(shape, axis, size):
    whole = uniform_rows(shape, SEED, axis, salt=3, minval=0.25).numpy()
    assert 0.25 <= whole.min() and whole.max() < 1 and len(np.unique(whole)) == whole.size
    for first in range(0, 10 - size + 1, size):
        seed = StepSeed(SEED, tf.constant(first), tf.constant(10))
        of_part = [*shape[:axis], size, *shape[axis + 1 :]]
        part = uniform_rows(of_part, seed, axis, salt=3, minval=0.25)
        np.testing.assert_array_equal(part, whole.take(range(first, first + size), axis))


def test_a_part_is_drawn_in_a_graph_of_any_length():
    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def draw(items):
        seed = StepSeed(SEED, tf.constant(2), tf.constant(9))
        return uniform_rows([3, *sizes(items)], seed, axis=1)

    for time in (1, 6):
        whole = uniform_rows([3, 9, time], SEED, axis=1)
        np.testing.assert_array_equal(draw(tf.zeros([4, time], tf.int32)), whole[:, 2:6])


def test_numbers_differ_by_salt_and_by_step():
    drawn = [
        uniform_rows([50], seed, axis=0, salt=salt).numpy()
        for seed, salt in ((SEED, None), (SEED, 1), (SEED, 2), (SEED + 1, 1))
    ]
    for place, one in enumerate(drawn):
        for other in drawn[:place]:
            assert np.mean(one == other) < 0.1


@pytest.mark.parametrize(
    ("shape", "axes"), [([3, 4, 8], [2]), ([4, 8, 3], [1]), ([4, 8, 8], [1, 2])]
)
def test_padding_changes_no_other_number(shape, axes):
    shorter = [5 if axis in axes else size for axis, size in enumerate(shape)]
    expected = uniform_rows(shorter, SEED, 0).numpy()
    found = uniform_rows(shape, StepSeed(SEED, time=tf.constant(5)), 0, axes).numpy()
    np.testing.assert_array_equal(found[tuple(map(slice, shorter))], expected)
    found[tuple(map(slice, shorter))] = 0.5
    np.testing.assert_array_equal(found, 0.5)


def test_a_program_of_xla_is_given_the_numbers_that_tensorflow_draws():
    x = tf.random.stateless_uniform([4, 6, 3], [1, 1])

    @tf.function
    def step(x, seed):
        outside = tf.identity(x)

        @tf.function(jit_compile=True)
        def program(x):
            given = StepSeed(seed, graph=outside.graph)
            rows = uniform_rows(sizes(x), given, axis=0, salt=9)
            shared = uniform_shared([5], given, salt=9, dtype=tf.float64)
            return x + 0, rows, shared

        return program(tf.ensure_shape(outside, [4, 6, 3]))

    _, rows, shared = step(x, SEED)
    np.testing.assert_array_equal(rows, uniform_rows([4, 6, 3], SEED, 0, salt=9))
    np.testing.assert_array_equal(shared, uniform_shared([5], SEED, 9, tf.float64))


def test_replicas_share_what_belongs_to_no_row():
    seed = StepSeed(SEED, tf.constant(2), tf.constant(9))
    np.testing.assert_array_equal(uniform_shared([5], seed, 1), uniform_shared([5], SEED, 1))


def test_logistic_noise_of_uniform_numbers_is_that_of_the_distribution():
    uniform = uniform_rows([3, 40, 50], SEED, 1, minval=LEAST)
    noise = to_logistic(uniform)
    np.testing.assert_array_equal(noise, logistic_noise(tf.constant([3, 40, 50]), SEED))
    assert np.all(np.isfinite(to_logistic(tf.constant([LEAST, 0.5]))))
