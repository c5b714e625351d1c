"""Equal examples are ranked once and sessions encoded once; the results are those of each."""

import numpy as np
import pytest
import reference
import small_hln
from session_lists import to_sessions

from hln_tf.data.prefixes import Prefixes
from hln_tf.metrics import BeyondAccuracy
from hln_tf.models import HLN, STAMP, GRU4Rec, Markov
from hln_tf.training.ranking import rank_examples

MAX_LENGTH = 4
ITEMS = small_hln.NUM_ITEMS


def make_lists():
    """Sessions of 2 to 9 clicks, some of them longer than `MAX_LENGTH`, some of them twice."""
    random = np.random.default_rng(2)
    lists = [random.integers(1, ITEMS + 1, random.integers(2, 10)).tolist() for _ in range(40)]
    return lists + lists[:15]


LISTS = make_lists()
PREFIXES = Prefixes.from_sessions(to_sessions(LISTS), MAX_LENGTH)
EXAMPLES = [
    (session[max(0, end - MAX_LENGTH) : end], session[end])
    for session in LISTS
    for end in range(1, len(session))
]
MODELS = {
    "additive": small_hln.make_model,
    "exclusive": lambda: small_hln.make_model(leap_gate="predictive", exclusive_groups=True),
    "gru4rec": lambda: GRU4Rec(ITEMS, embedding_dim=4),
    "stamp": lambda: STAMP(ITEMS, embedding_dim=4),
    "repeat head": lambda: small_hln.make_model(repeat_head=True),
    "gru4rec, repeat head": lambda: GRU4Rec(ITEMS, embedding_dim=4, repeat_head=True),
    "markov": lambda: Markov(ITEMS),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    model = MODELS[request.param]()
    model.fit_counts(to_sessions(LISTS))
    return model


@pytest.fixture(scope="module")
def scores(model):
    return scores_of_examples(model)


def scores_of_examples(model):
    """The scores of all items after each prefix, computed from the prefix and not its session."""
    scores = np.empty((len(EXAMPLES), ITEMS), np.float32)
    lengths = np.array([len(prefix) for prefix, _ in EXAMPLES])
    for length in range(1, MAX_LENGTH + 1):
        chosen = np.flatnonzero(lengths == length)
        scores[chosen] = model(np.int32([EXAMPLES[place][0] for place in chosen]))
    return scores


def assert_results_are_those_of_the_scores(of_all, ranks, scores):
    """Compare them with `scores_of_examples`, all of them."""
    targets = np.array([target - 1 for _, target in EXAMPLES])
    np.testing.assert_array_equal(ranks, reference.ranks(of_all, targets))
    of_targets = of_all[np.arange(len(targets)), targets]
    np.testing.assert_allclose(scores, of_targets, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_ranks_and_scores_are_those_of_each_prefix_by_itself(model, scores, batch_size):
    found = rank_examples(model, PREFIXES, batch_size, "test")
    assert_results_are_those_of_the_scores(scores, *found)


@pytest.mark.parametrize("batch_size", [7, 1000])
def test_lists_of_equal_examples_are_made_once_and_counted_for_each(model, scores, batch_size):
    made = []

    class Counted(BeyondAccuracy):
        def update(self, recommended, sessions, times=None):
            made.append(len(recommended))
            super().update(recommended, sessions, times)

    counts, ks = np.arange(ITEMS), (1, 5)
    lists, expected = Counted(counts, ks), BeyondAccuracy(counts, ks)
    found = rank_examples(model, PREFIXES, batch_size, "test", beyond_accuracy=lists)
    assert_results_are_those_of_the_scores(scores, *found)
    for (prefix, _), row in zip(EXAMPLES, scores, strict=True):
        expected.update(np.argsort(-row[None], kind="stable") + 1, np.int32([prefix]))
    assert lists.results() == pytest.approx(expected.results())
    assert sum(made) == len({(*prefix, target) for prefix, target in EXAMPLES}) < len(EXAMPLES)


@pytest.mark.parametrize("name", ["stamp", "markov"])
def test_equal_examples_are_ranked_once(name, monkeypatch):
    model, ranked = MODELS[name](), []
    rank_targets = model.compiled_rank_targets

    def count(items, target):
        ranked.extend(zip(map(tuple, items), target, strict=True))
        return rank_targets(items, target)

    monkeypatch.setattr(model, "compiled_rank_targets", count)
    rank_examples(model, PREFIXES, 7, "test")
    assert len(ranked) == len({(*prefix, target) for prefix, target in EXAMPLES})


@pytest.mark.parametrize("name", ["exclusive", "gru4rec"])
def test_prefixes_that_sessions_share_are_not_ranked_by_themselves(name, monkeypatch):
    model = MODELS[name]()

    def refuse(items, target):
        raise AssertionError("a prefix by itself")

    monkeypatch.setattr(model, "compiled_rank_targets", refuse)
    ranks, _ = rank_examples(model, Prefixes.from_sessions(to_sessions(LISTS[:40]), 10), 7, "test")
    assert np.all(ranks > 0)


def test_prefixes_that_sessions_cannot_share_are_ranked_by_themselves(monkeypatch):
    model, ranked = small_hln.make_model(), []
    assert isinstance(model, HLN)
    rank_targets = model.compiled_rank_targets

    def count(items, target):
        ranked.extend(target)
        return rank_targets(items, target)

    monkeypatch.setattr(model, "compiled_rank_targets", count)
    rank_examples(model, Prefixes.from_sessions(to_sessions(LISTS), 10), 7, "test")
    assert 0 < len(ranked) < len(EXAMPLES) / 2
