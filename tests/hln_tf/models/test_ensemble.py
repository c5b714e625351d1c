import numpy as np
import pytest
import reference
import tensorflow as tf
import tf_keras as keras
import tiny_models
from tiny_models import NUM_ITEMS

from hln_tf.data.sessions import Sessions
from hln_tf.models import Ensemble
from hln_tf.recommender import Recommender


def counted(name, sessions=None):
    model = tiny_models.make(name)
    model.fit_counts(Sessions.from_lists(sessions or tiny_models.walks(1)))
    return model


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def models():
    return [tiny_models.make("stamp", normalize=True), counted("markov"), tiny_models.make("hln")]


def test_scores_are_logarithms_of_the_mean_of_the_probabilities(models):
    items, target = tiny_models.examples(count=9)
    shares = [0.5, 0.3, 0.2]
    ensemble = Ensemble(models, shares=shares)
    counts = np.maximum(models[1].scores(items), 0)
    parts = [
        softmax(models[0].scores(items).numpy()),
        counts / counts.sum(axis=1, keepdims=True),
        softmax(models[2].scores(items).numpy()),
    ]
    expected = sum(share * part for share, part in zip(shares, parts, strict=True))
    np.testing.assert_allclose(expected.sum(axis=1), 1.0, rtol=1e-5)
    scores = ensemble.scores(items)
    np.testing.assert_allclose(np.exp(scores), expected, rtol=1e-5)
    ranks = reference.ranks(scores.numpy(), target - 1)
    found = ensemble.evaluate(items, target, return_dict=True, verbose=0)
    assert found["mrr@20"] == pytest.approx(reference.mrr_at(ranks, 20))


def test_models_have_equal_shares_by_default(models):
    items, _ = tiny_models.examples(count=3)
    thirds = Ensemble(models, shares=[1 / 3] * 3)
    np.testing.assert_array_equal(Ensemble(models).scores(items), thirds.scores(items))


def test_a_model_without_a_share_has_no_say(models):
    items, _ = tiny_models.examples(count=3)
    alone = Ensemble(models[:2], shares=[1.0, 0.0]).scores(items)
    np.testing.assert_allclose(alone, np.log(softmax(models[0].scores(items).numpy())), atol=1e-5)


def test_a_session_without_counts_has_the_clicks_of_training():
    markov = counted("markov", [[1, 2], [3, 2]])
    ensemble = Ensemble([markov, counted("markov")], shares=[1.0, 0.0])
    found = np.exp(ensemble.scores(tf.constant([[9]])))[0]
    expected = np.zeros(NUM_ITEMS)
    expected[:3] = [0.25, 0.5, 0.25]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_ensembles_of_ensembles_are_ensembles(models):
    items, _ = tiny_models.examples(count=3)
    inner = Ensemble(models[:2])
    nested = Ensemble([inner, models[2]], shares=[0.5, 0.5])
    flat = Ensemble(models, shares=[0.25, 0.25, 0.5])
    np.testing.assert_allclose(nested.scores(items), flat.scores(items), rtol=1e-4)


def test_it_recommends_and_is_saved_as_other_models(models, tmp_path, caplog):
    ensemble, (items, _) = Ensemble(models), tiny_models.examples(count=3)
    ensemble.save(tmp_path / "ensemble.keras")
    with caplog.at_level("WARNING"):
        loaded = keras.models.load_model(tmp_path / "ensemble.keras")
    assert not caplog.records, "Keras logs that it skips the variables of an optimiser"
    np.testing.assert_allclose(loaded.scores(items), ensemble.scores(items), rtol=1e-5)
    ids = [f"i{item}" for item in range(1, NUM_ITEMS + 1)]
    (answer,) = Recommender(ensemble, ids, 5, " ").recommend([["i3", "i4"]], k=NUM_ITEMS)
    scores = ensemble.scores(tf.constant([[3, 4]])).numpy()[0]
    assert dict(answer.items) == pytest.approx(dict(zip(ids, scores, strict=True)), rel=1e-4)


def test_its_models_are_trained_and_not_it(models):
    ensemble, counts = Ensemble(models), models[1].item_counts.numpy()
    items, target = tiny_models.examples(count=3)
    with pytest.raises(TypeError, match="an Ensemble has no `fit`: train each of its `models`"):
        ensemble.fit(items, target)
    with pytest.raises(TypeError, match="an Ensemble has no `fit_counts`: train each of its"):
        ensemble.fit_counts([[1, 2]])
    np.testing.assert_array_equal(models[1].item_counts, counts)
    assert not np.any(models[0].item_counts)


@pytest.mark.parametrize(
    ("sizes", "shares", "message"),
    [
        ([], None, "two or more with one catalogue, received 0 with no items"),
        ([4], None, "received 1 with 4 items"),
        ([4, 5], None, "received 2 with 4 and 5 items"),
        ([4, 4], [1.0], r"`shares` must be 2 numbers .*, received \[1.0\]"),
        ([4, 4], [1.5, -0.5], r"with the sum 1, received \[1.5, -0.5\]"),
        ([4, 4], [0.5, 0.6], r"with the sum 1, received \[0.5, 0.6\]"),
    ],
)
def test_what_cannot_be_mixed_is_refused(sizes, shares, message):
    from hln_tf.models import Popularity

    with pytest.raises(ValueError, match=message):
        Ensemble([Popularity(size) for size in sizes], shares=shares)
