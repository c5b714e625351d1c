"""The reference against results worked out by hand."""

import math

import numpy as np
import pytest
import reference

# d = n = 1. z = s(0) = 1/2 and r = s(0) = 1/2 always, so a step halves the way to the candidate:
# h' = h / 2 + tanh(x + (h + 1) / 2) / 2, with the recurrent bias 1 inside the reset.
ONE = {
    "W_p": [[0.0]],
    "U_p": [[1.0]],
    "w_q": [-2.0],
    "u_q": [3.0],
    "b": -1.0,
    "kernel": [[0.0, 0.0, 1.0]],
    "recurrent_kernel": [[0.0, 0.0, 1.0]],
    "bias": [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]],
    "W": [[4.0]],
    "v_att": [2.0],
    "W_att": [[1.0]],
}


def s(x):
    return 1.0 / (1.0 + math.exp(-x))


def test_gru_step_follows_keras_order_and_bias_inside_the_reset():
    weights = {
        "kernel": np.array([[math.log(3.0), 0.0, 1.0]]),
        "recurrent_kernel": np.array([[0.0, math.log(2.0), 1.0]]),
        "bias": np.array([[0.0, math.log(2.0), 0.25], [0.0, 0.0, 0.5]]),
    }
    # z = s(log 3) = 3/4, r = s(log 2 + log 2) = 4/5, candidate = tanh(1.25 + 4/5 * 1.5).
    expected = 0.75 * 1.0 + 0.25 * math.tanh(2.45)
    h = reference.gru_step(np.array([1.0]), np.array([1.0]), weights)
    np.testing.assert_allclose(h, [expected], rtol=1e-12)


def test_hln_of_one_dimension_by_hand():
    # Two clicks, two groups; the first group skips the second click, the second the first.
    result = reference.hln([[1.0], [-1.0]], ONE, gates=[[0, 1], [1, 0]])

    h_1 = math.tanh(1.0 + 0.5) / 2
    h_2 = math.tanh(-1.0 + 0.5) / 2
    p = [
        # g_p = s(0) = 1/2: nothing has been learnt yet.
        [s(3.0 * 0.5 * 1.0 - 1.0), s(-2.0 * h_1 + 3.0 * 0.5 * -1.0 - 1.0)],
        # g_p = s(a_1) = s(h_1), and the skip leaves the state at 0.
        [s(3.0 * s(h_1) * 1.0 - 1.0), s(3.0 * s(h_1) * -1.0 - 1.0)],
    ]
    np.testing.assert_allclose(result["h"], [[h_1], [h_2]], rtol=1e-12)
    np.testing.assert_allclose(result["a"], [[h_1], [h_1 + h_2]], rtol=1e-12)
    np.testing.assert_allclose(result["p"], p, rtol=1e-12)
    np.testing.assert_allclose(result["x_ideal"], [4.0 * (h_1 + h_2)], rtol=1e-12)
    np.testing.assert_array_equal(result["g"], [[0, 1], [1, 0]])


def test_aggregations_by_hand():
    clicks, gates = [[1.0], [-1.0]], [[0, 1], [1, 0]]
    h_1, h_2 = math.tanh(1.5) / 2, math.tanh(-0.5) / 2

    largest = reference.hln(clicks, ONE, gates, "max")
    np.testing.assert_allclose(largest["a"], [[h_1], [h_1]], rtol=1e-12)

    attended = reference.hln(clicks, ONE, gates, "attention")
    # Of the second click's age, 0, and the first's, 1.
    weights = {**ONE, "r": np.log([3.0, 0.5] + 14 * [1.0])}
    recent = reference.hln(clicks, weights, gates, "recency")
    np.testing.assert_allclose(recent["a"], [[0.5 * h_1], [0.5 * h_1 + 3.0 * h_2]], rtol=1e-12)

    # A softmax over two is a sigmoid of the difference; over one it is 1.
    alpha = s(2.0 * math.tanh(h_1) - 2.0 * math.tanh(h_2))
    expected = alpha * h_1 + (1.0 - alpha) * h_2
    np.testing.assert_allclose(attended["a"], [[h_1], [expected]], rtol=1e-12)


