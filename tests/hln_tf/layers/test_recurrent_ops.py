import numpy as np
import pytest
import tensorflow as tf

from hln_tf.layers.leap_gate import LeapGate
from hln_tf.layers.recurrent_ops import RecurrentWeights, gate_kernels, gru_step, run_recurrence

BATCH, N = 5, 4


def make_inputs(time):
    """Differentiable inputs by name, and noise."""
    random = np.random.default_rng(0)
    shapes = {
        "gru_input": (3, time, BATCH, N),
        "U": (N, 3 * N),
        "c": (N,),
        "w_q": (N,),
        "leap_input": (time, BATCH, 1),
        "h_0": (BATCH, N),
    }
    inputs = {name: random.normal(0.0, 0.7, shape) for name, shape in shapes.items()}
    inputs["available"] = (random.random((time, BATCH, 1)) < 0.7).astype(float)
    inputs = {name: tf.constant(value, tf.float32) for name, value in inputs.items()}
    return inputs, tf.constant(random.logistic(size=(time, BATCH, 1)), tf.float32)


def step_by_step(inputs, gate, noise):
    """The last state, all states and the logits by the definition, for automatic gradients."""
    h = inputs.get("h_0", tf.zeros([BATCH, N]))
    states, logits = [], []
    for t in range(noise.shape[0]):
        products = [tf.matmul(h, kernel) for kernel in gate_kernels(inputs["U"])]
        k = tf.ones([BATCH, 1])
        if gate is not None:
            logits.append(inputs["leap_input"][t] + tf.matmul(h, inputs["w_q"][:, None]))
            k -= gate(logits[-1], noise[t], training=True)
        if "available" in inputs:
            k *= inputs["available"][t]
        gru = gru_step(h, inputs["gru_input"][:, t], products, inputs["c"]).h
        h = (1 - k) * h + k * gru
        states.append(h)
    return {"h_last": h, "states": tf.stack(states), "logits": tf.stack(logits) if gate else None}


def all_at_once(inputs, gate, noise, return_states):
    weights = RecurrentWeights(inputs["U"], inputs["c"], inputs["w_q"] if gate else None)
    return run_recurrence(
        tf.unstack(inputs["gru_input"]),
        weights,
        gate,
        inputs["leap_input"] if gate else None,
        noise if gate else None,
        inputs.get("available"),
        inputs.get("h_0"),
        training=True,
        return_states=return_states,
    )._asdict()


@pytest.mark.parametrize("time", [1, 6])
@pytest.mark.parametrize("absent", [(), ("h_0",), ("available",), ("h_0", "available")])
@pytest.mark.parametrize(
    ("gate", "used"),
    [
        (LeapGate(0.6), ["h_last"]),
        (LeapGate(0.6), ["states"]),
        (LeapGate(0.6), ["logits"]),
        (LeapGate(0.6), ["h_last", "states", "logits"]),
        (None, ["h_last"]),
        (None, ["h_last", "states"]),
    ],
)
def test_gradient_is_that_of_the_tape_over_single_steps(gate, used, absent, time):
    inputs, noise = make_inputs(time)
    inputs = {name: value for name, value in inputs.items() if name not in absent}
    random = np.random.default_rng(1)
    shapes = {"h_last": (BATCH, N), "states": (time, BATCH, N), "logits": (time, BATCH, 1)}
    # Weights that no symmetry of the sum can hide a mistake behind.
    weights = {name: random.normal(size=shapes[name]).astype(np.float32) for name in used}

    def outputs_and_gradients(run):
        with tf.GradientTape() as tape:
            tape.watch(list(inputs.values()))
            outputs = run()
            total = sum(tf.reduce_sum(weights[name] * outputs[name]) for name in used)
        zero = tf.UnconnectedGradients.ZERO
        gradients = tape.gradient(total, list(inputs.values()), unconnected_gradients=zero)
        return [outputs[name] for name in used] + gradients

    expected = outputs_and_gradients(lambda: step_by_step(inputs, gate, noise))
    run = lambda: all_at_once(inputs, gate, noise, "states" in used)  # noqa: E731
    for found in (outputs_and_gradients(run), tf.function(outputs_and_gradients)(run)):
        for ours, definitions in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, definitions, rtol=1e-4, atol=1e-5)


def test_states_are_returned_only_where_asked_for():
    inputs, noise = make_inputs(3)
    assert all_at_once(inputs, LeapGate(), noise, return_states=False)["states"] is None
    without_gate = all_at_once(inputs, None, noise, return_states=True)
    assert without_gate["logits"] is None
    np.testing.assert_array_equal(without_gate["states"][-1], without_gate["h_last"])
