import itertools
import math

import numpy as np
import pytest

from hln_tf.metrics import BeyondAccuracy

RNG = np.random.default_rng(0)


def oracle(lists, sessions, clicks, k):
    """Every metric by its definition, item by item."""
    lists = [row[:k] for row in lists]
    items = range(1, len(clicks) + 1)
    counts = [sum(item in row for row in lists) for item in items]
    total = sum(counts)
    pairs = itertools.product(counts, repeat=2)
    shares = [count / total for count in counts if count]
    p = [(clicks[item - 1] + 1) / (sum(clicks) + len(clicks)) for item in items]
    flat = [item for row in lists for item in row]
    return {
        "coverage": sum(count > 0 for count in counts) / len(clicks),
        "gini": sum(abs(a - b) for a, b in pairs) / (2 * len(counts) * total),
        "entropy": -sum(share * math.log2(share) for share in shares),
        "popularity": sum(clicks[item - 1] for item in flat) / total,
        "novelty": -sum(math.log2(p[item - 1]) for item in flat) / total,
        "repeats": sum(
            item in session for row, session in zip(lists, sessions, strict=True) for item in row
        )
        / total,
    }


@pytest.mark.parametrize("items", [7, 40])
def test_every_metric_equals_its_definition(items):
    """In batches of unequal length; a cut-off is above the size of the smaller catalogue."""
    clicks = RNG.integers(0, 20, items)
    clicks[0] = 0
    ks = (1, 5, 20)
    metrics = BeyondAccuracy(clicks, ks)
    assert metrics.longest == min(20, items)
    lists = [RNG.permutation(items)[: metrics.longest] + 1 for _ in range(23)]
    sessions = [RNG.integers(1, items + 1, RNG.integers(1, 6)) for _ in range(23)]
    for batch in np.array_split(np.arange(23), 4):
        padded = np.zeros((len(batch), 6), int)
        for row, number in enumerate(batch):
            padded[row, : len(sessions[number])] = sessions[number]
        metrics.update(np.array([lists[number] for number in batch]), padded)
    found = metrics.results()
    for k in ks:
        for name, value in oracle(lists, sessions, clicks.tolist(), k).items():
            assert found[f"{name}@{k}"] == pytest.approx(value, abs=1e-9), name


def test_a_list_counts_as_often_as_it_is_said_to():
    ks, times = (1, 3), np.array([3, 1, 2])
    lists, sessions = RNG.permuted(np.tile(np.arange(1, 8), (3, 1)), axis=1), np.ones((3, 1), int)
    weighted, repeated = (BeyondAccuracy(np.arange(7), ks) for _ in range(2))
    weighted.update(lists, sessions, times)
    repeated.update(np.repeat(lists, times, axis=0), np.repeat(sessions, times, axis=0))
    assert weighted.results() == repeated.results()


def test_before_the_first_batch_metrics_are_not_a_number():
    assert all(math.isnan(value) for value in BeyondAccuracy(np.array([1]), [1]).results().values())
