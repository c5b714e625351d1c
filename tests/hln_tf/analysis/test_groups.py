"""Preference groups against known ones."""

import numpy as np
import pytest
import tensorflow as tf

from hln_tf.analysis import groups, retention


@pytest.mark.parametrize(
    ("first", "second", "index"),
    [
        ([0, 0, 1, 1], [1, 1, 0, 0], 1.0),
        # 1 pair together in both, of 2 and 1 in each; 1/3 expected, 3/2 at most.
        ([0, 0, 1, 1], [0, 0, 1, 2], 4 / 7),
        ([0, 1, 0, 1], [0, 0, 1, 1], -0.5),
        ([0, 0, 1, 1], [2, 2, 2, 2], 0.0),
    ],
)
def test_index_by_hand(first, second, index):
    found = groups.mean_index([np.array(first)], [np.array(second)])
    assert found == pytest.approx(index)


def test_clicks_without_a_group_and_sessions_of_one_group_are_left_out():
    none = groups.NO_GROUP
    truth = [np.array([3, 3, 5, 5, none]), np.array([2, 2, 2]), np.array([none, 1])]
    found = [np.array([0, 0, 1, 1, 0]), np.array([0, 1, 2]), np.array([0, 1])]
    assert groups.mean_index(truth, found) == 1.0
    assert np.isnan(groups.mean_index(truth[1:], found[1:]))


class Planted(tf.Module):
    """A model that retains an item in the group of its item index modulo 3."""

    def preferences(self, items):
        found = tf.one_hot(items % 3, 3, axis=1)
        clicked = tf.cast(items > 0, tf.float32)[:, None]
        return type("Preferences", (), {"retention": found * clicked})


def test_a_click_belongs_to_the_group_with_the_highest_retention(monkeypatch):
    monkeypatch.setattr(retention, "BATCH_SIZE", 2)
    sessions = [np.array([1, 2, 3], np.int32), np.array([4], np.int32), np.array([5, 6], np.int32)]
    found = groups.strongest_groups(Planted(), sessions)
    assert [row.tolist() for row in found] == [[1, 2, 0], [1], [2, 0]]


def test_interleaved_pairs_preserve_the_order_of_each_session():
    sessions = [np.arange(1, 5), np.arange(11, 14), np.arange(21, 23), np.arange(31, 40), [41, 42]]
    interleaved, truth = groups.interleave_pairs(sessions, np.random.default_rng(0))
    assert len(interleaved) == 2  # the last session has no partner
    for pair, (items, of_click) in enumerate(zip(interleaved, truth, strict=True)):
        for which in (0, 1):
            assert items[of_click == which].tolist() == list(sessions[2 * pair + which])
    orders = [
        groups.interleave_pairs([[1, 2], [3]], np.random.default_rng(seed))[1][0].tolist()
        for seed in range(600)
    ]
    counts = [orders.count(order) for order in ([0, 0, 1], [0, 1, 0], [1, 0, 0])]
    assert sum(counts) == 600
    assert min(counts) > 150


def test_halves_and_clusters():
    sessions = [np.array([1, 3, 2, 4, 1], np.int32), np.array([2, 2], np.int32)]
    assert [row.tolist() for row in groups.halves(sessions)] == [[0, 0, 0, 1, 1], [0, 1]]
    # Items 1 and 2 are near each other, and 3 and 4.
    embeddings = np.array([[1.0, 0.0], [0.9, 0.1], [-1.0, 0.0], [-0.9, 0.1]])
    first, second = groups.clusters(sessions, embeddings, np.random.default_rng(0))
    assert groups.mean_index([np.array([0, 1, 0, 1, 0])], [first]) == 1.0
    assert second.tolist() == [0, 0]


def test_shuffled_groups_have_the_same_sizes():
    found = [np.repeat([0, 1, 2], [5, 3, 9])]
    shuffled = groups.shuffled(found, np.random.default_rng(0))
    assert np.bincount(shuffled[0]).tolist() == [5, 3, 9]
    assert shuffled[0].tolist() != found[0].tolist()
