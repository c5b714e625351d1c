"""Encoders with a repeat head."""

import dataclasses

import numpy as np
import pytest
import reference
import repeat_oracle
import tensorflow as tf
import tf_keras as keras
import tiny_models
from tiny_models import NUM_ITEMS

from hln_tf.common.errors import HlnError, SettingError
from hln_tf.common.interrupt import StopOnSignal
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import Sessions
from hln_tf.metrics import BeyondAccuracy
from hln_tf.models.registry import MODELS, model_entry
from hln_tf.recommender import Recommender
from hln_tf.retrieval.settings import ServingSettings
from hln_tf.training.ranking import rank_examples
from hln_tf.training.run_config import DataDescription, RunConfig
from hln_tf.training.settings import TrainingSettings
from hln_tf.training.steps import compile_step
from hln_tf.training.trainer import make_optimizer

ENCODERS = [name for name, entry in MODELS.items() if entry.is_encoder]
IDS = [f"i{item}" for item in range(1, NUM_ITEMS + 1)]


def make(name="stamp", **arguments):
    """A model with a repeat head and random values of every weight."""
    model = tiny_models.make(name, repeat_head=True, **arguments)
    random = np.random.default_rng(3)
    for weight in model.trainable_variables:
        weight.assign_add(random.normal(0.0, 0.7, weight.shape))
    return model


@pytest.mark.parametrize("name", ENCODERS)
def test_scores_are_the_log_probabilities_of_the_definition(name):
    model = make(name)
    plain = tiny_models.make(name, normalize=model.settings.normalize)
    of_head = {id(weight) for weight in model.repeat_head.weights}
    others = [weight for weight in model.trainable_variables if id(weight) not in of_head]
    for weight, value in zip(plain.trainable_variables, others, strict=True):
        weight.assign(value)
    head = {w.name.split("/")[-1].split(":")[0]: w.numpy() for w in model.repeat_head.weights}
    items, _ = tiny_models.examples(count=8)
    scores, query = plain.scores(items).numpy(), plain.encode(items).numpy()
    x = np.asarray(plain.item_embeddings())
    scale = float(plain.scale) if plain.settings.normalize else 1.0
    found = np.exp(model.scores(items))
    for row, session in enumerate(items):
        clicks = [item for item in session if item]
        of_session = repeat_oracle.head(head, x[np.array(clicks) - 1], query[row] / scale)
        expected = repeat_oracle.mixture(scores[row].astype("d"), clicks, *of_session)
        np.testing.assert_allclose(found[row], expected, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("name", ENCODERS)
def test_loss_ranks_and_ranked_examples_are_those_of_the_scores(name):
    model = make(name, dropout=0.0)
    items, target = tiny_models.examples()
    scores = model.scores(items).numpy()
    batch = {"items": tf.constant(items), "target": tf.constant(target, tf.int32)}
    ranks = reference.ranks(scores, target - 1)
    np.testing.assert_array_equal(model.target_ranks(batch), ranks)
    model.ranking.reset_states()
    loss = model.compute_loss(batch)
    assert float(loss) == pytest.approx(-np.mean(scores[range(len(target)), target - 1]), rel=1e-4)
    assert model.ranking.results()["mrr@20"] == pytest.approx(reference.mrr_at(ranks, 20))


def test_ranked_examples_have_the_ranks_and_log_probabilities_of_the_scores():
    model, sessions = make(), tiny_models.walks(count=20)
    prefixes = Prefixes.from_sessions(Sessions.from_lists(sessions), max_length=5)
    ranks, scores = rank_examples(model, prefixes, 7, "examples", StopOnSignal())
    examples = [session[: end + 1] for session in sessions for end in range(1, len(session))]
    assert len(examples) == len(ranks)
    for example, rank, score in zip(examples, ranks, scores, strict=True):
        of_all = model.scores(tf.constant([example[:-1]])).numpy()
        assert score == pytest.approx(of_all[0, example[-1] - 1], rel=1e-4)
        assert rank == reference.ranks(of_all, [example[-1] - 1])[0]


def test_ranked_examples_have_no_more_scores_in_memory_than_the_ranking(monkeypatch):
    """All scores of a batch at a time are made for lists alone."""
    model = make(score_megabytes=1)
    prefixes = Prefixes.from_sessions(Sessions.from_lists(tiny_models.walks(20)), max_length=5)
    lists = BeyondAccuracy(np.ones(NUM_ITEMS, np.int64), [3])
    expected = rank_examples(model, prefixes, 30, "examples", StopOnSignal(), lists)

    def refuse(items):
        raise AssertionError("the scores of a whole batch")

    monkeypatch.setattr(model, "scores", refuse)
    found = rank_examples(model, prefixes, 30, "examples", StopOnSignal())
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-4)


