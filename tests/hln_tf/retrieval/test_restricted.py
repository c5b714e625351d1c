"""Recommendations among all items and among those that a call leaves, and similar items."""

import numpy as np
import pytest
import tensorflow as tf
from small_hln import NUM_ITEMS, make_model
from tiny_models import model_class

from hln_tf.common.errors import HlnError, UsageError
from hln_tf.data.sessions import Sessions
from hln_tf.retrieval.session_recommender import SessionRecommender

IDS = [str(100 + item) for item in range(NUM_ITEMS)]
SESSIONS = [
    ["101", "103"],
    ["111"],
    ["107", "new", "107", "102", "109", "104", "100"],
    ["new"],
    [],
]
MAX_LENGTH = 5
COUNTED = [[1, 2, 3], [2, 4, 2, 5], [8, 3, 10], [12, 7, 6], [2, 9]]


def recommender_of(name, candidates=None):
    if name == "hln":
        model = make_model()
    else:
        model = model_class(name)(num_items=NUM_ITEMS)
    model.fit_counts(Sessions.from_lists(COUNTED))
    return SessionRecommender(model, IDS, MAX_LENGTH, " ", candidates)


@pytest.fixture(scope="module", params=["hln", "sknn", "markov", "popularity"])
def recommender(request):
    return recommender_of(request.param)


@pytest.fixture(scope="module")
def hln():
    return recommender_of("hln")


def ids(recommendations):
    return [[item for item, _ in each.items] for each in recommendations]


def filtered(recommender, k, allow=IDS, deny=(), exclude_seen=False):
    """The unrestricted ranking of all items without those that are not wanted."""
    return [
        [
            (item, score)
            for item, score in each.items
            if item in allow and item not in deny and not (exclude_seen and item in session)
        ][:k]
        for session, each in zip(SESSIONS, recommender.recommend(SESSIONS, NUM_ITEMS), strict=True)
    ]


@pytest.mark.parametrize(
    "restriction",
    [
        {"exclude_seen": True},
        {"allow": ["110", "101", "103", "new"]},
        {"allow": {"102"}, "exclude_seen": True},
        {"deny": ["101", "104", "111", "other"]},
        {"deny": []},
        {"allow": IDS[3:9], "deny": IDS[6:], "exclude_seen": True},
    ],
)
@pytest.mark.parametrize("k", [1, 4, 50])
def test_restrictions_leave_out_items_of_the_ranking(recommender, restriction, k):
    found = recommender.recommend(SESSIONS, k, **restriction)
    for each, expected in zip(found, filtered(recommender, k, **restriction), strict=True):
        assert [item for item, _ in each.items] == [item for item, _ in expected]
        scores = [score for _, score in each.items]
        assert scores == pytest.approx([score for _, score in expected], rel=1e-5, abs=1e-6)
    whole = recommender.recommend(SESSIONS, k)
    assert [each.is_fallback for each in found] == [each.is_fallback for each in whole]


def test_more_sessions_than_are_ranked_at_a_time(hln):
    many = SESSIONS * 40
    found = hln.recommend(many, 3, deny=["101"])
    assert ids(found) == ids(hln.recommend(SESSIONS, 3, deny=["101"])) * 40


def test_numbers_are_item_ids_in_restrictions_too(hln):
    assert hln.recommend([[101, 103]], 3, allow=[102, 104.0, np.int64(105)]) == hln.recommend(
        [["101", "103"]], 3, allow=["102", "104", "105"]
    )
    assert hln.recommend([[101]], 3, deny=[101]) == hln.recommend([["101"]], 3, deny=["101"])


@pytest.mark.parametrize("allow", [[], (each for each in [])])
def test_an_empty_choice_gives_no_items(recommender, allow):
    assert ids(recommender.recommend([["101"]], 3, allow=allow)) == [[]]


@pytest.mark.parametrize("name", ["allow", "deny"])
def test_choices_of_which_no_id_is_known_are_refused(hln, name):
    expected = f"none of the 2 ids in `{name}` is known, such as '7': the model's ids look like '10"
    with pytest.raises(UsageError, match=expected):
        hln.recommend([["101"]], **{name: [7, "x"]})
    assert hln.recommend([["101"]], **{name: [7, "102"]}) == hln.recommend(
        [["101"]], **{name: ["102"]}
    )


@pytest.mark.parametrize("wrong", ["no", 1, None])
def test_exclude_seen_is_a_truth_value(hln, wrong):
    with pytest.raises(UsageError, match=r"`exclude_seen` is .*, expected True or False"):
        hln.recommend([["101"]], exclude_seen=wrong)
    both = [hln.recommend([["101"]], exclude_seen=each) for each in (True, np.True_)]
    assert both[0] == both[1]


@pytest.mark.parametrize("name", ["allow", "deny"])
def test_choices_are_collections_of_item_ids(hln, name):
    with pytest.raises(UsageError, match=f"`{name}` is '101', expected a list of item ids"):
        hln.recommend([["101"]], **{name: "101"})
    with pytest.raises(UsageError, match=f"element 0 of `{name}` is None, expected an item id"):
        hln.recommend([["101"]], **{name: [None]})


