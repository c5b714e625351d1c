from unittest import mock

import hypothesis
import numpy as np
import pytest
import reference
import tensorflow as tf
from hypothesis import strategies as st

from hln_tf.layers import catalogue_scores
from hln_tf.layers.catalogue_scores import (
    catalogue_statistics,
    catalogue_top_k,
    chunk_width,
    rank_in_catalogue,
    rank_targets,
    ranked_lists,
    target_ranks,
    top_k,
)

NAN = float("nan")
INF = float("inf")


@pytest.mark.parametrize(
    ("scores", "target", "rank"),
    [
        ([0.1, 0.9, 0.5], 1, 1),
        ([0.1, 0.9, 0.5], 2, 2),
        ([0.1, 0.9, 0.5], 0, 3),
        ([0.5, 0.9, 0.5], 0, 3),
        ([0.5, 0.9, 0.5], 2, 3),
        ([0.9, 0.9, 0.5], 0, 2),
        ([0.0, -0.0, -1.0], 0, 2),
        ([INF, 0.0, -INF], 0, 1),
        ([INF, INF, -INF], 1, 2),
        ([INF, 0.0, -INF], 2, 3),
        ([NAN, 1.0, 0.0], 0, 3),
        ([NAN, 1.0, 0.0], 1, 2),
        ([NAN, NAN, NAN], 1, 3),
        ([7.0], 0, 1),
    ],
)
def test_rank_by_hand(scores, target, rank):
    np.testing.assert_array_equal(
        target_ranks(tf.constant([scores]), tf.constant([target])), [rank]
    )


def test_ranks_are_those_of_each_row():
    scores = tf.constant([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [2.0, 2.0, 3.0]])
    np.testing.assert_array_equal(target_ranks(scores, tf.constant([0, 0, 1])), [1, 3, 3])


# Few values, so that ties are the rule; the values are exact in float32.
SCORES = st.sampled_from([-2.0, -1.0, -0.0, 0.0, 0.25, 1.0, INF, -INF, NAN])


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(st.data())
def test_ranks_are_those_of_the_reference(data):
    batch, items = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 7))
    scores = [data.draw(st.lists(SCORES, min_size=items, max_size=items)) for _ in range(batch)]
    target = [data.draw(st.integers(0, items - 1)) for _ in range(batch)]
    ranks = target_ranks(tf.constant(scores), tf.constant(target))
    np.testing.assert_array_equal(ranks, reference.ranks(scores, target))


def test_a_catalogue_that_fits_is_one_chunk():
    assert chunk_width(37_483, 512, megabytes=256) == 37_483
    assert chunk_width(3, 1, megabytes=1) == 3


@pytest.mark.parametrize(
    ("items", "batch", "megabytes", "width"),
    [
        # 256 MB hold 64e6 scores, 125,000 items for 512 queries: 8 chunks.
        (1_000_000, 512, 256, 125_008),
        (125_001, 512, 256, 62_512),
        # No narrower than the batch.
        (1_000_000, 2_000, 1, 2_000),
        # 19 even chunks of 1,984 items would be.
        (37_483, 2_048, 8, 2_048),
    ],
)
def test_chunks_are_few_even_and_aligned(items, batch, megabytes, width):
    found = int(chunk_width(items, batch, megabytes))
    assert found == width
    assert found % 16 == 0


def embeddings(random, rows, d):
    return random.normal(size=(rows, d)).astype(np.float32)


@pytest.mark.parametrize("megabytes", [1, 7, 20])
def test_ranks_in_chunks_are_those_of_one_product(megabytes):
    """On 50,000 items, a fifth of which share their vector with another."""
    random = np.random.default_rng(0)
    table = embeddings(random, 50_000, 32)
    table[random.permutation(50_000)[:10_000]] = table[random.integers(0, 50_000, 10_000)]
    query, target = embeddings(random, 256, 32), random.integers(0, 50_000, 256)
    query[:16] = 0  # ties throughout
    # Targets that rank high, as those of a trained model do.
    query[128:] = 4 * table[target[128:]]
    assert chunk_width(50_000, 256, megabytes) < 50_000
    ranks, scores = rank_in_catalogue(tf.constant(query), tf.constant(table), target, megabytes)
    whole = rank_targets(tf.constant(query) @ tf.transpose(tf.constant(table)), target)
    np.testing.assert_array_equal(ranks, whole[0])
    np.testing.assert_allclose(scores, whole[1], rtol=1e-6)
    assert len(np.unique(ranks)) > 50


# With vectors of small integers all products are exact, and ties are the rule.
def integers(random, rows, d):
    return random.integers(-2, 3, (rows, d)).astype(np.float32)


@pytest.mark.parametrize("items", [2_000, 2_001, 3_999])
@pytest.mark.parametrize("compiled", [False, True])
def test_ranks_in_chunks_are_those_of_the_reference(items, compiled):
    random = np.random.default_rng(items)
    query, table = integers(random, 300, 4), integers(random, items, 4)
    query[0], table[5] = NAN, INF
    target = np.concatenate([[0, 5, items - 1], random.integers(0, items, 297)])
    assert chunk_width(items, 300, 1) < items

    def ranks_of(query):
        return rank_in_catalogue(query, tf.constant(table), tf.constant(target), megabytes=1)[0]

    ranks = (tf.function(ranks_of) if compiled else ranks_of)(tf.constant(query))
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(ranks, reference.ranks(query @ table.T, target))


