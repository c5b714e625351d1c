import numpy as np
import pytest
import tensorflow as tf
from one_step import check, make_case

from hln_tf.common.errors import SettingError
from hln_tf.models import SASRec

D = 4


def standardized(x, w, name):
    scaled = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-8)
    return scaled * w[f"{name}_gamma"] + w[f"{name}_beta"]


def query(session, w, num_blocks, num_heads, positions):
    """The authors' network over one session, click by click and head by head."""
    session = session[-positions:]
    e = np.array([np.sqrt(D) * w["X"][item] for item in session])
    e = e + np.array([w["P"][len(session) - 1 - t] for t in range(len(session))])
    for block in range(num_blocks):
        of = {name[1:]: value for name, value in w.items() if name.startswith(str(block))}
        q = standardized(e, of, "before_attention")
        Q, K, V = q @ of["W_Q"] + of["b_Q"], e @ of["W_K"], e @ of["W_V"] + of["b_V"]
        attended = np.zeros_like(e)
        for columns in np.split(np.arange(D), num_heads):
            for t in range(len(session)):
                energies = np.exp(Q[t, columns] @ K[: t + 1, columns].T / np.sqrt(len(columns)))
                attended[t, columns] = energies @ V[: t + 1, columns] / energies.sum()
        s = standardized(attended + q, of, "before_network")
        e = np.maximum(s @ of["W_1"] + of["b_1"], 0) @ of["W_2"] + of["b_2"] + s
    return standardized(e, w, "after_blocks")[-1]


def weights(model):
    """All weights by the names that `query` has for them; a block's have its number in front."""
    found = {"X": model.X, "P": model.P}
    layers = {"after_blocks": model.after_blocks}
    for number, block in enumerate(model.blocks):
        for name in ("Q", "K", "V", "1", "2"):
            dense = getattr(block, f"W_{name}")
            found[f"{number}W_{name}"] = dense.kernel
            if name != "K":
                found[f"{number}b_{name}"] = dense.bias
        for name in ("before_attention", "before_network"):
            layers[f"{number}{name}"] = getattr(block, name)
    for name, layer in layers.items():
        found |= {f"{name}_gamma": layer.gamma, f"{name}_beta": layer.beta}
    return found


@pytest.mark.parametrize(
    ("num_blocks", "num_heads", "positions", "loss"),
    [
        (1, 2, 9, "softmax"),
        pytest.param(2, 2, 9, "softmax", marks=pytest.mark.slow),
        pytest.param(1, 1, 3, "softmax", marks=pytest.mark.slow),
        pytest.param(2, 1, 5, "binary", marks=pytest.mark.slow),
    ],
)
def test_scores_and_a_step_are_those_of_the_definition(num_blocks, num_heads, positions, loss):
    settings = {"num_blocks": num_blocks, "num_heads": num_heads, "positions": positions}
    training = {"loss": loss, "num_negatives": 6}
    case = make_case("sasrec", training=training, embedding_dim=D, hidden_dropout=0.0, **settings)
    read = {2, 1, 4, 5, 3}  # the items of all sessions, from 0
    reads = {"X": read} if loss == "binary" else None
    if positions == 9:  # the longest session has five clicks: the other positions are not read
        case.model.P.assign(tf.where(tf.range(9)[:, None] < 5, case.model.P, 0))

    check(case, weights(case.model), lambda s, w: query(list(s), w, **settings), reads)


def test_clicks_before_the_last_positions_are_not_read():
    model = SASRec(9, embedding_dim=D, positions=3)
    scores = model.scores(tf.constant([[1, 2, 3, 4, 5], [9, 8, 3, 4, 5], [0, 0, 3, 4, 5]]))
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scores[0], scores[2], rtol=1e-5, atol=1e-5)


def test_dropout_is_everywhere_in_the_blocks_and_for_training_alone():
    model = SASRec(9, embedding_dim=D, hidden_dropout=0.5, seed=1)
    items, seed = tf.constant([[1, 2, 3]]), tf.constant([1, 2])
    x = model.lookup(model.X, items)
    plain = model.encode_embeddings(items, x, False, None)
    dropped = [
        model.encode_embeddings(items, x, True, seed + step).numpy() for step in (0, 0, 1, 2)
    ]
    np.testing.assert_array_equal(dropped[0], dropped[1])
    for first, second in ((plain, dropped[0]), (dropped[1], dropped[2]), (dropped[2], dropped[3])):
        assert not np.allclose(first, second)


def test_heads_divide_the_embeddings():
    with pytest.raises(SettingError, match="`num_heads` is 3, expected a divisor of embedding_dim"):
        SASRec(9, embedding_dim=50, num_heads=3)
