"""Candidates that are not all items, and the approximate index."""

import importlib.util

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs
from small_hln import NUM_ITEMS, make_model

from hln_tf.common.errors import HlnError
from hln_tf.data.sessions import Sessions
from hln_tf.export.signatures import signatures
from hln_tf.models.markov import Markov
from hln_tf.models.popularity import Popularity
from hln_tf.recommender import Recommender
from hln_tf.retrieval.settings import ServingSettings

IDS = [f"i{item}" for item in range(1, NUM_ITEMS + 1)]
ROWS = np.array([1, 4, 5, 8, 11])
CANDIDATES = ["i2", "i5", "i6", "i9", "i12"]
CLICKED = Sessions.from_lists([[6, 6, 6, 9, 9, 1, 1, 1, 1], list(range(1, NUM_ITEMS + 1))])
SESSIONS = [["i1", "i7"], ["i6", "i2", "i9"], ["new"]]

MODELS = {
    "hln": lambda: make_model(inference_gate="expected"),
    "markov": lambda: Markov(NUM_ITEMS),
    "popularity": lambda: Popularity(NUM_ITEMS),
}


@pytest.fixture(scope="module", params=MODELS)
def recommenders(request):
    """All items, and the candidates alone."""
    model = MODELS[request.param]()
    model.fit_counts(CLICKED)
    settings = ServingSettings(k=3, k_max=4)
    return [Recommender(model, IDS, 5, " ", rows, settings) for rows in (None, ROWS)]


def test_candidates_rank_as_they_do_among_all_items(recommenders):
    answers = [each.recommend(SESSIONS, NUM_ITEMS) for each in recommenders]
    for among_all, alone in zip(*answers, strict=True):
        expected = [(item, score) for item, score in among_all.items if item in CANDIDATES]
        assert [item for item, _ in alone.items] == [item for item, _ in expected]
        assert dict(alone.items) == pytest.approx(dict(expected), abs=1e-5)
        assert alone.is_fallback == among_all.is_fallback


def test_the_most_popular_are_candidates_too(recommenders):
    (answer,) = recommenders[1].recommend([["new"]], 3)
    assert [item for item, _ in answer.items] == ["i6", "i9", "i2"]


def test_seen_items_are_excluded_from_the_candidates(recommenders):
    answer = signatures(recommenders[1].graph)["sessions_k"](
        tf.constant([" ".join(session) for session in SESSIONS]),
        tf.constant([4, 4, 2]),
        tf.constant([True, True, True]),
    )
    ids = [[item.decode() for item in row if item] for row in answer["item_ids"].numpy()]
    for session, found in zip(SESSIONS, ids, strict=True):
        (expected,) = recommenders[1].recommend([session], NUM_ITEMS)
        left = [item for item, _ in expected.items if item not in session]
        assert found == left[: 2 if session == ["new"] else 4]


def test_one_candidate_is_no_fallback():
    model = MODELS["hln"]()
    (answer,) = Recommender(model, IDS, 5, " ", np.array([3])).recommend([["i1"]])
    assert [item for item, _ in answer.items] == ["i4"] and not answer.is_fallback


def test_item_embeddings_of_all_items_are_not_copied():
    model = MODELS["hln"]()
    assert Recommender(model, IDS, 5, " ").graph.item_embeddings is model.X
    graph = Recommender(model, IDS, 5, " ", ROWS).graph
    assert [item.decode() for item in graph.item_ids.numpy()] == CANDIDATES
    np.testing.assert_array_equal(graph.item_embeddings.numpy(), model.X.numpy()[ROWS])


# The approximate index

has_scann = importlib.util.find_spec("scann") is not None
needs_scann = pytest.mark.skipif(
    not has_scann, reason="the package scann is not installed (pip install 'hln-tf[scann]')"
)
SCANN = ServingSettings(k=5, k_max=8, index="scann")


@pytest.mark.skipif(has_scann, reason="the package scann is installed")
def test_a_missing_scann_is_named_with_its_extra():
    assert not tfrs.layers.factorized_top_k._HAVE_SCANN
    model, ids = make_model(num_items=20), [str(item) for item in range(20)]
    with pytest.raises(HlnError, match=r"needs the package scann .* 'hln-tf\[scann\]'"):
        Recommender(model, ids, 5, " ", settings=SCANN)


def test_scann_needs_enough_candidates():
    with pytest.raises(HlnError, match="at least 16 candidates, there are 12: use `index` exact"):
        Recommender(make_model(), IDS, 5, " ", settings=SCANN)


@needs_scann
def test_scann_finds_nearly_the_same_items_as_the_exact_index(tmp_path):
    model, ids = make_model(num_items=400), [f"i{item}" for item in range(1, 401)]
    model.fit_counts(CLICKED)
    exact = Recommender(model, ids, 5, " ", settings=ServingSettings(k=5, k_max=8))
    approximate = Recommender(model, ids, 5, " ", settings=SCANN)
    sessions = [[f"i{item}", f"i{item + 7}"] for item in range(1, 100)]
    found = [
        [{item for item, _ in answer.items} for answer in each.recommend(sessions, 5)]
        for each in (exact, approximate)
    ]
    recall = np.mean([len(a & b) / 5 for a, b in zip(*found, strict=True)])
    assert recall > 0.9
    served = tf.saved_model.load(str(approximate.export(tmp_path, {}))).signatures["sessions"]
    answer = served(sessions=tf.constant([" ".join(session) for session in sessions]))
    assert [{item.decode() for item in row} for row in answer["item_ids"].numpy()] == found[1]


@needs_scann
def test_scann_may_find_fewer_than_k():
    model, ids = make_model(num_items=400), [f"i{item}" for item in range(1, 401)]
    model.fit_counts(CLICKED)
    recommender = Recommender(model, ids, 5, " ", settings=SCANN)
    (answer,) = recommender.recommend([["i1"]], 400)
    assert 5 < len(answer.items) < 400 and len({item for item, _ in answer.items}) == len(
        answer.items
    )
