"""The cell run by Keras, the fused unit, the unfused one and NumPy agree, with all gradients."""

import numpy as np
import pytest
import reference
import tensorflow as tf
import tf_keras as keras
from one_step import central_differences
from small_lru import BATCH, N, make_inputs, make_unit, weights_of

from hln_tf.layers.choices import INFERENCE_GATES
from hln_tf.layers.leap_recurrent_cell import LeapRecurrentCell
from hln_tf.layers.leap_recurrent_unit import LeapRecurrentUnit

# Lengths, where sessions are padded, and whether there are item embeddings alone.
SESSIONS = [
    (1, "all", False),
    (1, "none", True),
    (2, "none", False),
    (3, "front", False),
    (6, "middle", True),
    (13, "end", False),
    (30, "middle", False),
]
# Gates, training and the gate at inference.
MODES = [
    *((gates, True, "hard") for gates in ("both", "leap", "none")),
    *((gates, False, gate) for gates in ("both", "leap") for gate in INFERENCE_GATES),
    ("none", False, "hard"),
]


def loss_weights(time):
    """Weights of a sum of all outputs that no symmetry can hide a mistake behind."""
    random = np.random.default_rng(9)
    return [random.normal(size=shape) for shape in ((BATCH, time, N), (BATCH, N), (BATCH, time))]


def rnn_over(unit):
    """`keras.layers.RNN` over a cell with the unit's weights."""
    cell = LeapRecurrentCell.from_config(unit.cell.get_config())
    rnn = keras.layers.RNN(cell, return_sequences=True, return_state=True, dtype=unit.dtype)
    rnn.build((tf.TensorShape([None, None, 3]), *2 * [tf.TensorShape([None, None, 1])]))
    rnn.set_weights(unit.get_weights())
    return rnn


def run(layer, inputs, training, counts_leaps):
    """Outputs of a layer, and the gradients of a sum of them by all inputs and all weights."""
    dtype = layer.compute_dtype
    sought = {name: tf.constant(value, dtype) for name, value in inputs.given().items()}
    x, noise = sought["x"], tf.constant(inputs.noise, dtype)
    available = sought.get("available")
    shared = {"mask": None if inputs.mask is None else tf.constant(inputs.mask)}
    shared |= {"training": training}
    if "a" in sought:
        shared |= {"constants": [sought["a"]]}
    if "h_0" in sought:
        shared |= {"initial_state": [sought["h_0"]]}
    with tf.GradientTape() as tape:
        tape.watch(list(sought.values()))
        if isinstance(layer, LeapRecurrentUnit):
            outputs = layer(x, noise=noise, available=available, **shared)
        else:
            v = tf.ones_like(noise) if available is None else available
            outputs = layer((x, noise[..., None], v[..., None]), **shared)
        weights = loss_weights(inputs.x.shape[1])[: 3 if counts_leaps else 2]
        total = sum(
            tf.reduce_sum(tf.constant(weight, dtype) * output)
            for weight, output in zip(weights, outputs, strict=False)
        )
    sought |= {weight.name.split("/")[-1].split(":")[0]: weight for weight in layer.cell.weights}
    zero = tf.UnconnectedGradients.ZERO
    gradients = tape.gradient(total, list(sought.values()), unconnected_gradients=zero)
    return outputs, dict(zip(sought, gradients, strict=True))


def reference_outputs(unit, inputs, training, arrays, gates=None):
    """Outputs of NumPy: states as Keras returns them, last states, probabilities.

    `arrays` has the weights and the inputs that may change; `gates` holds gates from run to run.
    """
    gates = {} if gates is None else gates
    states, p = [], []
    for row in range(BATCH):
        if row not in gates:
            gates[row] = reference_gate(unit.cell.gate, training, inputs.noise[row])
        of_row = {name: arrays[name][row] for name in inputs.given()}
        passed = reference.leap_recurrent_unit(
            of_row["x"],
            of_row.get("a", np.zeros(N)),
            arrays,
            gates[row],
            of_row.get("h_0"),
            None if inputs.mask is None else inputs.mask[row],
            of_row.get("available"),
        )
        states.append(passed["h"])
        p.append(passed["p"])
    states, p = np.array(states), np.array(p)
    # Keras' output before the first click is zero, whatever the state.
    begun = True if inputs.mask is None else np.cumsum(inputs.mask, axis=1)[..., None] > 0
    return np.where(begun, states, 0.0), states[:, -1], p


def reference_gate(gate, training, noise):
    if training or gate.inference_gate == "sampled":
        return reference.StraightThroughGate(noise, gate.temperature)
    if gate.inference_gate == "expected":
        return lambda t, logit: reference.sigmoid(logit)
    return lambda t, logit: reference.likeliest_gate(reference.sigmoid(logit))


