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
    pytest.param(1, "none", True, marks=pytest.mark.slow),
    (3, "front", False),
    (6, "middle", True),
    pytest.param(13, "end", False, marks=pytest.mark.slow),
]
PREDICTIVE = {"leap_gate": "predictive"}
COMBINED = {"leap_gate": "combined"}
# Arguments of the unit, and training.
MODES = [
    *(({"gates": gates}, True) for gates in ("both", "leap", "none")),
    *(
        ({"gates": gates, "inference_gate": gate}, False)
        for gates in ("both", "leap")
        for gate in INFERENCE_GATES
    ),
    ({"gates": "none"}, False),
    (PREDICTIVE, True),
    (PREDICTIVE | {"normalize": True}, True),
    (COMBINED | {"normalize": True}, True),
    (COMBINED | {"gates": "leap"}, True),
    *((PREDICTIVE | {"inference_gate": gate}, False) for gate in INFERENCE_GATES),
    (COMBINED | {"normalize": True}, False),
]


def loss_weights(time):
    """Weights of a sum of outputs, by name, that no symmetry can hide a mistake behind."""
    random = np.random.default_rng(9)
    shapes = {"h": (BATCH, time, N), "last": (BATCH, N), "p": (BATCH, time), "g": (BATCH, time)}
    return {name: random.normal(size=shape) for name, shape in shapes.items()}


def rnn_over(unit):
    """`keras.layers.RNN` over a cell with the unit's weights."""
    cell = LeapRecurrentCell.from_config(unit.cell.get_config())
    rnn = keras.layers.RNN(cell, return_sequences=True, return_state=True, dtype=unit.dtype)
    rnn.build((tf.TensorShape([None, None, 3]), *2 * [tf.TensorShape([None, None, 1])]))
    rnn.set_weights(unit.get_weights())
    assert [w.name for w in rnn.cell.weights] == [w.name for w in unit.cell.weights]
    return rnn


def run(layer, inputs, training, of_clicks):
    """Outputs of a layer by name, and the gradients of a sum of them by all inputs and weights."""
    dtype = layer.compute_dtype
    sought = {name: tf.constant(value, dtype) for name, value in inputs.given().items()}
    x, noise = sought["x"], tf.constant(inputs.noise, dtype)
    available = sought.get("available")
    shared = {"mask": None if inputs.mask is None else tf.constant(inputs.mask)}
    shared |= {"training": training}
    if "a" in sought:
        shared |= {"constants": [sought["a"]]}
    names = ["h", "last"]
    if layer.cell.is_predictive:
        names.append("retained")
    if "h_0" in sought:
        retained_0 = tf.constant(inputs.retained_0, dtype)[:, None]
        states = [sought["h_0"], retained_0]
        shared |= {"initial_state": states[: len(names) - 1]}
    with tf.GradientTape() as tape:
        tape.watch(list(sought.values()))
        if isinstance(layer, LeapRecurrentUnit):
            outputs = layer(x, noise=noise, available=available, **shared)
            names += ["p", "g"]
        else:
            v = tf.ones_like(noise) if available is None else available
            outputs = layer((x, noise[..., None], v[..., None]), **shared)
        outputs = dict(zip(names, outputs, strict=True))
        weights = loss_weights(inputs.x.shape[1])
        total = sum(
            tf.reduce_sum(tf.constant(weights[name], dtype) * outputs[name])
            for name in weights
            if name in outputs and (of_clicks or name in ("h", "last"))
        )
    sought |= {weight.name.split("/")[-1].split(":")[0]: weight for weight in layer.cell.weights}
    zero = tf.UnconnectedGradients.ZERO
    gradients = tape.gradient(total, list(sought.values()), unconnected_gradients=zero)
    return outputs, dict(zip(sought, gradients, strict=True))


def reference_outputs(unit, inputs, training, arrays, gates=None):
    """Outputs of NumPy by name: states as Keras returns them, last states, probabilities, gates.

    `arrays` has the weights and the inputs that may change; `gates` holds gates from run to run.
    """
    gates = {} if gates is None else gates
    rows = []
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
            0.0 if inputs.retained_0 is None else inputs.retained_0[row],
            unit.cell.normalize,
        )
        rows.append(passed)
    outputs = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    outputs["last"] = outputs["h"][:, -1]
    outputs["retained"] = outputs["retained"][:, None]
    # Keras' output before the first click is zero, whatever the state.
    begun = True if inputs.mask is None else np.cumsum(inputs.mask, axis=1)[..., None] > 0
    outputs["h"] = np.where(begun, outputs["h"], 0.0)
    return outputs


def reference_gate(gate, training, noise):
    if training or gate.inference_gate == "sampled":
        return reference.StraightThroughGate(noise, gate.temperature)
    if gate.inference_gate == "expected":
        return reference.expected_gate
    return reference.hard_gate


