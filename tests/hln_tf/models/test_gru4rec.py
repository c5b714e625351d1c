import numpy as np
import pytest
import reference
import tensorflow as tf
from one_step import ITEMS, SESSIONS, check, make_case

from hln_tf.models import GRU4Rec

N = 3


def gru(inputs, w):
    h = np.zeros(N)
    weights = {
        "kernel": w["kernel"],
        "recurrent_kernel": w["U"],
        "bias": np.stack([w["bias"], np.concatenate([np.zeros(2 * N), w["c"]])]),
    }
    for x in inputs:
        h = reference.gru_step(h, x, weights)
    return h


def of_one_hot(session, w):
    return gru(np.eye(len(w["X"]))[session], w)


def of_item_embeddings(session, w):
    return gru(w["X"][session], w)


def variables_of(model, kernel, bias):
    gru = model.gru
    return {"X": model.X, "kernel": kernel, "bias": bias, "U": gru.U, "c": gru.c}


@pytest.mark.slow
def test_the_form_of_2016_reads_clicks_one_hot():
    case = make_case("gru4rec", embedding_dim=N, hidden_dropout=0.0, training={"num_negatives": 4})
    model = case.model
    clicked = np.concatenate(SESSIONS)
    # It scores by X and reads by the kernel.
    check(
        case,
        variables_of(model, model.kernel, model.bias),
        of_one_hot,
        reads={"X": [], "kernel": clicked},
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "training",
    [{}, {"loss": "bpr_max", "score_penalty": 0.5}],
    ids=["sampled", "bpr_max"],
)
def test_the_later_form_reads_the_embeddings_that_score(training):
    case = make_case(
        "gru4rec", "modern", embedding_dim=N, training={"num_negatives": 4, **training}
    )
    model = case.model
    check(
        case,
        variables_of(model, model.gru.kernel, model.gru.bias),
        of_item_embeddings,
        reads={"X": np.concatenate(SESSIONS)},
    )


def test_dropout_of_the_last_state_is_for_training_alone():
    model = make_case("gru4rec", embedding_dim=40, hidden_dropout=0.5).model
    items, seed = tf.constant(ITEMS), tf.constant([1, 2])
    whole = model.encode(items, seed=seed).numpy()
    dropped = model.encode(items, training=True, seed=seed).numpy()
    assert 0.3 < np.mean(dropped == 0) < 0.7
    np.testing.assert_allclose(dropped[dropped != 0], 2 * whole[dropped != 0], rtol=1e-4)


def test_scores_and_ranks_are_those_of_an_overridden_encode():
    class Negated(GRU4Rec):
        def encode(self, items, training=False, seed=None):
            return -super().encode(items, training, seed)

    model = Negated(7, embedding_dim=4)
    items, target = tf.constant([[3, 1, 0], [2, 2, 7]]), tf.constant([5, 1])
    expected = model.encode(items).numpy() @ model.item_embeddings().numpy().T
    np.testing.assert_allclose(model.scores(items), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict(items, verbose=0), expected, rtol=1e-5, atol=1e-6)
    ranks = [1 + np.sum(row > row[at - 1]) for row, at in zip(expected, target, strict=True)]
    assert model.target_ranks({"items": items, "target": target}).numpy().tolist() == ranks
