"""The signatures of an export against NumPy."""

import types

import numpy as np
import pytest
import reference
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from small_hln import NUM_ITEMS, D, L, make_model, weights_of

from hln_tf.common.errors import HlnError
from hln_tf.common.text import split_session
from hln_tf.data.sessions import Sessions
from hln_tf.export.signatures import signatures
from hln_tf.models.popularity import Popularity
from hln_tf.recommender import Recommender
from hln_tf.retrieval.session_graph import SessionGraph
from hln_tf.retrieval.settings import ServingSettings

IDS = [f"id {i}" for i in range(1, NUM_ITEMS + 1)]
MAX_LENGTH, K, K_MAX = 4, 3, 5
SETTINGS = ServingSettings(k=K, k_max=K_MAX)
LOWEST = float(np.finfo(np.float32).min)
# Item 3 is the most popular, then 7, then 1, 2, 4 and so on.
CLICKED = Sessions.from_lists([[3, 3, 3, 7, 7], list(range(1, NUM_ITEMS + 1))])
POPULAR = [3, 7, 1, 2, *range(4, 7), *range(8, NUM_ITEMS + 1)]
# Item indices, 0 for an unknown item. One session is longer than is used, two have no known item.
SESSIONS = [[3, 6], [0, 2, 0, 5], [], [0], [1, 2, 3, 4, 5, 6, 0], [9]]
IS_FALLBACK = [False, False, True, True, False, False]


@pytest.fixture(scope="module")
def model():
    # With expected retention, which is never zero, every session has a query.
    model = make_model(inference_gate="expected")
    model.fit_counts(CLICKED)
    return model


@pytest.fixture(scope="module")
def recommender(model):
    return Recommender(model, IDS, MAX_LENGTH, ";", settings=SETTINGS)


@pytest.fixture(scope="module")
def signature(recommender):
    functions = signatures(recommender.graph)
    return lambda name, **inputs: {
        output: value.numpy()
        for output, value in functions[name](**tensors(functions[name], inputs)).items()
    }


def tensors(function, inputs):
    return {
        spec.name: tf.constant(inputs[spec.name], spec.dtype) for spec in function.input_signature
    }


def ids_of(session):
    return [IDS[item - 1] if item else "unknown" for item in session]


def strings(sessions):
    return [";".join(ids_of(session)) for session in sessions]


def known(session):
    return [item for item in session if item][-MAX_LENGTH:]


def scores_of(model, session):
    """Scores of all items, float [items]; in order of popularity for a session without clicks."""
    if not known(session):
        scores = np.empty(NUM_ITEMS)
        scores[np.array(POPULAR) - 1] = 1 - np.arange(1, NUM_ITEMS + 1) / NUM_ITEMS
        return scores
    return model.scores(tf.constant([known(session)])).numpy()[0]


def ranked(scores, k, without=()):
    """Ids and scores of the best k items."""
    best = [row for row in np.argsort(-scores, kind="stable") if row + 1 not in without][:k]
    return [IDS[row].encode() for row in best], scores[best]


def assert_top(answer, row, scores, k, without=()):
    ids, values = ranked(scores, k, without)
    assert answer["item_ids"][row].tolist()[: len(ids)] == ids
    np.testing.assert_allclose(answer["scores"][row][: len(ids)], values, atol=1e-5)
    assert set(answer["item_ids"][row][len(ids) :]) <= {b""}
    assert set(answer["scores"][row][len(ids) :]) <= {LOWEST}


# serving_default and sessions


def test_sessions_as_strings_and_padded_ones_get_the_same_top_k(signature, model):
    answer = signature("sessions", sessions=strings(SESSIONS))
    longest = max(map(len, SESSIONS))
    items = [ids_of(session) + [""] * (longest - len(session)) for session in SESSIONS]
    padded = signature("serving_default", items=items)
    assert answer.keys() == padded.keys() == {"item_ids", "scores"}
    np.testing.assert_array_equal(answer["item_ids"], padded["item_ids"])
    np.testing.assert_allclose(answer["scores"], padded["scores"], atol=1e-5)
    assert answer["item_ids"].shape == answer["scores"].shape == (len(SESSIONS), K)
    for row, session in enumerate(SESSIONS):
        assert_top(answer, row, scores_of(model, session), K)


def test_python_and_signatures_recommend_the_same(signature, recommender):
    answer = signature("sessions_k", **for_each(SESSIONS, k=K, exclude_seen=False))
    for row, given_answer in enumerate(recommender.recommend([ids_of(s) for s in SESSIONS], K)):
        assert [item.encode() for item, _ in given_answer.items] == answer["item_ids"][row][
            :K
        ].tolist()
        assert given_answer.is_fallback == answer["is_fallback"][row] == IS_FALLBACK[row]