def reference_gradients(unit, inputs, training):
    """The gradients that `run` returns, by differences of NumPy's outputs."""
    arrays = weights_of(unit.cell) | {name: value.copy() for name, value in inputs.given().items()}
    weights, gates = loss_weights(inputs.x.shape[1]), {}

    def total(arrays):
        outputs = reference_outputs(unit, inputs, training, arrays, gates)
        return sum(np.sum(w * o) for w, o in zip(weights, outputs, strict=True))

    total(arrays)  # fixes the gates
    gradients = central_differences(total, arrays)
    gradients["U"] = gradients.pop("recurrent_kernel")
    of_biases = gradients.pop("bias")
    return gradients | {"bias": of_biases[0], "c": of_biases[1, 2 * N :]}


def assert_close(found, expected, tolerance, label=""):
    scale = max(1.0, np.max(np.abs(expected), initial=0.0))
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale, err_msg=label)


RETURNED = {"return_sequences": True, "return_state": True, "return_leap_probabilities": True}


def arguments_of(gates, inference_gate):
    return {"gates": gates, "inference_gate": inference_gate, "temperature": 0.6, **RETURNED}


@pytest.mark.parametrize(("gates", "training", "inference_gate"), MODES)
@pytest.mark.parametrize(("length", "padding", "is_bare"), SESSIONS)
def test_outputs_and_gradients_agree(length, padding, is_bare, gates, training, inference_gate):
    arguments = arguments_of(gates, inference_gate)
    fused, unfused = make_unit(**arguments), make_unit(**arguments, fused=False)
    inputs = make_inputs(length, padding, seed=length, is_bare=is_bare)

    outputs, gradients = run(fused, inputs, training, counts_leaps=True)
    of_unfused, gradients_of_unfused = run(unfused, inputs, training, counts_leaps=True)
    for one, other in zip(outputs, of_unfused, strict=True):
        assert_close(one, other, 1e-5)
    for name, gradient in gradients.items():
        assert_close(gradient, gradients_of_unfused[name], 1e-5, name)

    _, gradients = run(fused, inputs, training, counts_leaps=False)
    of_rnn, gradients_of_rnn = run(rnn_over(fused), inputs, training, counts_leaps=False)
    for one, other in zip(outputs, of_rnn, strict=False):
        assert_close(one, other, 1e-5)
    for name, gradient in gradients.items():
        assert_close(gradient, gradients_of_rnn[name], 1e-5, name)

    arrays = weights_of(fused.cell) | inputs.given()
    expected = reference_outputs(fused, inputs, training, arrays)
    for one, other in zip(outputs, expected, strict=True):
        assert_close(one, other, 1e-5)


@pytest.mark.parametrize(("gates", "training", "inference_gate"), MODES)
@pytest.mark.parametrize(
    ("length", "padding", "is_bare"),
    [(1, "none", False), (2, "front", True), (6, "middle", False)],
)
def test_gradients_are_those_of_numpy(length, padding, is_bare, gates, training, inference_gate):
    unit = make_unit(**arguments_of(gates, inference_gate))
    inputs = make_inputs(length, padding, seed=length, is_bare=is_bare)
    _, gradients = run(unit, inputs, training, counts_leaps=True)
    expected = reference_gradients(unit, inputs, training)
    assert set(gradients) == set(expected)
    for name, gradient in gradients.items():
        assert_close(gradient, expected[name], 1e-5, name)
    if length == 6 and gates == "both" and training:
        assert all(np.abs(gradient).max() > 0.01 for gradient in expected.values())


@pytest.mark.parametrize("training", [True, False])
def test_float64_agrees_to_its_own_precision(training):
    arguments = arguments_of("both", "expected")
    fused = make_unit(**arguments, dtype="float64")
    unfused = make_unit(**arguments, dtype="float64", fused=False)
    inputs = make_inputs(20, "middle")
    outputs, gradients = run(fused, inputs, training, counts_leaps=True)
    expected, of_unfused = run(unfused, inputs, training, counts_leaps=True)
    for one, other in zip(outputs, expected, strict=True):
        assert one.dtype == tf.float64
        assert_close(one, other, 1e-13)
    for name, gradient in gradients.items():
        assert_close(gradient, of_unfused[name], 1e-12, name)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fused", [True, False])
def test_a_graph_gives_what_eager_execution_gives(fused, training):
    unit = make_unit(**arguments_of("both", "hard"), fused=fused)
    inputs = make_inputs(7, "middle")
    outputs, gradients = run(unit, inputs, training, counts_leaps=True)
    in_graph = tf.function(lambda: run(unit, inputs, training, counts_leaps=True))
    graph_outputs, graph_gradients = in_graph()
    for one, other in zip(outputs, graph_outputs, strict=True):
        assert_close(one, other, 1e-6)
    for name, gradient in gradients.items():
        assert_close(gradient, graph_gradients[name], 1e-5, name)
