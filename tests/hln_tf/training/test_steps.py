"""Steps of a training as graphs and as programs of XLA, alone and several in a call."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from one_step import NUM_ITEMS, make_case

from hln_tf.common.errors import HlnError
from hln_tf.layers.choices import LOSSES
from hln_tf.training.steps import StepInputs, TrainingSteps, padded_lengths
from hln_tf.training.trainer import make_optimizer

BATCH, LONGEST = 6, 6
# Below the least length that XLA pads to, at it, and between it and the longest.
TIMES = (2, 6, 5, 4)


def batches(times=TIMES, size=BATCH):
    random = np.random.default_rng(3)
    for time in times:
        items = random.integers(1, NUM_ITEMS + 1, [size, time]).astype(np.int32)
        length = random.integers(1, time + 1, [size, 1])
        length[0] = time
        target = random.integers(1, NUM_ITEMS + 1, size).astype(np.int32)
        yield {"items": np.where(np.arange(time) < length, items, 0), "target": target}


def seeds(count, first=0):
    return np.array([[4, first + step] for step in range(count)], np.int32)


def trained(name, several, training, **settings):
    """Train a case, and return its weights, its optimiser's and the mean loss."""
    training = {"batch_size": BATCH, "execution": "graph", **training}
    model, training = make_case(name, training=training, **settings)
    optimizer, loss = make_optimizer(training), keras.metrics.Mean()
    take = TrainingSteps(model, optimizer, loss, training, LONGEST)
    done = 0
    for count in several:
        inputs = list(batches())[done : done + count]
        take(StepInputs.stack(inputs, seeds(count, done)))
        done += count
    variables = [*model.trainable_variables, *optimizer.variables()]
    return [variable.numpy() for variable in variables] + [loss.result().numpy()]


def test_several_steps_in_a_call_are_those_of_single_calls():
    settings = {"dropout": 0.3, "normalize": True}
    expected = trained("hln", [1, 1, 1, 1], {}, **settings)
    for several in ([4], [1, 3]):
        for one, other in zip(trained("hln", several, {}, **settings), expected, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "training", "settings"),
    [
        ("hln", {"label_smoothing": 0.1}, {"dropout": 0.3, "normalize": True}),
        ("hln", {}, {"leap_gate": "predictive", "exclusive_groups": True}),
        ("gru4rec", {"loss": "softmax"}, {"tied": True, "hidden_dropout": 0.2}),
        ("narm", {"optimizer": "sgd"}, {"embedding_dim": 8, "hidden_dim": 8}),
        ("stamp", {"optimizer": "adagrad", "clip_norm": 0.1}, {}),
        ("sr_gnn", {"l2": 1e-2}, {"embedding_dim": 8}),
    ],
)
def test_programs_of_xla_compute_what_graphs_do(name, training, settings):
    # With a small epsilon, gradients that are 0 but for rounding would move weights.
    training = {"optimizer": "adam", "epsilon": 1e-2, **training}
    expected = trained(name, [1, 1, 1, 1], training, **settings)
    found = trained(name, [1, 3], {"execution": "xla", **training}, **settings)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_smaller_batch_is_a_graph():
    case = make_case("hln", training={"batch_size": BATCH, "execution": "xla"})
    optimizer, loss = make_optimizer(case.training), keras.metrics.Mean()
    take = TrainingSteps(case.model, optimizer, loss, case.training, LONGEST)
    take(StepInputs.stack(list(batches([4], size=2)), seeds(1)))
    other = make_case("hln", training={"batch_size": BATCH, "execution": "graph"})
    loss_of_other = keras.metrics.Mean()
    step = TrainingSteps(
        other.model, make_optimizer(case.training), loss_of_other, other.training, 9
    )
    step(StepInputs.stack(list(batches([4], size=2)), seeds(1)))
    assert loss.result() == loss_of_other.result() and loss.count == 2


@pytest.mark.slow
def test_an_operation_that_xla_lacks_is_named():
    with pytest.raises(HlnError, match=r"the operation \w+, which .*: choose graph"):
        trained("csrm", [1], {"execution": "xla"})


@pytest.mark.parametrize(
    ("name", "training", "settings", "weight"),
    [
        ("hln", {"loss": "sampled", "num_negatives": 4}, {}, "X"),
        ("hln", {}, {"repeat_head": True}, r"repeat_head\w*/P"),
        ("sasrec", {"loss": "softmax"}, {}, "P"),
    ],
)
def test_xla_is_for_dense_gradients(name, training, settings, weight):
    with pytest.raises(HlnError, match=f"that of {weight} is sparse: choose graph"):
        trained(name, [1], {"execution": "xla", **training}, **settings)


def test_xla_is_for_one_device():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        case = make_case("stamp", training={"execution": "xla"})
    case.model._distribution_strategy = type("Two", (), {"num_replicas_in_sync": 2})()
    with pytest.raises(HlnError, match="for one device, where this training has 2: choose graph"):
        TrainingSteps(case.model, None, None, case.training, LONGEST)


@pytest.mark.parametrize("loss", LOSSES)
def test_each_loss_trains(loss):
    """As a graph: outside of one, Python's control flow would do."""
    weights = trained("stamp", [1, 3], {"loss": loss, "num_negatives": 4})
    assert all(np.all(np.isfinite(weight)) for weight in weights)
    start = trained("stamp", [], {"loss": loss, "num_negatives": 4})
    assert not np.array_equal(weights[0], start[0])


@pytest.mark.parametrize(
    ("longest", "lengths"),
    [(1, (1,)), (4, (4,)), (5, (4, 5)), (9, (4, 8, 9)), (50, (4, 8, 16, 32, 50))],
)
def test_lengths_that_xla_pads_to(longest, lengths):
    assert padded_lengths(longest) == lengths


def test_stacked_batches_are_those_that_were_given():
    given = list(batches())
    stacked = StepInputs.stack(given, seeds(len(given)))
    assert stacked.items.shape == (len(TIMES), BATCH, LONGEST)
    for place, batch in enumerate(given):
        time = stacked.lengths[place]
        np.testing.assert_array_equal(stacked.items[place, :, :time], batch["items"])
        assert not stacked.items[place, :, time:].any()
        np.testing.assert_array_equal(stacked.target[place], batch["target"])
    batch, seed = stacked.last()
    np.testing.assert_array_equal(batch["items"], given[-1]["items"])
    np.testing.assert_array_equal(seed, [4, len(given) - 1])