def test_without_gates_a_step_is_skipped_where_p_exceeds_one_half():
    # p = s(1/2) > 1/2 skips the click 1, p = s(-5/2) < 1/2 does not skip the click -1.
    result = reference.hln([[1.0], [-1.0]], ONE, groups=1)
    np.testing.assert_array_equal(result["g"], [[1, 0]])
    np.testing.assert_allclose(result["p"], [[s(0.5), s(-2.5)]], rtol=1e-12)
    np.testing.assert_allclose(result["h"], [[math.tanh(-0.5) / 2]], rtol=1e-12)

    even = reference.hln([[1.0]], {**ONE, "u_q": [0.0], "b": 0.0}, groups=1)
    np.testing.assert_array_equal(even["g"], [[0]])

    with pytest.raises(ValueError, match="groups"):
        reference.hln([[1.0]], ONE)


def test_matrices_are_as_the_paper_writes_them():
    # d = 2, n = 1: a transposed W_p would swap the two gates.
    weights = {
        **ONE,
        "W_p": [[0.0, 1.0], [0.0, 0.0]],
        "U_p": [[0.0], [0.0]],
        "u_q": [1.0, 10.0],
        "b": 0.0,
        "kernel": [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]],
        "W": [[1.0], [2.0]],
    }
    result = reference.hln([[1.0, 2.0]], weights, gates=[[0]])
    h = math.tanh(1.5) / 2
    np.testing.assert_allclose(result["p"], [[s(s(2.0) * 1.0 + 10.0 * 0.5 * 2.0)]], rtol=1e-12)
    np.testing.assert_allclose(result["x_ideal"], [h, 2.0 * h], rtol=1e-12)


def test_one_pass_by_hand_with_padding_and_an_initial_state():
    # Padding, a click that is skipped although its gate is 0, padding, a click.
    passed = reference.leap_recurrent_unit(
        np.array([[9.0], [1.0], [9.0], [-1.0]]),
        np.array([0.5]),
        {name: np.array(value) for name, value in ONE.items()},
        gate=lambda t, logit: 0.0,
        h_0=np.array([0.25]),
        is_click=[False, True, False, True],
        available=[1.0, 0.0, 1.0, 1.0],
    )
    h = 0.25 / 2 + math.tanh(-1.0 + (0.25 + 1.0) / 2) / 2
    np.testing.assert_allclose(passed["h"][:, 0], [0.25, 0.25, 0.25, h], rtol=1e-12)
    p = s(-2.0 * 0.25 + 3.0 * s(0.5) * -1.0 - 1.0)
    np.testing.assert_allclose(passed["p"], [1.0, 1.0, 1.0, p], rtol=1e-12)
    np.testing.assert_array_equal(passed["g"], [1.0, 0.0, 1.0, 0.0])
    assert passed["retained"] == 1.0


def test_without_gates_a_pass_is_a_gru():
    gru = {name: np.array(ONE[name]) for name in ("kernel", "recurrent_kernel", "bias")}
    passed = reference.leap_recurrent_unit(np.array([[1.0]]), np.zeros(1), gru, gate=None)
    np.testing.assert_allclose(passed["h"], [[math.tanh(1.5) / 2]], rtol=1e-12)
    np.testing.assert_array_equal(passed["p"], [0.0])


def test_straight_through_gate_is_hard_and_its_difference_that_of_the_relaxed_sample():
    gate = reference.StraightThroughGate([3.0, -3.0], temperature=2.0)
    assert (gate(0, 1.0), gate(1, 1.0)) == (1.0, 0.0)
    # The derivative of s((logit + noise) / 2) is s (1 - s) / 2.
    relaxed = s(2.0)
    slope = (gate(0, 1.0 + 1e-6) - gate(0, 1.0 - 1e-6)) / 2e-6
    assert slope == pytest.approx(relaxed * (1.0 - relaxed) / 2.0)


