"""Intervals and tests against their definitions, and on data whose distribution is known."""

import itertools
import math

import numpy as np
import pytest

from hln_tf.analysis.paired import compare_sums, corrected, sums_by_session

LEVEL = 0.95


def compare(first, second, session, resamples=400, seed=0):
    """Compare values, [seeds, examples] each."""
    counts = np.bincount(session)
    sums = [sums_by_session(np.asarray(each, float), session) for each in (first, second)]
    rng = np.random.default_rng(seed)
    (difference,) = compare_sums([tuple(sums)], counts, resamples, LEVEL, rng)
    return difference


def examples(rng, sessions, spread, shift=0.0, examples_of=3):
    """Two models' values: examples of a session share a part, so they are not independent."""
    session = np.repeat(np.arange(sessions), rng.integers(1, 2 * examples_of, sessions))
    shared = rng.normal(0, spread, sessions)[session]
    first = rng.normal(0, 1, len(session))
    return first[None], (first + shared + shift)[None], session


def test_the_value_is_the_difference_of_the_means():
    first, second, session = examples(np.random.default_rng(1), 40, 1.0, 0.3)
    found = compare(first, second, session)
    assert found.value == pytest.approx(second.mean() - first.mean(), abs=1e-12)
    assert found.low < found.value < found.high


def test_the_test_counts_all_swaps():
    """With few sessions all swaps can be listed."""
    differences = np.array([0.5, -0.1, 0.4, 0.3, 0.2, 0.6])
    sums = [
        abs(sum(sign * each for sign, each in zip(signs, differences, strict=True)))
        for signs in itertools.product((-1, 1), repeat=6)
    ]
    exact = np.mean(np.array(sums) >= abs(differences.sum()) - 1e-9)
    found = compare(np.zeros((1, 6)), differences[None], np.arange(6), resamples=20_000)
    assert found.p_value == pytest.approx(exact, abs=0.01)


def test_equal_models_do_not_differ():
    values = np.random.default_rng(2).random((1, 30))
    found = compare(values, values, np.arange(30) // 3)
    assert (found.value, found.low, found.high, found.p_value) == (0, 0, 0, 1)


@pytest.mark.slow
def test_models_alike_are_found_to_differ_in_one_of_twenty_cases():
    """Of 300 pairs the share must be in the 99.9 % range of a binomial with 5 %."""
    rng = np.random.default_rng(3)
    cases = [compare(*examples(rng, 60, 1.0), seed=seed) for seed in range(300)]
    bound = 3.3 * math.sqrt(0.05 * 0.95 / 300)
    rejected = np.mean([each.p_value < 0.05 for each in cases])
    missed = np.mean([not each.low <= 0 <= each.high for each in cases])
    assert abs(rejected - 0.05) < bound
    # The percentile interval of few sessions is a little too short.
    assert missed - 0.05 < bound + 0.01


@pytest.mark.slow
def test_a_difference_is_found_with_the_power_of_theory():
    """A shift of three standard errors is found by a test at 5 % with a power of 85 %."""
    rng = np.random.default_rng(4)
    sessions, spread = 200, 1.0
    found = []
    for seed in range(200):
        first, second, session = examples(rng, sessions, spread)
        counts = np.bincount(session)
        error = spread * math.sqrt((counts**2).sum()) / counts.sum()
        found.append(compare(first, second + 3 * error, session, seed=seed).p_value < 0.05)
    normal = 0.5 * (1 + math.erf((3 - 1.96) / math.sqrt(2)))
    assert abs(np.mean(found) - normal) < 3.3 * math.sqrt(normal * (1 - normal) / 200)


def test_examples_of_a_session_count_as_one_draw():
    """The interval does not shrink where each example is there four times."""
    rng = np.random.default_rng(5)
    first, second, session = examples(rng, 100, 1.0, examples_of=1)
    once = compare(first, second, session, 4000)
    often = compare(*(np.repeat(each, 4, axis=-1) for each in (first, second, session)), 4000)
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.05)


def test_the_spread_of_seeds_widens_the_interval():
    rng = np.random.default_rng(6)
    first, second, session = examples(rng, 400, 0.1)
    seeds = second + np.array([[-0.3], [0.0], [0.3]])
    alone = compare(first, second, session)
    pooled = compare(first, seeds, session)
    assert pooled.value == pytest.approx(alone.value, abs=1e-12)
    assert pooled.high - pooled.low > 3 * (alone.high - alone.low)


def test_p_values_are_corrected_by_holm():
    differences = [
        compare(np.zeros((1, 6)), np.full((1, 6), value), np.arange(6)) for value in (1, 1, 1, 1)
    ]
    p_values = [0.01, 0.04, 0.03, 0.005]
    given = [
        type(each)(**{**vars(each), "p_value": p})
        for each, p in zip(differences, p_values, strict=True)
    ]
    found = [each.adjusted for each in corrected(given)]
    assert found == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [each.differs for each in corrected(given)] == [True, False, False, True]