def reference_gradients(unit, inputs, training):
    """The gradients that `run` returns, by differences of NumPy's outputs."""
    arrays = weights_of(unit.cell) | {name: value.copy() for name, value in inputs.given().items()}
    weights, gates = loss_weights(inputs.x.shape[1]), {}

    def total(arrays):
        outputs = reference_outputs(unit, inputs, training, arrays, gates)
        return sum(np.sum(weight * outputs[name]) for name, weight in weights.items())

    total(arrays)  # fixes the gates
    gradients = central_differences(total, arrays)
    gradients["U"] = gradients.pop("recurrent_kernel")
    of_biases = gradients.pop("bias")
    return gradients | {"bias": of_biases[0], "c": of_biases[1, 2 * N :]}


def assert_close(found, expected, tolerance, label=""):
    scale = max(1.0, np.max(np.abs(expected), initial=0.0))
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale, err_msg=label)


RETURNED = {
    "return_sequences": True,
    "return_state": True,
    "return_leap_probabilities": True,
    "return_gates": True,
    "temperature": 0.6,
}


@pytest.mark.parametrize(("arguments", "training"), MODES, ids=str)
@pytest.mark.parametrize(("length", "padding", "is_bare"), SESSIONS)
def test_outputs_and_gradients_agree(length, padding, is_bare, arguments, training):
    fused = make_unit(**RETURNED, **arguments)
    unfused = make_unit(**RETURNED, **arguments, fused=False)
    inputs = make_inputs(length, padding, seed=length, is_bare=is_bare)

    outputs, gradients = run(fused, inputs, training, of_clicks=True)
    of_unfused, gradients_of_unfused = run(unfused, inputs, training, of_clicks=True)
    for name, output in outputs.items():
        assert_close(output, of_unfused[name], 1e-5, name)
    for name, gradient in gradients.items():
        assert_close(gradient, gradients_of_unfused[name], 1e-5, name)

    _, gradients = run(fused, inputs, training, of_clicks=False)
    of_rnn, gradients_of_rnn = run(rnn_over(fused), inputs, training, of_clicks=False)
    for name, output in of_rnn.items():
        assert_close(outputs[name], output, 1e-5, name)
    for name, gradient in gradients.items():
        assert_close(gradient, gradients_of_rnn[name], 1e-5, name)

    arrays = weights_of(fused.cell) | inputs.given()
    expected = reference_outputs(fused, inputs, training, arrays)
    for name, output in outputs.items():
        assert_close(output, expected[name], 1e-5, name)


@pytest.mark.parametrize(("arguments", "training"), MODES, ids=str)
@pytest.mark.parametrize(
    ("length", "padding", "is_bare"),
    [
        pytest.param(1, "none", False, marks=pytest.mark.slow),
        pytest.param(2, "front", True, marks=pytest.mark.slow),
        (6, "middle", False),
    ],
)
def test_gradients_are_those_of_numpy(length, padding, is_bare, arguments, training):
    unit = make_unit(**RETURNED, **arguments)
    inputs = make_inputs(length, padding, seed=length, is_bare=is_bare)
    _, gradients = run(unit, inputs, training, of_clicks=True)
    expected = reference_gradients(unit, inputs, training)
    assert set(gradients) == set(expected)
    for name, gradient in gradients.items():
        assert_close(gradient, expected[name], 1e-5, name)
    if length == 6 and unit.cell.is_gated and training:
        expected.pop("a", None) if not unit.cell.has_preference_gate else None
        assert all(np.abs(gradient).max() > 0.01 for gradient in expected.values())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("arguments", [{}, PREDICTIVE | {"normalize": True}], ids=str)
def test_float64_agrees_to_its_own_precision(arguments, training):
    arguments = RETURNED | {"inference_gate": "expected", "dtype": "float64"} | arguments
    fused, unfused = make_unit(**arguments), make_unit(**arguments, fused=False)
    inputs = make_inputs(20, "middle")
    outputs, gradients = run(fused, inputs, training, of_clicks=True)
    expected, of_unfused = run(unfused, inputs, training, of_clicks=True)
    for name, output in outputs.items():
        assert output.dtype == tf.float64
        assert_close(output, expected[name], 1e-13, name)
    for name, gradient in gradients.items():
        assert_close(gradient, of_unfused[name], 1e-12, name)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("arguments", [{}, PREDICTIVE], ids=str)
def test_a_graph_gives_what_eager_execution_gives(arguments, fused, training):
    unit = make_unit(**RETURNED, **arguments, fused=fused)
    inputs = make_inputs(7, "middle")
    outputs, gradients = run(unit, inputs, training, of_clicks=True)
    in_graph = tf.function(lambda: run(unit, inputs, training, of_clicks=True), autograph=False)
    graph_outputs, graph_gradients = in_graph()
    for name, output in outputs.items():
        assert_close(output, graph_outputs[name], 1e-6, name)
    for name, gradient in gradients.items():
        assert_close(gradient, graph_gradients[name], 1e-5, name)
