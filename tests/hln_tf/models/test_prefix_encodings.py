"""Models that encode all prefixes of a session at once."""

import numpy as np
import pytest
import small_hln
import tensorflow as tf

from hln_tf.models import HLN, GRU4Rec

SESSIONS = np.random.default_rng(5).integers(1, small_hln.NUM_ITEMS + 1, [40, 6]).astype(np.int32)
SESSIONS[::4, 4:] = 0
SESSIONS[1::8, :2] = 0  # padding may be anywhere
SESSIONS[2::8, 3] = 0


def assert_encodes_prefixes(model):
    """Check each prefix that is said to be encoded with its own encoding; return which are."""
    queries, is_encoded = (np.asarray(part) for part in model.encode_prefixes(SESSIONS))
    for time in range(SESSIONS.shape[1]):
        expected = model.encode(SESSIONS[:, : time + 1]).numpy()
        chosen = is_encoded[:, time]
        np.testing.assert_allclose(queries[chosen, time], expected[chosen], rtol=1e-4, atol=1e-5)
    return is_encoded[SESSIONS > 0]


@pytest.mark.parametrize("tied", [False, True])
def test_gru4rec_encodes_all_prefixes(tied):
    settings = {"embedding_dim": 4, "tied": tied, "normalize": tied}
    assert assert_encodes_prefixes(GRU4Rec(small_hln.NUM_ITEMS, **settings)).all()


@pytest.mark.parametrize("inference_gate", ["hard", "expected"])
@pytest.mark.parametrize(
    ("exclusive_groups", "aggregation"), [(True, "recency"), (False, "attention")]
)
def test_gates_of_the_past_hold_for_all_prefixes(inference_gate, exclusive_groups, aggregation):
    settings = {"exclusive_groups": exclusive_groups, "aggregation": aggregation}
    gates = {"leap_gate": "predictive", "inference_gate": inference_gate}
    for normalize in (False, True):
        model = small_hln.make_model(**settings, **gates, normalize=normalize)
        assert assert_encodes_prefixes(model).all()


@pytest.mark.parametrize("gates", ["leap", "none"])
def test_without_a_preference_gate_all_prefixes_are_encoded(gates):
    assert assert_encodes_prefixes(small_hln.make_model(gates=gates)).all()


@pytest.mark.parametrize(
    ("leap_gate", "exclusive_groups", "aggregation"),
    [
        ("additive", False, "sum"),
        ("additive", False, "recency"),
        ("additive", True, "max"),
        ("combined", True, "recency"),
    ],
)
def test_prefixes_are_encoded_where_preferences_change_no_gate(
    leap_gate, exclusive_groups, aggregation
):
    is_encoded = assert_encodes_prefixes(
        small_hln.make_model(
            leap_gate=leap_gate, exclusive_groups=exclusive_groups, aggregation=aggregation
        )
    )
    assert is_encoded.mean() > 0.2


def test_exactly_the_prefixes_with_the_first_pass_gates_are_encoded():
    """Where groups share clicks, passes whose gates are equal are equal."""
    model = small_hln.make_model()
    encoded = np.asarray(model.encode_prefixes(SESSIONS)[1])
    assert not encoded[SESSIONS > 0].all()
    for time in range(SESSIONS.shape[1]):
        prefixes = SESSIONS[:, : time + 1]
        leaps = model.encode_with_leaps(prefixes)[1].numpy() > 0.5
        is_equal = (leaps == leaps[:, :1]).all(axis=(1, 2))
        np.testing.assert_array_equal(encoded[:, time], is_equal & (prefixes[:, -1] > 0))


@pytest.mark.parametrize("inference_gate", ["expected", "sampled"])
def test_soft_and_sampled_gates_of_eq_2_encode_no_prefix(inference_gate):
    model = small_hln.make_model(inference_gate=inference_gate)
    assert not np.any(model.encode_prefixes(SESSIONS)[1])


def test_a_subclass_that_encodes_otherwise_does_not_inherit_the_ability():
    class Doubled(HLN):
        def encode_embeddings(self, items, x, training, seed):
            return 2 * super().encode_embeddings(items, x, training, seed)

    class Renamed(GRU4Rec):
        """Nothing of its own."""

    assert not Doubled(4, embedding_dim=2).encodes_prefixes
    assert Renamed(4, embedding_dim=2).encodes_prefixes
    assert not GRU4Rec(4, embedding_dim=2, repeat_head=True).encodes_prefixes


@pytest.mark.parametrize(
    "method", ["encode", "encode_embeddings", "add_last_click", "rank_targets"]
)
def test_a_mixin_that_encodes_otherwise_takes_the_ability(method):
    def double(self, *arguments):
        return tf.nest.map_structure(
            lambda part: 2 * part, getattr(GRU4Rec, method)(self, *arguments)
        )

    def encode_prefix_embeddings(self, items, x):
        embeddings, is_encoded = GRU4Rec.encode_prefix_embeddings(self, items, x)
        return 2 * embeddings, is_encoded

    both = {method: double, "encode_prefix_embeddings": encode_prefix_embeddings}
    mixin, able = type("Mixin", (), {method: double}), type("Able", (), both)
    mixed = type("Mixed", (mixin, GRU4Rec), {})
    assert not mixed(4, embedding_dim=2).encodes_prefixes
    assert not type("Derived", (mixed,), {})(4, embedding_dim=2).encodes_prefixes
    assert type("Unchanged", (GRU4Rec, mixin), {})(4, embedding_dim=2).encodes_prefixes
    assert type("Both", (able, GRU4Rec), {})(4, embedding_dim=2).encodes_prefixes


@pytest.mark.parametrize("last_click", ["scaled", "projected"])
@pytest.mark.parametrize("normalize", [False, True])
def test_the_last_click_of_each_prefix_is_added(last_click, normalize):
    model = small_hln.make_model(leap_gate="predictive", last_click=last_click, normalize=normalize)
    assert assert_encodes_prefixes(model).all()


def test_ranks_and_scores_of_prefixes_are_those_of_each_by_itself():
    model = small_hln.make_model()
    target = np.where(SESSIONS > 0, np.roll(SESSIONS, 3, axis=0), 0)
    ranks, scores = (part.numpy() for part in model.compiled_rank_prefixes(SESSIONS, target))
    is_encoded = np.asarray(model.encode_prefixes(SESSIONS)[1])
    np.testing.assert_array_equal(ranks > 0, is_encoded & (target > 0))
    assert not np.any(scores[ranks == 0])
    for row, time in zip(*np.nonzero(ranks), strict=True):
        rank, score = model.compiled_rank_targets(
            SESSIONS[row : row + 1, : time + 1], target[row : row + 1, time]
        )
        assert ranks[row, time] == rank.numpy()[0]
        assert scores[row, time] == pytest.approx(score.numpy()[0], rel=1e-4, abs=1e-5)