def test_separators_may_be_first_last_and_repeated(signature):
    (plain, more) = signature("sessions", sessions=["id 3;id 6", ";;id 3;;;id 6;"])["scores"]
    np.testing.assert_allclose(plain, more, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.sampled_from("ab:; \té"), max_size=12),
    st.sampled_from([" ", ";", "\t", "::", "a:", "é"]),
)
def test_the_graph_splits_sessions_as_python_does(text, separator):
    (items,) = SessionGraph.split(types.SimpleNamespace(separator=separator), tf.constant([text]))
    found = [item.decode() for item in items.numpy() if item]
    assert found == split_session(text, separator)


# sessions_k


def for_each(sessions, k, exclude_seen):
    rows = len(sessions)
    return {
        "sessions": strings(sessions),
        "k": k if isinstance(k, list) else [k] * rows,
        "exclude_seen": [exclude_seen] * rows if isinstance(exclude_seen, bool) else exclude_seen,
    }


def test_each_session_gets_its_own_k_without_items_that_it_has_seen(signature, model):
    k, exclude = [1, 2, 3, 4, 5, 5], [True, False, True, True, True, False]
    answer = signature("sessions_k", **for_each(SESSIONS, k, exclude))
    assert answer["item_ids"].shape == answer["scores"].shape == (len(SESSIONS), K_MAX)
    assert answer["is_fallback"].tolist() == IS_FALLBACK
    for row, session in enumerate(SESSIONS):
        # All clicks count as seen, also those that are too old to be used.
        without = session if exclude[row] else ()
        assert_top(answer, row, scores_of(model, session), k[row], without)


def test_if_nearly_all_items_are_seen_empty_ids_fill_the_rest(signature, model):
    session = [item for item in range(1, NUM_ITEMS + 1) if item not in (2, 11)] * 2
    inputs = for_each([session, [*session, 2, 11], [5]], K_MAX, True)
    answer = signature("sessions_k", **inputs)
    assert set(answer["item_ids"][0].tolist()) == {b"id 2", b"id 11", b""}
    assert_top(answer, 0, scores_of(model, session), K_MAX, session)
    assert set(answer["item_ids"][1].tolist()) == {b""}
    assert_top(answer, 2, scores_of(model, [5]), K_MAX, [5])


def test_an_answer_does_not_depend_on_what_else_is_in_the_batch(signature):
    k, exclude = [5, 2, 3, 4, 5, 1], [True, False, True, True, True, False]
    together = signature("sessions_k", **for_each(SESSIONS, k, exclude))
    for row, session in enumerate(SESSIONS):
        alone = signature("sessions_k", **for_each([session], k[row : row + 1], exclude[row]))
        # A row is padded to the largest k of its batch.
        width = k[row]
        assert alone["item_ids"].shape == alone["scores"].shape == (1, width)
        assert alone["item_ids"][0].tolist() == together["item_ids"][row][:width].tolist()
        np.testing.assert_allclose(alone["scores"][0], together["scores"][row][:width], atol=1e-5)
        assert not any(together["item_ids"][row][width:])


@pytest.mark.parametrize("k", [0, -1, K_MAX + 1, 2**31 - 1])
def test_a_k_out_of_bounds_is_named(signature, k):
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"expected 1 to 5.*\[{k}\]"):
        signature("sessions_k", **for_each([[1], [2]], [2, k], False))


@pytest.mark.parametrize("k, exclude", [([2], [False, True]), ([2, 3], [True])])
def test_inputs_of_unequal_sizes_are_named(signature, k, exclude):
    with pytest.raises(tf.errors.InvalidArgumentError, match="for each session, received sizes"):
        signature("sessions_k", **for_each([[1], [2]], k, exclude))


def test_no_sessions_get_empty_answers(signature):
    answers = {
        name: signature(name, sessions=[], items=np.zeros([0, 0], str), k=[], exclude_seen=[])
        for name in ("serving_default", "sessions", "sessions_k", "explain", "embed")
    }
    assert all(len(value) == 0 for answer in answers.values() for value in answer.values())
    assert answers["sessions_k"]["scores"].shape == (0, 0)
    assert answers["explain"]["retention"].shape == (0, L, MAX_LENGTH)


# explain