@pytest.mark.parametrize("items", [2_000, 2_001])
@pytest.mark.parametrize("k", [1, 20, 900, 2_000])
def test_top_k_in_chunks_is_that_of_a_stable_sort(items, k):
    random = np.random.default_rng(k)
    query, table = integers(random, 300, 4), integers(random, items, 4)
    values, indices = catalogue_top_k(
        tf.constant(query), tf.constant(table), tf.constant(k), megabytes=1
    )
    scores = query @ table.T
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(indices, best)
    np.testing.assert_array_equal(values, np.take_along_axis(scores, best, axis=1))


@pytest.mark.parametrize("megabytes", [1, 100])
@pytest.mark.parametrize("compiled", [False, True])
def test_statistics_are_those_of_numpy_whatever_the_chunks(megabytes, compiled):
    random = np.random.default_rng(3)
    items = 3_001
    query, table = integers(random, 300, 4), integers(random, items, 4)
    query[:5] *= 100  # a partition function that overflows where no maximum is subtracted
    target = np.concatenate([[0, items - 1], random.integers(0, items, 298)])
    assert (chunk_width(items, 300, megabytes) < items) == (megabytes == 1)

    def statistics_of(query):
        return catalogue_statistics(query, tf.constant(table), tf.constant(target), megabytes)

    found = (tf.function(statistics_of) if compiled else statistics_of)(tf.constant(query))
    scores = query.astype(np.float64) @ table.T
    np.testing.assert_array_equal(found.ranks, reference.ranks(scores, target))
    np.testing.assert_array_equal(found.target_scores, scores[np.arange(300), target])
    partition = np.logaddexp.reduce(scores, axis=1)
    np.testing.assert_allclose(found.log_partition, partition, rtol=1e-6)
    np.testing.assert_allclose(
        found.cross_entropy(), partition - scores[np.arange(300), target], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("megabytes", [1, 100])
def test_statistics_and_ranks_are_the_same_bit_for_bit(megabytes):
    random = np.random.default_rng(4)
    query, table = embeddings(random, 200, 16), embeddings(random, 5_000, 16)
    target = random.integers(0, 5_000, 200)
    arguments = (tf.constant(query), tf.constant(table), target, megabytes)
    statistics = catalogue_statistics(*arguments)
    ranks, scores = rank_in_catalogue(*arguments)
    np.testing.assert_array_equal(statistics.ranks, ranks)
    np.testing.assert_array_equal(statistics.target_scores, scores)


@pytest.mark.parametrize("items", [24, 25])
def test_xla_computes_the_same(items):
    # Two chunks of half the catalogue, and where it is odd a last one that overlaps.
    random = np.random.default_rng(items)
    query = tf.constant(random.normal(size=[3, 4]), tf.float32)
    table = tf.constant(random.normal(size=[items, 4]), tf.float32)
    target = tf.constant(random.integers(items, size=3), tf.int32)

    def both(query, table, target):
        with mock.patch.object(catalogue_scores, "chunk_width", lambda items, *_: items // 2):
            ranks, _ = rank_in_catalogue(query, table, target)
            return ranks, *catalogue_top_k(query, table, tf.constant(5))

    ranks, scores, indices = tf.function(both, jit_compile=True)(query, table, target)
    exact = query.numpy() @ table.numpy().T
    np.testing.assert_array_equal(ranks, target_ranks(tf.constant(exact), target))
    order = np.argsort(-exact, axis=1)[:, :5]
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_allclose(scores, np.take_along_axis(exact, order, axis=1), rtol=1e-5)


@pytest.mark.parametrize("distinct", [2, 50, 10**6])
@pytest.mark.parametrize(
    ("batch", "items", "k"), [(8, 1031, 3), (9, 512, 2), (3, 700, 2), (8, 70, 5)]
)
def test_top_k_of_groups_is_that_of_all(batch, items, k, distinct):
    """With many equal scores, whose order is that of the items, and sizes that leave a rest."""
    scores = np.random.default_rng(items).integers(0, distinct, (batch, items)).astype(np.float32)
    values, places = top_k(tf.constant(scores), k)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(scores, expected, axis=1))


@pytest.mark.parametrize("megabytes", [1, 100])
def test_lists_and_ranks_of_one_pass_are_those_of_two(megabytes):
    """In chunks and at once; a catalogue of 20,000 items is three chunks of 1 MB."""
    random = np.random.default_rng(3)
    query, candidates = (
        tf.constant(random.normal(size=size), tf.float32) for size in ((32, 5), (20_000, 5))
    )
    target = tf.constant(random.integers(0, 20_000, 32))
    found = ranked_lists(query, candidates, target, 4, megabytes)
    statistics = catalogue_statistics(query, candidates, target, megabytes)
    np.testing.assert_array_equal(found.ranks, statistics.ranks)
    np.testing.assert_array_equal(found.target_scores, statistics.target_scores)
    expected = catalogue_top_k(query, candidates, tf.constant(4), megabytes)[1]
    np.testing.assert_array_equal(found.top, expected)
