"""The optimum against sums over all assignments of clicks to groups."""

import itertools

import numpy as np
import pytest

from beam_preprocess.sample.generator import draw_clicks
from beam_preprocess.sample.optimum import Optimum
from beam_preprocess.sample.process import Process, ProcessSettings, draw_process


def tiny_process(seed, noise=0.2, switch=0.6, sizes=(2, 3), groups=4):
    """Make a process of six items; groups of four share them, with uneven distributions."""
    rng = np.random.default_rng(seed)
    return Process(
        item_ids=np.arange(6) + 100,
        cycles=np.stack([rng.permutation(6)[:4] for _ in range(groups)]),
        starts=rng.dirichlet(np.ones(4), groups),
        steps=rng.dirichlet(np.ones(3)),
        noise_items=rng.dirichlet(np.ones(6)),
        noise=noise,
        switch=switch,
        sizes=sizes,
    )


def session_probability(process, session):
    """Sum the probability of a session over every K, set of groups and assignment."""
    total = 0.0
    for size in process.sizes:
        subsets = list(itertools.combinations(range(process.groups), size))
        for subset in subsets:
            for labels in itertools.product([None, *subset], repeat=len(session)):
                joint = assignment_probability(process, session, subset, labels)
                total += joint / len(subsets) / len(process.sizes)
    return total


def assignment_probability(process, session, subset, labels):
    probability, last, latest = 1.0, {}, None
    for item, group in zip(session, labels, strict=True):
        if group is None:
            probability *= process.noise * process.noise_items[item]
            continue
        if latest is None:
            probability *= 1 / len(subset)
        elif group == latest:
            probability *= 1 - process.switch
        else:
            probability *= process.switch / (len(subset) - 1)
        cycle = process.cycles[group].tolist()
        if item not in cycle:
            return 0.0
        place = cycle.index(item)
        if group in last:
            emitted = sum(
                chance
                for step, chance in enumerate(process.steps, start=1)
                if (last[group] + step) % len(cycle) == place
            )
        else:
            emitted = process.starts[group, place]
        probability *= (1 - process.noise) * emitted
        last[group] = place
        latest = group
    return probability


@pytest.mark.parametrize(
    ("seed", "noise", "switch", "sizes"),
    [
        (0, 0.2, 0.6, (2, 3)),
        (1, 0.05, 0.0, (2, 3)),
        (2, 0.1, 1.0, (2, 3)),
        (3, 0.0, 0.7, (2, 3)),
        (4, 0.3, 0.5, (2,)),
        (5, 0.1, 0.3, (3, 4)),
    ],
)
def test_the_scores_are_those_of_a_sum_over_all_assignments(seed, noise, switch, sizes):
    process = tiny_process(seed, noise, switch, sizes)
    session = draw_clicks(process, 1, 5, np.random.default_rng(seed))[0][0].tolist()
    scores = Optimum(process, prune=0).score_prefixes(session)
    for known, row in enumerate(scores, start=1):
        prefix = session[:known]
        joint = [session_probability(process, [*prefix, item]) for item in range(6)]
        np.testing.assert_allclose(
            row, np.array(joint) / session_probability(process, prefix), rtol=0, atol=1e-9
        )


def test_scores_before_the_first_click_are_the_share_of_first_clicks():
    process = tiny_process(0)
    optimum = Optimum(process)
    expected = [session_probability(process, [item]) for item in range(6)]
    np.testing.assert_allclose(optimum.scores(optimum.prior()), expected, rtol=0, atol=1e-12)


@pytest.fixture(scope="module")
def sampled():
    process = draw_process(ProcessSettings())
    return process, draw_clicks(process, 30, 15, np.random.default_rng(7))[0].tolist()


def test_scores_are_a_distribution(sampled):
    process, sessions = sampled
    for session in sessions[:5]:
        scores = Optimum(process).score_prefixes(session)
        assert scores.shape == (14, process.items)
        assert (scores >= 0).all()
        np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=0, atol=1e-9)


def test_pruning_does_not_change_the_scores(sampled):
    process, sessions = sampled
    for session in sessions[:3]:
        np.testing.assert_allclose(
            Optimum(process).score_prefixes(session),
            Optimum(process, prune=0).score_prefixes(session),
            rtol=0,
            atol=1e-9,
        )


def test_scores_are_calibrated():
    process = tiny_process(1)
    sessions = draw_clicks(process, 3_000, 4, np.random.default_rng(3))[0]
    scores = np.concatenate([Optimum(process).score_prefixes(row) for row in sessions.tolist()])
    clicked = np.zeros_like(scores, bool)
    clicked[np.arange(len(scores)), sessions[:, 1:].ravel()] = True
    for low, high in itertools.pairwise(np.linspace(0, 1, 11)):
        band = (scores >= low) & (scores < high)
        if band.sum() >= 1_000:
            deviation = np.sqrt(np.sum(scores[band] * (1 - scores[band]))) / band.sum()
            assert abs(clicked[band].mean() - scores[band].mean()) < 4 * deviation


def test_a_session_of_one_click_has_no_scores():
    assert Optimum(tiny_process(0)).score_prefixes([3]).shape == (0, 6)


def test_a_click_that_the_process_cannot_make_is_not_informative():
    process = tiny_process(0, noise=0.0)
    optimum = Optimum(process)
    foreign = next(item for item in range(6) if not (process.cycles == item).any(axis=1).all())
    weights = optimum.prior()
    for _ in range(4):
        weights = optimum.advance(weights, foreign)
    np.testing.assert_allclose(optimum.scores(weights).sum(), 1, rtol=0, atol=1e-9)
