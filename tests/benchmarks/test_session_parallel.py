"""GRU4Rec trained session-parallel: its schedule, a step and its ranks against NumPy."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from commands import run
from toy import write_dataset

from benchmarks.paper.session_parallel import Schedule, SessionParallelSettings
from benchmarks.paper.session_parallel_gru import SessionParallelGRU
from hln_tf.common.errors import HlnError
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import Sessions

NUM_ITEMS = 7


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def next_state(model, row, h):
    """The GRU of Cho et al. for one session, in float64."""
    n = len(h)
    x = model.kernel.numpy()[row] + model.bias.numpy()
    U = model.recurrent.numpy().astype(np.float64)
    r = sigmoid(x[n : 2 * n] + h @ U[:, n : 2 * n])
    z = sigmoid(x[2 * n :] + h @ U[:, 2 * n :])
    return (1 - z) * h + z * np.tanh(x[:n] + (r * h) @ U[:, :n])


@pytest.fixture
def model():
    made = SessionParallelGRU(
        NUM_ITEMS, SessionParallelSettings(units=4, batch_size=2, dropout=0.0)
    )
    made.item_bias.assign(np.linspace(-1, 1, NUM_ITEMS, dtype=np.float32))
    made.kernel.assign(made.kernel * 3)
    return made


def test_a_place_takes_the_next_session_when_its_own_ends():
    plan = Schedule.of(Sessions.from_lists([[1, 2, 3], [4, 5], [6, 7], [1, 3], [2, 4, 6]]), 2)
    # The places are free after 2 and 1 steps, then after 3 and 2, and the last is taken by the
    # second one; the first ends the epoch.
    np.testing.assert_array_equal(plan.items, [[1, 4], [2, 6], [1, 2]])
    np.testing.assert_array_equal(plan.targets, [[2, 5], [3, 7], [3, 4]])
    np.testing.assert_array_equal(plan.is_first, [[1, 1], [0, 1], [1, 1]])


def test_too_few_sessions_are_named():
    for sessions in ([[1, 2, 3]], [[1, 2, 3], [4]]):
        with pytest.raises(HlnError, match="too few for a `batch_size` of 2"):
            Schedule.of(Sessions.from_lists(sessions), 2)


def test_the_loss_is_top1_against_the_other_targets(model):
    state = np.array([[0.3, -0.2, 0.5, 0.1], [-0.4, 0.6, 0.2, 0.9], [0.1, 0.1, -0.7, 0.3]])
    targets = np.array([2, 5, 0])
    scores = np.tanh(state @ model.items.numpy()[targets].T + model.item_bias.numpy()[targets])
    expected = 0.0
    for i in range(3):
        others = [j for j in range(3) if j != i]
        expected += sum(
            sigmoid(scores[i, j] - scores[i, i]) + sigmoid(scores[i, j] ** 2) for j in others
        )
        expected += sigmoid(0.0)  # the target against itself
    found = model.loss(tf.constant(state, tf.float32), tf.constant(targets))
    np.testing.assert_allclose(found, expected / 9, rtol=1e-5)


def test_ranks_are_those_of_states_step_by_step(model):
    sessions = Sessions.from_lists([[1, 2, 3, 7], [4, 5], [6, 1, 6]])
    expected = []
    for items in ([1, 2, 3, 7], [4, 5], [6, 1, 6]):
        h = np.zeros(4)
        for item, target in itertools.pairwise(items):
            h = next_state(model, item - 1, h)
            scores = model.items.numpy() @ h + model.item_bias.numpy()
            expected.append(1 + np.sum(scores > scores[target - 1]))
    found = model.ranks(Prefixes.from_sessions(sessions, 50), batch_size=2)
    np.testing.assert_array_equal(found, expected)


def test_a_step_starts_new_sessions_from_zero_and_goes_on_with_others(model):
    sessions = Sessions.from_lists([[1, 2, 3], [4, 5], [6, 7]])
    plan = Schedule.of(sessions, 2)
    weights = [weight.numpy() for weight in model.trainable_variables]
    steps = map(tf.constant, (plan.items, plan.targets, plan.is_first))
    optimizer = model._optimizer
    optimizer.learning_rate = 0.0
    optimizer.apply_gradients(
        [(tf.zeros_like(weight), weight) for weight in model.trainable_variables]
    )
    state, _ = model._train(*steps, tf.ones([2, 4]))
    for weight, before in zip(model.trainable_variables, weights, strict=True):
        np.testing.assert_array_equal(weight, before)
    first = next_state(model, 1, next_state(model, 0, np.zeros(4)))
    np.testing.assert_allclose(state[0], first, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state[1], next_state(model, 5, np.zeros(4)), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_command_learns_a_log_in_which_items_follow_each_other(tmp_path):
    rows = [[1 + (start + step) % 5 for step in range(4)] for start in range(60)]
    write_dataset(tmp_path, {"train": rows[:40], "validation": rows[40:50], "test": rows[50:]}, 9)
    outcome = run(
        *("benchmarks.session_parallel", "--data_dir", tmp_path, "--units", "8"),
        *("--batch_size", "4", "--dropout", "0", "--learning_rate", "0.1", "--epochs", "40"),
    )
    assert outcome.code == 0, outcome.err
    last = [line for line in outcome.out.splitlines() if line.startswith("| all")]
    recall_at_5 = float(last[0].split("|")[3])
    assert recall_at_5 == 100.0
    mrr_at_5 = float(last[0].split("|")[6])
    assert mrr_at_5 > 90