def test_losses_by_hand():
    # Softmaxes (1/2, 1/4, 1/4) and (1/8, 1/8, 3/4).
    scores = np.log([[2.0, 1.0, 1.0], [1.0, 1.0, 6.0]])
    targets = [0, 1]
    assert reference.softmax_cross_entropy(scores, targets) == pytest.approx(
        (math.log(2.0) + math.log(8.0)) / 2
    )
    first = -(math.log(1 / 2) + math.log(3 / 4) + math.log(3 / 4))
    second = -(math.log(7 / 8) + math.log(1 / 8) + math.log(1 / 4))
    assert reference.equation_8(scores, targets) == pytest.approx((first + second) / 2)


def test_losses_stay_finite_far_out():
    # y_hat = (1, e^-800): in float64 the first is 1.
    scores = [[800.0, 0.0]]
    assert reference.softmax_cross_entropy(scores, [1]) == pytest.approx(800.0)
    assert reference.equation_8(scores, [1]) == pytest.approx(1600.0)


def test_metrics_by_hand():
    scores = [[0.1, 0.9, 0.5, 0.2], [0.1, 0.9, 0.5, 0.2], [0.5, 0.5, 0.5, 0.5]]
    ranks = reference.ranks(scores, [1, 3, 0])
    np.testing.assert_array_equal(ranks, [1, 3, 4])
    assert reference.recall_at(ranks, 1) == pytest.approx(1 / 3)
    assert reference.recall_at(ranks, 3) == pytest.approx(2 / 3)
    assert reference.mrr_at(ranks, 3) == pytest.approx((1 + 1 / 3) / 3)
    assert reference.mrr_at(ranks, 10) == pytest.approx((1 + 1 / 3 + 1 / 4) / 3)
    np.testing.assert_array_equal(
        reference.ranks([[np.nan, np.nan], [0.0, np.nan]], [0, 0]), [2, 2]
    )


def test_predictive_gate_by_hand():
    # theta 10 / 10 = 1, alpha 2, W 4: the logit of x after the state h is 1 - 8 h x.
    weights = {name: ONE[name] for name in ("kernel", "recurrent_kernel", "bias", "W")}
    weights |= {"theta": 0.1, "alpha": 2.0}
    clicks = [[1.0], [-1.0], [1.0]]
    result = reference.hln(clicks, weights, groups=2, exclusive=True)

    h_1 = math.tanh(1.0 + 0.5) / 2  # the first click is retained: h_1 = 0.45
    h_3 = h_1 / 2 + math.tanh(1.0 + (h_1 + 1.0) / 2) / 2
    h_2 = math.tanh(-1.0 + 0.5) / 2
    # Of the second group the second click is the first that is free; the third is retained already.
    p = [
        [s(-12.0), s(1.0 + 8.0 * h_1), s(1.0 - 8.0 * h_1)],
        [1.0, s(-12.0), 1.0],
    ]
    np.testing.assert_allclose(result["p"], p, rtol=1e-10)
    np.testing.assert_array_equal(result["g"][0], [0.0, 1.0, 0.0])
    np.testing.assert_allclose(result["h"], [[h_3], [h_2]], rtol=1e-12)

    # Of length 1, times the scale: -8 h x becomes -2 * 3 * sign(h) x, and h = 0.01 a query of 0.04.
    weights |= {"scale": 3.0}
    arrays = {name: np.array(value) for name, value in weights.items()}
    for h, score in [(0.25, 3.0), (-0.5, -3.0), (0.01, 3.0 * 0.04 / 0.1)]:
        logit = reference.predictive_logit(np.array([h]), np.array([1.0]), arrays, normalize=True)
        assert logit == pytest.approx(1.0 - 2.0 * score, rel=1e-12)
