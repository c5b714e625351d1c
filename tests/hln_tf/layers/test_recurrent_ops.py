from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from hln_tf.layers.leap_gate import LeapGate
from hln_tf.layers.leap_logit import LeapInput
from hln_tf.layers.recurrent_ops import RecurrentWeights, gate_kernels, gru_step, run_recurrence

BATCH, N, D = 5, 4, 3
PREDICTIVE = LeapGate(0.6, retains_first=True)


def make_inputs(time):
    """Differentiable inputs by name, and noise."""
    random = np.random.default_rng(0)
    shapes = {
        "gru_input": (3, time, BATCH, N),
        "U": (N, 3 * N),
        "c": (N,),
        "w_q": (N,),
        "bias": (time, BATCH, 1),
        "key": (time, BATCH, N),
        "W": (D, N),
        "h_0": (BATCH, N),
    }
    inputs = {name: random.normal(0.0, 0.7, shape) for name, shape in shapes.items()}
    inputs["available"] = (random.random((time, BATCH, 1)) < 0.7).astype(float)
    inputs = {name: tf.constant(value, tf.float32) for name, value in inputs.items()}
    return inputs, tf.constant(random.logistic(size=(time, BATCH, 1)), tf.float32)


def step_by_step(inputs, gate, noise):
    """The results by the definition, for automatic gradients."""
    h = inputs.get("h_0", tf.zeros([BATCH, N]))
    retained = tf.zeros([BATCH, 1])
    states, logits, gates = [], [], []
    for t in range(noise.shape[0]):
        products = [tf.matmul(h, kernel) for kernel in gate_kernels(inputs["U"])]
        k = tf.ones([BATCH, 1])
        if gate is not None:
            logit = inputs["bias"][t]
            if "w_q" in inputs:
                logit += tf.matmul(h, inputs["w_q"][:, None])
            if "key" in inputs:
                score = tf.reduce_sum(h * inputs["key"][t], axis=1, keepdims=True)
                if "W" in inputs:
                    query = tf.matmul(h, inputs["W"], transpose_b=True)
                    score /= tf.maximum(tf.norm(query, axis=1, keepdims=True), 0.1)
                logit += score
            if gate.retains_first:
                has_begun = retained >= 0.5
                logits.append(tf.where(has_begun, logit, -12.0))
                gates.append(tf.where(has_begun, gate(logit, noise[t], training=True), 0.0))
            else:
                logits.append(logit)
                gates.append(gate(logit, noise[t], training=True))
            k -= gates[-1]
        if "available" in inputs:
            k *= inputs["available"][t]
        gru = gru_step(h, inputs["gru_input"][:, t], products, inputs["c"]).h
        h = (1 - k) * h + k * gru
        retained += tf.stop_gradient(k)
        states.append(h)
    results = {"h_last": h, "states": tf.stack(states), "retained": retained}
    if gate is not None:
        results |= {"logits": tf.stack(logits), "gates": tf.stack(gates)}
    return results


def all_at_once(inputs, gate, noise, return_states, joined=None):
    leap = LeapInput(inputs["bias"], *(inputs.get(name) for name in ("w_q", "key", "W")))
    return run_recurrence(
        tf.unstack(inputs["gru_input"]),
        RecurrentWeights(inputs["U"], inputs["c"]),
        gate,
        leap if gate else None,
        noise if gate else None,
        inputs.get("available"),
        inputs.get("h_0"),
        training=True,
        return_states=return_states,
        joined=joined,
    )._asdict()


@pytest.mark.parametrize(
    ("time", "absent"),
    [
        (6, ()),
        (1, ("h_0", "available")),
        pytest.param(6, ("h_0",), marks=pytest.mark.slow),
        pytest.param(1, ("available",), marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    ("gate", "without", "used"),
    [
        (LeapGate(0.6), ("key", "W"), ["h_last"]),
        (LeapGate(0.6), ("key", "W"), ["states"]),
        (LeapGate(0.6), ("key", "W"), ["logits"]),
        (LeapGate(0.6), ("key", "W"), ["gates"]),
        (LeapGate(0.6), ("key", "W"), ["h_last", "states", "logits", "gates"]),
        (PREDICTIVE, ("w_q", "W"), ["h_last"]),
        (PREDICTIVE, ("w_q", "W"), ["gates"]),
        (PREDICTIVE, ("w_q", "W"), ["h_last", "states", "logits", "gates"]),
        (PREDICTIVE, ("w_q",), ["h_last", "states", "logits", "gates"]),
        (PREDICTIVE, (), ["h_last", "states", "logits", "gates"]),
        (PREDICTIVE, ("W",), ["h_last", "states", "logits", "gates"]),
        (None, ("bias", "key", "w_q", "W"), ["h_last"]),
        (None, ("bias", "key", "w_q", "W"), ["h_last", "states"]),
    ],
)
def test_gradient_is_that_of_the_tape_over_single_steps(gate, without, used, absent, time):
    inputs, noise = make_inputs(time)
    bias = inputs["bias"]
    inputs = {name: value for name, value in inputs.items() if name not in absent + without}
    random = np.random.default_rng(1)
    shapes = {
        "h_last": (BATCH, N),
        "states": (time, BATCH, N),
        "logits": (time, BATCH, 1),
        "gates": (time, BATCH, 1),
    }
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
    arguments = {"bias": bias} | inputs, gate, noise, "states" in used
    separate, joined = (partial(all_at_once, *arguments, joined=one) for one in (False, True))
    compiled = tf.function(outputs_and_gradients, autograph=False)
    for found in (outputs_and_gradients(joined), compiled(separate)):
        for ours, definitions in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, definitions, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gpus", [[], ["a GPU"]])
def test_products_are_joined_where_tensorflow_has_a_gpu(monkeypatch, gpus):
    """A product for each gate and one for the logit, or one for all of them."""
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    inputs, noise = make_inputs(3)
    graph = (
        tf.function(lambda: all_at_once(inputs, LeapGate(), noise, False))
        .get_concrete_function()
        .graph
    )
    products = [
        node.name
        for function in graph.as_graph_def().library.function
        if "while_body" in function.signature.name
        for node in function.node_def
        if node.op == "MatMul"
    ]
    assert len(products) == (1 if gpus else 4 + 1)  # the last one is of the score's length


def test_states_are_returned_only_where_asked_for():
    inputs, noise = make_inputs(3)
    assert all_at_once(inputs, LeapGate(), noise, return_states=False)["states"] is None
    without_gate = all_at_once(inputs, None, noise, return_states=True)
    assert without_gate["logits"] is None
    np.testing.assert_array_equal(without_gate["states"][-1], without_gate["h_last"])
