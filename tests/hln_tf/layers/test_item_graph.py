import itertools

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from hln_tf.layers.item_graph import ItemGraph

A, B, C = 1, 2, 3


def slow_graph(row):
    """The graph of a session by its definition, one click and one edge at a time.

    Returns:
        Its nodes' places and, by pairs of places, the weights of A_in and A_out.
    """
    clicks = [(place, item) for place, item in enumerate(row) if item]
    place_of = {}
    for place, item in clicks:
        place_of.setdefault(item, place)
    edges = set()
    for (_, tail), (_, head) in itertools.pairwise(clicks):
        edges.add((place_of[tail], place_of[head]))
    A_in, A_out = {}, {}
    for tail, head in edges:
        A_in[head, tail] = 1 / sum(1 for edge in edges if edge[1] == head)
        A_out[tail, head] = 1 / sum(1 for edge in edges if edge[0] == tail)
    return place_of, A_in, A_out


def dense(weights, size):
    matrix = np.zeros((size, size))
    for place, weight in weights.items():
        matrix[place] = weight
    return matrix


def check(rows):
    graph = ItemGraph.from_items(tf.constant(rows))
    for index, row in enumerate(rows):
        place_of, A_in, A_out = slow_graph(row)
        np.testing.assert_allclose(graph.A_in[index], dense(A_in, len(row)), rtol=1e-6)
        np.testing.assert_allclose(graph.A_out[index], dense(A_out, len(row)), rtol=1e-6)
        for place, item in enumerate(row):
            if item:
                assert graph.node[index, place] == place_of[item]


@pytest.mark.parametrize(
    ("session", "A_in", "A_out"),
    [
        ([A], [[0]], [[0]]),
        # The edges of A -> B -> A lead to each other.
        ([A, B, A], [[0, 1, 0], [1, 0, 0], [0] * 3], [[0, 1, 0], [1, 0, 0], [0] * 3]),
        # The second click on A is an edge to itself: the predecessor of both A and B is A; A is
        # followed by itself and by B.
        ([A, A, B], [[1, 0, 0], [0] * 3, [1, 0, 0]], [[0.5, 0, 0.5], [0] * 3, [0] * 3]),
        # A -> B is there twice and counts once; C follows B too.
        (
            [A, B, A, B, C],
            [[0, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0] * 5, [0] * 5, [0, 1, 0, 0, 0]],
            [[0, 1, 0, 0, 0], [0.5, 0, 0, 0, 0.5], [0] * 5, [0] * 5, [0] * 5],
        ),
        # The clicks before and after padding follow each other.
        (
            [0, A, 0, 0, B],
            [[0] * 5] * 4 + [[0, 1, 0, 0, 0]],
            [[0] * 5, [0, 0, 0, 0, 1]] + [[0] * 5] * 3,
        ),
        ([0, 0], [[0, 0]] * 2, [[0, 0]] * 2),
    ],
    ids=["A", "ABA", "AAB", "ABABC", "padded", "empty"],
)
def test_graphs_by_hand(session, A_in, A_out):
    graph = ItemGraph.from_items(tf.constant([session]))
    np.testing.assert_array_equal(graph.A_in[0], A_in)
    np.testing.assert_array_equal(graph.A_out[0], A_out)
    check([session])


@hypothesis.settings(deadline=None, max_examples=40)
@hypothesis.given(
    st.integers(1, 8).flatmap(
        lambda time: st.lists(
            st.lists(st.integers(0, 4), min_size=time, max_size=time), min_size=1, max_size=3
        )
    )
)
def test_graphs_are_those_of_the_definition(rows):
    check(rows)


def test_rows_are_means():
    items = tf.constant(np.random.default_rng(0).integers(0, 6, (20, 12)))
    graph = ItemGraph.from_items(items)
    for matrix in (graph.A_in, graph.A_out):
        sums = tf.reduce_sum(matrix, axis=2).numpy()
        assert np.all(np.isclose(sums, 1, atol=1e-5) | (sums == 0))
        assert np.any(sums > 0)
