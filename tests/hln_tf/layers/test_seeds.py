import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from small_lru import N, make_inputs, randomised

from hln_tf.layers import LeapRecurrentCell, LeapRecurrentUnit
from hln_tf.layers.seeds import SeedGenerator


def cell_layer(seed):
    return keras.layers.RNN(LeapRecurrentCell(N, seed=seed), return_sequences=True)


def unit_layer(seed):
    return LeapRecurrentUnit(N, seed=seed, return_sequences=True)


def unfused_layer(seed):
    return LeapRecurrentUnit(N, seed=seed, return_sequences=True, fused=False)


LAYERS = [cell_layer, unit_layer, unfused_layer]


def outputs(layer, calls=2):
    """Of calls in training with the same weights, whatever the layer's seed."""
    x = tf.constant(make_inputs(12).x, tf.float32)
    if not layer.built:
        layer(x)
        randomised(layer)
    return np.array([layer(x, training=True) for _ in range(calls)])


def test_seeds_differ_from_call_to_call_and_are_fixed_by_the_first():
    first, second = (
        np.array([seeds.next() for _ in range(100)])
        for seeds in (SeedGenerator(7), SeedGenerator(7))
    )
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first, axis=0)) == 100
    assert first.dtype == np.int32
    assert np.any(first != np.array([SeedGenerator(8).next()]))


def test_seeds_differ_from_step_to_step_in_a_graph():
    seeds = SeedGenerator(7)
    expected = SeedGenerator(7)
    step = tf.function(seeds.next)
    for _ in range(3):
        np.testing.assert_array_equal(step(), expected.next())


def test_a_checkpoint_resumes_the_seeds(tmp_path):
    seeds = SeedGenerator(7)
    seeds.next()
    path = tf.train.Checkpoint(seeds=seeds).save(str(tmp_path / "c"))
    expected = seeds.next()
    restored = SeedGenerator(8)
    tf.train.Checkpoint(seeds=restored).restore(path).assert_consumed()
    np.testing.assert_array_equal(restored.next(), expected)


@pytest.mark.parametrize("make", LAYERS)
def test_layers_of_one_seed_sample_the_same_noise(make):
    first, second = outputs(make(5)), outputs(make(5))
    np.testing.assert_array_equal(first, second)
    assert np.any(first[0] != first[1])
    assert np.any(outputs(make(6)) != first)


@pytest.mark.slow
@pytest.mark.parametrize("make", LAYERS)
def test_layers_without_a_seed_differ_unless_keras_seed_is_set(make):
    def after_setting(seed):
        keras.utils.set_random_seed(seed)
        return outputs(make(None)), outputs(make(None))

    first, second = after_setting(3)
    assert np.any(first != second)
    np.testing.assert_array_equal(after_setting(3), (first, second))
    assert np.any(after_setting(4)[0] != first)


def test_fused_and_unfused_unit_of_one_seed_sample_the_same_noise():
    np.testing.assert_allclose(outputs(unit_layer(5)), outputs(unfused_layer(5)), atol=1e-5)


def test_given_noise_does_not_use_up_a_seed():
    first, second = unit_layer(5), unit_layer(5)
    outputs(first, calls=0)
    inputs = make_inputs(12)
    x, noise = (tf.constant(value, tf.float32) for value in (inputs.x, inputs.noise))
    first(x, noise=noise, training=True)
    first(x, training=False)
    np.testing.assert_array_equal(outputs(first), outputs(second))


DETERMINISTIC = """
    import hln_tf
    import numpy as np
    import tensorflow as tf
    import tf_keras as keras
    from hln_tf.layers import LeapRecurrentCell, LeapRecurrentUnit

    tf.config.experimental.enable_op_determinism()
    x = np.random.default_rng(0).normal(size=(8, 5, 3)).astype(np.float32)
    for make in (
        lambda: keras.layers.RNN(LeapRecurrentCell(4)),
        lambda: LeapRecurrentUnit(4),
    ):
        runs = []
        for _ in range(2):
            keras.utils.set_random_seed(1)
            inputs = keras.Input([None, 3])
            model = keras.Model(inputs, make()(inputs))
            model.compile(keras.optimizers.SGD(0.1), "mse")
            history = model.fit(x, np.ones([8, 4]), batch_size=4, epochs=2, verbose=0)
            runs.append([history.history["loss"], *(w.numpy().tolist() for w in model.weights)])
        assert runs[0] == runs[1]
        assert np.all(np.isfinite(runs[0][0]))
"""


@pytest.mark.slow
def test_with_deterministic_operations_layers_train_without_a_seed_and_repeat_themselves():
    command = [sys.executable, "-c", textwrap.dedent(DETERMINISTIC)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
