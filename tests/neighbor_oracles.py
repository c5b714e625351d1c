"""Scores by nearest sessions, session by session, from a similarity and weights of items."""

import hypothesis
import numpy as np
from hypothesis import strategies as st

from hln_tf.data.sessions import Sessions

SESSION = st.lists(st.integers(1, 8), min_size=1, max_size=7)
LOG = st.lists(st.tuples(SESSION, st.integers(0, 5)), min_size=1, max_size=25)
QUERIES = st.lists(SESSION, min_size=1, max_size=5)
EXAMPLES = hypothesis.settings(deadline=None, max_examples=20)


def columns(log, seconds=1):
    """The sessions of pairs of a session and a date."""
    sessions, dates = zip(*log, strict=True)
    found = Sessions.from_lists(list(sessions))
    return Sessions(found.items, found.offsets, seconds * np.array(dates, np.int64))


def padded(queries):
    """The queries as int32 [batch, time], with padding before and after them."""
    width = max(map(len, queries)) + 1
    rows = [[0, *query] + [0] * (width - len(query)) for query in queries]
    return np.array(rows, np.int32)


def scores(log, query, num_items, sample_size, neighbors, similarity, item_weight):
    """Score the items for one query, float64 [items].

    Args:
        log: Pairs of a train session and its date.
        query: Its items.
        num_items: Size of the catalogue.
        sample_size: See the settings.
        neighbors: See the settings.
        similarity: From a train session and its date to how similar it is.
        item_weight: From a train session and one of its items to the item's weight in it.
    """
    latest_first = sorted(range(len(log)), key=lambda s: (log[s][1], s), reverse=True)
    sample = [s for s in latest_first if set(log[s][0]) & set(query)][:sample_size]
    # Rounded, since equal similarities may differ in their last bits.
    similarities = {s: similarity(*log[s]) for s in sample}
    nearest = sorted(sample, key=lambda s: -float(f"{similarities[s]:.8g}"))[:neighbors]
    result = np.zeros(num_items)
    for s in nearest:
        for item in set(log[s][0]):
            result[item - 1] += similarities[s] * item_weight(log[s][0], item)
    return result


def last(session, item):
    """The position of the last click on an item in a session, from 1."""
    return len(session) - session[::-1].index(item)
