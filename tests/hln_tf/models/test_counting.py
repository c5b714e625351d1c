"""What `fit` counts: sessions of models that count, and targets of losses that sample."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from tiny_models import NUM_ITEMS, dicts, examples, make, tuples

from hln_tf.models import Markov, Popularity
from hln_tf.tasks import BPR, InBatchSoftmax, SampledSoftmax

ITEMS = np.array([[3, 1, 0], [0, 2, 0], [2, 3, 2]], np.int32)
TARGET = np.array([2, 3, 4])
# Items 1 to 5: of the sessions alone, and with their targets at the end.
CLICKS, WITH_TARGETS = [1, 3, 2, 0, 0], [1, 4, 3, 1, 0]
SESSIONS = [[3, 1], [2], [2, 3, 2]]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([ITEMS], CLICKS),
        ([tf.constant(ITEMS)], CLICKS),
        ([SESSIONS], CLICKS),
        ([tuple(map(tuple, SESSIONS))], CLICKS),
        ([{"items": ITEMS}], CLICKS),
        ([ITEMS, TARGET], WITH_TARGETS),
        ([ITEMS, TARGET[:, None]], WITH_TARGETS),
        ([SESSIONS, TARGET], WITH_TARGETS),
        ([{"items": ITEMS, "target": TARGET}], WITH_TARGETS),
        ([dicts(ITEMS, TARGET, batch=2)], WITH_TARGETS),
        ([tuples(ITEMS, TARGET, batch=2)], WITH_TARGETS),
        ([[]], [0] * 5),
    ],
)
def test_a_model_that_counts_takes_what_others_take(data, expected):
    model = Popularity(5)
    model.fit(*data)
    np.testing.assert_array_equal(model.item_counts, expected)


def test_a_target_is_the_click_after_the_last_one():
    model, expected = Markov(5), Markov(5)
    model.fit(ITEMS, TARGET)
    expected.fit([[3, 1, 2], [2, 3], [2, 3, 2, 4]])
    np.testing.assert_array_equal(model.scores(ITEMS), expected.scores(ITEMS))


def test_counts_are_those_of_arrays_and_lists_for_every_model():
    for model in (Popularity(5), make("hln")):
        for sessions in (ITEMS, SESSIONS, tf.ragged.constant(SESSIONS)):
            model.fit_counts(sessions)
            np.testing.assert_array_equal(model.item_counts[:5], CLICKS)


@pytest.mark.parametrize(
    ("sessions", "error", "received"),
    [
        ([[1, 6]], ValueError, "expected 0 to 5, where 0 is padding, received from 1 to 6"),
        ([[-1]], ValueError, "expected 0 to 5, where 0 is padding, received from -1 to -1"),
        ([1, 2], TypeError, r"received a list of arrays \[\]"),
        (ITEMS[0], TypeError, r"received an array \[3\]"),
        ([[1.5]], TypeError, "received float64"),
        ("123", TypeError, "received str"),
        (None, TypeError, "received NoneType"),
        (3, TypeError, "received int"),
    ],
)
def test_what_is_no_sessions_is_refused(sessions, error, received):
    with pytest.raises(error, match=f"^sessions .*{received}$"):
        Popularity(5).fit_counts(sessions)


def test_a_model_that_has_counted_nothing_warns_when_it_is_evaluated():
    model = Popularity(5)
    with pytest.warns(UserWarning, match="Popularity has counted no click: call `fit` first"):
        model.evaluate(ITEMS, TARGET, verbose=0)
    model.fit(ITEMS, TARGET, validation_data=(ITEMS, TARGET))
    model.evaluate(ITEMS, TARGET, verbose=0)


# Losses that sample


LONG, NEXT = examples(count=40)
COUNTS = np.bincount(NEXT, minlength=NUM_ITEMS + 1)[1:]


class Steps(keras.utils.Sequence):
    def __len__(self):
        return 4

    def __getitem__(self, step):
        return LONG[10 * step :][:10], NEXT[10 * step :][:10]


def endless():
    while True:
        yield LONG[:5], NEXT[:5]


def compiled(loss):
    model = make("bpr_mf", loss=loss)
    model.compile("sgd", run_eagerly=True)
    return model


@pytest.mark.parametrize(
    ("data", "options", "of"),
    [
        ((LONG, NEXT), {}, slice(None)),
        ((LONG, NEXT[:, None]), {"validation_split": 0.25}, slice(30)),
        ((dicts(LONG, NEXT),), {}, slice(None)),
        ((tuples(LONG, NEXT, batch=10).repeat(),), {"steps_per_epoch": 2}, slice(20)),
        ((Steps(),), {}, slice(None)),
    ],
    ids=["arrays", "validation split", "dictionaries", "endless data set", "Sequence"],
)
def test_fit_counts_the_targets_of_an_epoch_for_a_loss_that_samples(data, options, of):
    model = compiled(SampledSoftmax(num_negatives=4, sampling_power=1.0))
    model.fit(*data, verbose=0, **options)
    counts = np.bincount(NEXT[of], minlength=NUM_ITEMS + 1)[1:]
    np.testing.assert_array_equal(model.item_counts, counts)
    q = np.diff(model.retrieval_loss.negatives.cumulative, prepend=0)
    np.testing.assert_allclose(q, (1 + counts) / np.sum(1 + counts), atol=1e-12)


def test_the_batch_softmax_is_corrected_by_the_counted_targets():
    model = compiled(InBatchSoftmax())
    model.fit(LONG, NEXT, verbose=0)
    expected = (1 + COUNTS) / np.sum(1 + COUNTS)
    np.testing.assert_allclose(model.retrieval_loss.probabilities, expected, rtol=1e-6)


def test_what_was_counted_before_stays():
    model = compiled(BPR(num_negatives=4))
    model.fit_counts([[1, 1, 2]])
    model.fit(LONG, NEXT, verbose=0)
    np.testing.assert_array_equal(model.item_counts[:3], [2, 1, 0])


@pytest.mark.parametrize("loss", ["softmax", SampledSoftmax(4, sampling_power=0.0)])
def test_nothing_is_counted_for_a_loss_without_popularity(loss):
    model = compiled(loss)
    model.fit(LONG, NEXT, verbose=0)
    assert not np.any(model.item_counts)


def test_a_generator_is_not_counted_and_fit_warns():
    model = compiled(BPR(num_negatives=4))
    with pytest.warns(
        UserWarning, match=r"BPR takes all items for equally popular.*call `fit_counts` before"
    ):
        model.fit(endless(), steps_per_epoch=2, verbose=0)
    assert not np.any(model.item_counts)


def test_a_loss_with_counts_belongs_to_one_model():
    for loss in (SampledSoftmax(4), InBatchSoftmax(), BPR(4)):
        name, first = type(loss).__name__, make("bpr_mf", loss=loss)
        before = [weight.shape for weight in loss.weights]
        with pytest.raises(ValueError, match=rf"this {name} belongs to another model already: "):
            make("bpr_mf", loss=loss)
        assert [weight.shape for weight in first.retrieval_loss.weights] == before