def test_restrictions_are_among_the_candidates_of_the_recommender(hln):
    rows = np.array([1, 4, 5, 8])
    among = recommender_of("hln", rows)
    candidates = [IDS[row] for row in rows]
    for restriction in ({"exclude_seen": True}, {"deny": ["104"]}, {"allow": ["104", "103"]}):
        allow = sorted({*candidates} & {*restriction.pop("allow", IDS)})
        found = ids(among.recommend(SESSIONS, 3, allow=allow, **restriction))
        assert found == ids(hln.recommend(SESSIONS, 3, allow=allow, **restriction))
        assert found == ids(among.recommend(SESSIONS, 3, **restriction, allow=[*allow, "100"]))


def test_sessions_without_a_known_item_get_the_most_popular(recommender):
    counts = np.bincount(np.concatenate(COUNTED), minlength=NUM_ITEMS + 1)[1:]
    popular = [IDS[row] for row in np.argsort(-counts, kind="stable")]
    for restriction in ({}, {"deny": []}):
        unknown, empty = recommender.recommend([["new"], []], 4, **restriction)
        assert unknown == empty
        assert unknown.is_fallback
        assert [item for item, _ in unknown.items] == popular[:4]


@pytest.mark.parametrize("wrong", [0, -1, "5", 2.0, None, True])
def test_k_is_a_whole_number_of_at_least_one(hln, wrong):
    for call in (hln.recommend, hln.explain):
        with pytest.raises(UsageError, match=f"`k` is {wrong!r}, expected a whole number of at l"):
            call([["101"]], k=wrong)
    with pytest.raises(UsageError, match=f"`k` is {wrong!r}, expected a whole number of at least"):
        hln.similar_items("101", k=wrong)


@pytest.mark.parametrize("k", [NUM_ITEMS, NUM_ITEMS + 1, 10**12, np.int64(100)])
def test_a_larger_k_gives_all_items(recommender, k):
    (found,) = recommender.recommend([["101", "103"]], k)
    assert sorted(item for item, _ in found.items) == IDS
    scores = [score for _, score in found.items]
    assert scores == sorted(scores, reverse=True)


def test_no_sessions_get_no_recommendations(recommender):
    assert recommender.recommend([]) == recommender.recommend([], exclude_seen=True) == []


def test_the_last_clicks_of_a_session_are_used(hln):
    for restriction in ({}, {"deny": []}):
        long = hln.recommend([["100"] * 9 + IDS[:MAX_LENGTH]], 3, **restriction)
        assert ids(long) == ids(hln.recommend([IDS[:MAX_LENGTH]], 3, **restriction))


def test_similar_items_have_the_highest_cosines(hln):
    embeddings = hln.model.item_embeddings().numpy().astype(np.float64)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    for row in range(NUM_ITEMS):
        cosines = unit @ unit[row]
        order = [each for each in np.argsort(-cosines) if each != row]
        found = hln.similar_items(IDS[row], 4)
        assert [item for item, _ in found] == [IDS[each] for each in order[:4]]
        assert [cosine for _, cosine in found] == pytest.approx(cosines[order[:4]], abs=1e-6)
    assert hln.similar_items(103, 2) == hln.similar_items("103", 2)
    assert sorted(item for item, _ in hln.similar_items("103", 50)) == sorted({*IDS} - {"103"})


def test_similar_items_of_unknown_items_and_of_models_without_embeddings(hln):
    with pytest.raises(HlnError, match="does not know the item 'new'"):
        hln.similar_items("new")
    with pytest.raises(UsageError, match="`item` is None, expected an item id"):
        hln.similar_items(None)
    with pytest.raises(HlnError, match=r"Popularity has no item embeddings, so .* compare items"):
        recommender_of("popularity").similar_items("101")


def test_explanations_name_the_clicks_and_the_items_near_each_group(hln):
    first, unknown = hln.explain([["101", "new", "103"], ["new"]], k=3)
    assert first.clicks == ["101", "103"]
    assert first.positions == [0, 2]
    (long,) = hln.explain([["new", *IDS[:7], "new"]], k=1)
    assert long.positions == [3, 4, 5, 6, 7] and long.clicks == IDS[2:7]
    assert first.retention.shape == (hln.model.settings.num_groups, 2)
    assert {len(group) for group in first.groups} <= {0, 3}
    queries = hln.model.preferences(tf.constant([[2, 4]])).queries[0].numpy()
    for query, nearest in zip(queries, first.groups, strict=True):
        scores = hln.model.item_embeddings().numpy() @ query
        best = np.argsort(-scores)[:3] if query.any() else []
        assert [item for item, _ in nearest] == [IDS[row] for row in best]
    assert (first.is_fallback, unknown.is_fallback) == (False, True)
    assert unknown.clicks == []
    assert hln.explain([]) == []
    with pytest.raises(HlnError, match=r"SKNN has no preference groups, so .* explain a session"):
        recommender_of("sknn").explain([["101"]])


def test_embeddings_of_sessions_give_the_scores(hln):
    queries = hln.embed([["101", "103"], ["new"]])
    assert (queries.dtype, queries.shape[0]) == (np.float32, 2)
    assert (queries[1] == 0).all()
    scores = hln.model.item_embeddings().numpy() @ queries[0]
    (found,) = hln.recommend([["101", "103"]], NUM_ITEMS)
    assert [item for item, _ in found.items] == [IDS[row] for row in np.argsort(-scores)]
    assert [score for _, score in found.items] == pytest.approx(np.sort(scores)[::-1], rel=1e-5)
    with pytest.raises(HlnError, match=r"Markov has no query embeddings, so .* embed a session"):
        recommender_of("markov").embed([["101"]])
