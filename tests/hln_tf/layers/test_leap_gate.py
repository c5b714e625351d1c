import numpy as np
import pytest
import tensorflow as tf

from hln_tf.layers.choices import INFERENCE_GATES
from hln_tf.layers.leap_gate import LeapGate
from hln_tf.layers.relaxed_bernoulli import RelaxedBernoulli, logistic_noise

LOGITS = tf.constant([-2.0, -0.1, 0.0, 0.1, 30.0])
NOISE = logistic_noise(tf.constant([5]), [1, 2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "`temperature` must be above 0, received 0.0"),
        ({"temperature": -1.0}, "`temperature` must be above 0, received -1.0"),
        ({"temperature": float("nan")}, "`temperature` must be above 0, received nan"),
        ({"inference_gate": "soft"}, r"`inference_gate` must be one of .*, received 'soft'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LeapGate(**arguments)


def test_hard_gate_leaps_where_the_probability_exceeds_one_half():
    gate = LeapGate(inference_gate="hard")
    np.testing.assert_array_equal(gate(LOGITS, None, training=False), [0, 0, 0, 1, 1])


def test_expected_gate_is_the_probability():
    gate = LeapGate(inference_gate="expected")
    np.testing.assert_array_equal(gate(LOGITS, None, training=False), tf.sigmoid(LOGITS))


def test_sampled_gate_is_that_of_training():
    gate = LeapGate(0.5, "sampled")
    at_inference = gate(LOGITS, NOISE, training=False)
    np.testing.assert_array_equal(at_inference, gate(LOGITS, NOISE, training=True))
    np.testing.assert_array_equal(at_inference, LOGITS + NOISE > 0)


@pytest.mark.parametrize("inference_gate", INFERENCE_GATES)
def test_training_samples_whatever_the_gate_at_inference(inference_gate):
    gate = LeapGate(0.5, inference_gate)
    sampled = RelaxedBernoulli(0.5, logits=LOGITS).straight_through(NOISE)
    np.testing.assert_array_equal(gate(LOGITS, NOISE, training=True), sampled)
    np.testing.assert_array_equal(gate.hard(LOGITS, NOISE), sampled)
    assert gate.is_sampled(True)
    assert gate.is_sampled(False) == gate.is_sampled(None) == (inference_gate == "sampled")


def test_slope_is_that_of_the_relaxed_sample():
    gate = LeapGate(0.5)
    relaxed = 1 / (1 + np.exp(-(LOGITS.numpy() + NOISE.numpy()) / 0.5))
    np.testing.assert_allclose(
        gate.slope(LOGITS, NOISE), relaxed * (1 - relaxed) / 0.5, rtol=1e-4, atol=1e-5
    )