@pytest.mark.parametrize("arguments", [{}, {"normalize": True}, {"last_click": "projected"}])
def test_a_step_of_training_learns_the_gate(arguments):
    """Targets that are always a click of the session become likely."""
    model = tiny_models.make("stamp", repeat_head=True, **arguments)
    items, _ = tiny_models.examples(count=200)
    target = items[:, 0]
    model.compile(optimizer=keras.optimizers.Adam(0.02))
    history = model.fit(items, target, batch_size=20, epochs=10, verbose=0).history["loss"]
    assert history[-1] < history[0] / 3
    own = np.take_along_axis(np.exp(model.predict(items, verbose=0)), items - 1, axis=1)
    of_sessions = [
        sum(dict(zip(session[session > 0], row[session > 0], strict=True)).values())
        for session, row in zip(items, own, strict=True)
    ]
    assert np.mean(of_sessions) > 0.9


@pytest.mark.parametrize("name", ["hln", "stamp", "gru4rec"])
def test_the_compiled_step_of_a_run_reports_the_loss_of_the_scores(name):
    model, loss = make(name), keras.metrics.Mean()
    items, target = tiny_models.examples(count=12)
    scores = model.scores(items).numpy()
    step = compile_step(model, make_optimizer(TrainingSettings()), loss)
    step(tf.constant(items), tf.constant(target, tf.int32), tf.constant([0, 1]))
    expected = -np.mean(scores[range(len(target)), target - 1])
    tolerance = 0.5 if name == "hln" else 1e-3  # HLN's leaps are sampled in training
    assert float(loss.result()) == pytest.approx(expected, rel=tolerance)


def test_a_saved_model_has_its_repeat_head(tmp_path):
    model = make("hln")
    items, _ = tiny_models.examples(count=8)
    model.save(tmp_path / "hln.keras")
    loaded = keras.models.load_model(tmp_path / "hln.keras")
    assert loaded.encode is None
    np.testing.assert_array_equal(loaded.scores(items), model.scores(items))


def test_its_scores_are_no_dot_products_so_there_is_no_query():
    model = make("hln", leap_bias=-20.0)  # retains all clicks
    assert model.encode is None and tiny_models.make("hln").encode is not None
    recommender = Recommender(model, IDS, 5, " ")
    words = "HLN with repeat_head has no query embeddings, .*: train without repeat_head$"
    with pytest.raises(HlnError, match=words):
        recommender.embed([["i1"]])
    words = "^STAMP has no preference groups, .*: use a model that has, such as HLN$"
    with pytest.raises(HlnError, match=words):
        Recommender(make("stamp"), IDS, 5, " ").explain([["i1"]])
    with pytest.raises(HlnError, match=r"`index` scann .* HLN has not: use `index` exact"):
        Recommender(model, IDS, 5, " ", settings=ServingSettings(index="scann"))
    (explained,) = recommender.explain([["i1", "i2"]], k=4)
    assert [len(group) for group in explained.groups] == [4] * 2
    assert len(recommender.similar_items("i1", k=3)) == 3


def test_candidates_have_the_scores_that_they_have_among_all():
    model = make()
    session, chosen = ["i3", "i4", "i3"], ["i4", "i9", "i20"]
    (everything,) = Recommender(model, IDS, 5, " ").recommend([session], k=NUM_ITEMS)
    (some,) = Recommender(model, IDS, 5, " ").recommend([session], k=3, allow=chosen)
    assert {item for item, _ in some.items} == set(chosen)
    for item, score in some.items:
        assert score == pytest.approx(dict(everything.items)[item], rel=1e-5)


@pytest.mark.parametrize("loss", ["sampled", "bpr", "equation_8", "in_batch"])
def test_other_losses_are_refused(loss):
    with pytest.raises(SettingError, match=r"`repeat_head` is True, expected False with .*softmax"):
        tiny_models.make("stamp", repeat_head=True, loss=loss)
    settings = dataclasses.replace(model_entry("stamp").settings(), repeat_head=True)
    data = DataDescription("d", "", " ", 9, "", "")
    with pytest.raises(SettingError, match=f"`repeat_head` is True, .* the loss {loss}"):
        RunConfig("stamp", settings, TrainingSettings(loss=loss), data)
    with pytest.raises(SettingError, match=f"`label_smoothing` is 0.1, .* the loss {loss}"):
        training = TrainingSettings(loss=loss, label_smoothing=0.1)
        RunConfig("stamp", model_entry("stamp").settings(), training, data)
