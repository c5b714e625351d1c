"""Errors of layers' calls: one sentence with the argument, what was expected and received."""

import pytest
import tensorflow as tf
import tf_keras as keras

from hln_tf.layers import (
    GRU,
    LeapRecurrentCell,
    LeapRecurrentUnit,
    PreferenceManager,
    SessionAttention,
    SessionMemory,
)
from hln_tf.tasks import BPR, FullSoftmax

BATCH, TIME, D, N = 2, 3, 4, 5
X, STEP = tf.zeros([BATCH, TIME, D]), tf.zeros([BATCH, D])
IDS, H = tf.ones([BATCH, TIME], tf.int32), tf.zeros([BATCH, N])
PUT_EMBEDDING = "item embeddings, floats: put an `Embedding` before the layer, received int32"
TWO_DIMENSIONS = ": a list holds tensors [batch, n]"


def unit(*args, **kwargs):
    return LeapRecurrentUnit(N)(*args, **kwargs)


def cell(*args, **kwargs):
    return LeapRecurrentCell(N)(*args, **kwargs)


def manager(*args, aggregation="sum", **kwargs):
    return PreferenceManager(aggregation)(*args, **kwargs)


CASES = {
    "ids": (lambda: unit(IDS), f"`inputs` must hold {PUT_EMBEDDING}"),
    "integers": (lambda: unit(tf.cast(X, tf.int32)), f"`inputs` must hold {PUT_EMBEDDING}"),
    "one step": (lambda: unit(STEP), "`inputs` must have shape [batch, time, d], received (2, 4)"),
    "symbolic": (
        lambda: unit(keras.Input([4])),
        "`inputs` must have shape [batch, time, d], received (None, 4)",
    ),
    "constants": (
        lambda: unit(X, constants=[STEP]),
        "`constants` must have shape [2, 5], received (2, 4)",
    ),
    **{
        name: (
            lambda name=name: unit(X, **{name: tf.ones([BATCH, TIME + 1])}),
            f"`{name}` must have shape [2, 3], received (2, 4)",
        )
        for name in ("mask", "noise", "available")
    },
    "cell, integers": (
        lambda: cell(IDS, [H]),
        f"`inputs` must hold {PUT_EMBEDDING}",
    ),
    "cell, sessions": (
        lambda: cell(X, [H]),
        "`inputs` must have shape [batch, d], received (2, 3, 4)",
    ),
    "cell, state": (
        lambda: cell(STEP, [STEP]),
        "`states` must have shape [batch, 5], received (2, 4)",
    ),
    "cell, constants": (
        lambda: cell(STEP, [H], constants=[STEP]),
        "`constants` must have shape [batch, 5], received (2, 4)",
    ),
    "cell, noise": (
        lambda: cell((STEP, tf.zeros([BATCH]), tf.ones([BATCH, 1])), [H]),
        "`noise` must have shape [batch, 1], received (2,)",
    ),
    "no preference": (
        lambda: manager([]),
        "`preferences` must hold at least one tensor [batch, n], received []",
    ),
    "no preference, attention": (
        lambda: manager([], aggregation="attention"),
        "`preferences` must hold at least one tensor [batch, n], received []",
    ),
    "one vector": (
        lambda: manager(tf.zeros([N])),
        "`preferences` must have shape [batch, l, n], received (5,)",
    ),
    "rank 4": (
        lambda: manager(tf.zeros([1, 2, 3, 4])),
        "`preferences` must have shape [batch, l, n], received (1, 2, 3, 4)",
    ),
    "sequences": (
        lambda: manager([X, X]),
        f"`preferences` must have shape [batch, 3], received (2, 3, 4){TWO_DIMENSIONS}",
    ),
    "unequal": (
        lambda: manager([H, STEP]),
        f"`preferences` must have shape [batch, 5], received (2, 4){TWO_DIMENSIONS}",
    ),
    "integer preferences": (lambda: manager(IDS), "`preferences` must hold floats, received int32"),
    "ages": (
        lambda: manager([H, H], IDS, aggregation="recency"),
        "`ages` must have shape [batch, 2], received (2, 3)",
    ),
    "GRU, ids": (lambda: GRU(N)(IDS), f"`x` must hold {PUT_EMBEDDING}"),
    "GRU, gates": (
        lambda: GRU(N, input_kernel=False)(X),
        "`x` must have shape [batch, time, 15], received (2, 3, 4)",
    ),
    "GRU, mask": (
        lambda: GRU(N)(X, mask=IDS[:, 1:] > 0),
        "`mask` must have shape [2, 3], received (2, 2)",
    ),
    "attention": (
        lambda: SessionAttention()(X, last=H, mask=IDS > 0),
        "`last` must have shape [2, 4], received (2, 5)",
    ),
    "memory": (
        lambda: SessionMemory(3, N, 2)(STEP),
        "`keys` must have shape [batch, 5], received (2, 4)",
    ),
    "loss, width": (
        lambda: FullSoftmax()(STEP, tf.zeros([7, N]), IDS[:, 0]),
        "`candidates` must have shape [items, 4], received (7, 5)",
    ),
    "loss, targets": (
        lambda: FullSoftmax()(STEP, tf.zeros([7, D]), IDS[:, :1]),
        "`target` must have shape [2], received (2, 1)",
    ),
    "loss, no catalogue": (
        lambda: BPR()(STEP, tf.zeros([7, D]), IDS[:, 0]),
        "BPR does not know its catalogue: pass it to a model, or call `prepare(num_items)`",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_error_is_one_sentence(case):
    call, expected = CASES[case]
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    assert str(error.value) == expected


def test_the_cell_in_an_rnn_names_what_it_needs():
    with pytest.raises(TypeError, match="put an `Embedding` before the layer"):
        keras.layers.RNN(LeapRecurrentCell(N))(tf.cast(X, tf.int32))


def test_arguments_by_keyword_are_checked_and_good_ones_pass():
    with pytest.raises(TypeError, match="must hold item embeddings"):
        unit(inputs=IDS)
    mask = tf.constant([[True, True, False], [True, False, False]])
    assert unit(X, mask=mask, constants=H, initial_state=[H]).shape == (BATCH, N)
    assert unit([X, H]).shape == (BATCH, N)  # as Keras passes states of a loaded model