def test_explain_returns_retention_and_nearest_items_of_each_group(signature):
    model = make_model(seed=2)
    model.fit_counts(CLICKED)
    functions = signatures(Recommender(model, IDS, MAX_LENGTH, ";", settings=SETTINGS).graph)
    sessions = [*SESSIONS, *([item] for item in range(1, NUM_ITEMS + 1))]
    answer = functions["explain"](tf.constant(strings(sessions)))
    answer = {name: value.numpy() for name, value in answer.items()}
    assert answer["retention"].shape == (len(sessions), L, MAX_LENGTH)
    assert answer["group_item_ids"].shape == (len(sessions), L, K)
    X, weights = model.X.numpy(), weights_of(model)
    mixed = 0
    for row, session in enumerate(sessions):
        used = known(session)
        empty = [""] * (MAX_LENGTH - len(used))
        assert [click.decode() for click in answer["clicks"][row]] == ids_of(used) + empty
        assert not np.any(answer["retention"][row, :, len(used) :])
        expected = reference.hln(X[np.array(used, int) - 1], weights, groups=L)
        np.testing.assert_allclose(
            answer["retention"][row, :, : len(used)], 1 - expected["p"], atol=1e-5
        )
        group = {"item_ids": answer["group_item_ids"][row], "scores": answer["group_scores"][row]}
        groups_with_nothing = L - np.count_nonzero(np.any(expected["g"] == 0, axis=1))
        mixed += 0 < groups_with_nothing < L
        for index in range(L):
            retains_a_click = np.any(expected["g"][index] == 0)
            scores = reference.item_scores(reference.ideal_item(expected["h"][index], weights), X)
            assert_top(group, index, scores, K if retains_a_click else 0)
        assert answer["is_fallback"][row] == np.all(expected["g"] == 1)
    assert mixed, "no session of which one group retains a click and another none"


def test_an_items_score_is_the_sum_of_its_scores_in_the_groups(recommender, model):
    (explained,) = recommender.explain([ids_of([3, 0, 6])], NUM_ITEMS)
    assert explained.clicks == ["id 3", "id 6"] and explained.retention.shape == (L, 2)
    (answer,) = recommender.recommend([ids_of([3, 6])], NUM_ITEMS)
    total = {item: sum(dict(group)[item] for group in explained.groups) for item in IDS}
    assert total == pytest.approx(dict(answer.items), abs=1e-5)


# embed


def test_dot_products_of_query_and_item_embeddings_are_the_scores(signature, recommender, model):
    query = signature("embed", sessions=strings(SESSIONS))
    assert query.keys() == {"query"} and query["query"].shape == (len(SESSIONS), D)
    graph = recommender.graph
    assert [item.decode() for item in graph.item_ids.numpy()] == IDS
    scores = query["query"] @ graph.item_embeddings.numpy().T
    for row, session in enumerate(SESSIONS):
        expected = np.zeros(NUM_ITEMS) if IS_FALLBACK[row] else scores_of(model, session)
        np.testing.assert_allclose(scores[row], expected, atol=1e-5)
    embedded = recommender.embed([ids_of(session) for session in SESSIONS])
    np.testing.assert_allclose(embedded, query["query"], atol=1e-5)


# Models without embeddings


def test_a_model_that_only_scores_has_neither_groups_nor_embeddings():
    model = Popularity(NUM_ITEMS)
    recommender = Recommender(model, IDS, MAX_LENGTH, ";")
    assert set(signatures(recommender.graph)) == {"serving_default", "sessions", "sessions_k"}
    assert recommender.graph.item_embeddings is None
    with pytest.raises(HlnError, match="Popularity has no preference groups"):
        recommender.explain([["id 1"]])
    with pytest.raises(HlnError, match="Popularity has no query embeddings"):
        recommender.embed([["id 1"]])
    with pytest.raises(HlnError, match=r"`index` scann .* Popularity has not"):
        Recommender(model, IDS, MAX_LENGTH, ";", settings=ServingSettings(index="scann"))


# Shapes


def test_all_but_the_batch_is_known_before_the_first_request(recommender):
    shapes = {
        name: {output: tuple(spec.shape) for output, spec in outputs.items()}
        for name, outputs in (
            (name, function.get_concrete_function().structured_outputs)
            for name, function in signatures(recommender.graph).items()
        )
    }
    top = {"item_ids": (None, K), "scores": (None, K)}
    assert shapes == {
        "serving_default": top,
        "sessions": top,
        "sessions_k": {
            "item_ids": (None, None),
            "scores": (None, None),
            "is_fallback": (None,),
        },
        "explain": {
            "clicks": (None, MAX_LENGTH),
            "retention": (None, L, MAX_LENGTH),
            "group_item_ids": (None, L, K),
            "group_scores": (None, L, K),
            "is_fallback": (None,),
        },
        "embed": {"query": (None, D)},
    }
