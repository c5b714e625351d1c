import numpy as np
import pytest
import tensorflow as tf

from hln_tf.layers.leap_recurrent import PADDING_LOGIT, LeapRecurrentCell
from hln_tf.layers.recurrent_ops import run_recurrence

BATCH, N = 5, 4


def cell_and_steps(time, **arguments):
    """A cell with random weights, and inputs of which some steps are padding."""
    random = np.random.default_rng(0)
    cell = LeapRecurrentCell(N, **arguments)
    cell.build(None)
    for weight in cell.weights:
        weight.assign(random.normal(0.0, 0.7, weight.shape))
    leap_input = random.normal(size=(time, BATCH, 1))
    leap_input[-1, :2] = PADDING_LOGIT
    steps = (
        random.normal(size=(time, BATCH, 3 * N)),
        leap_input,
        random.logistic(size=(time, BATCH, 1)),
    )
    return cell, [tf.constant(step, tf.float32) for step in steps]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("arguments", "time"),
    [
        ({}, 6),
        ({"temperature": 0.3}, 1),
        ({"sees_state": False}, 3),
        ({"inference_gate": "expected"}, 4),
    ],
)
def test_gradient_is_that_of_the_tape_over_single_steps(arguments, time, training):
    cell, steps = cell_and_steps(time, **arguments)
    sought = [*steps[:2], *cell.trainable_variables]

    def gradients(run):
        with tf.GradientTape() as tape:
            tape.watch(steps)
            logits, last = run()
            # Weights that no symmetry of the sum can hide a mistake behind.
            total = tf.reduce_sum(last * tf.reshape(tf.range(1.0, BATCH * N + 1), [BATCH, N]))
            total += tf.reduce_sum(tf.sigmoid(logits) * tf.range(1.0, BATCH + 1)[:, None])
        zero = tf.UnconnectedGradients.ZERO  # the only step of a session meets no U
        return tape.gradient(total, sought, unconnected_gradients=zero)

    def step_by_step():
        state, logits = tf.zeros([BATCH, N]), []
        for t in range(time):
            logit, [state] = cell([part[t] for part in steps], [state], training=training)
            logits.append(logit)
        return tf.stack(logits), state

    def all_at_once():
        x, leap_input, noise = steps
        return run_recurrence(cell, tf.split(x, 3, axis=2), leap_input, noise, training)

    expected = gradients(step_by_step)
    eager, compiled = gradients(all_at_once), tf.function(gradients)(all_at_once)
    for found in (eager, compiled):
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    assert all(np.abs(part).max() > 0 for part in expected[:2])
