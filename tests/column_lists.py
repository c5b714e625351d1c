"""Session columns as lists, and strategies for them."""

import numpy as np
from hypothesis import strategies as st

from hln_tf.data.session_columns import SessionColumns


def columns(rows, times=None):
    """Make columns of sessions (date, order, items)."""
    lengths = [len(items) for _, _, items in rows]
    return SessionColumns(
        items=np.array([item for row in rows for item in row[2]], np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
        dates=np.array([date for date, _, _ in rows], np.int64),
        order=np.array([place for _, place, _ in rows], np.int64),
        times=times,
    )


def listed(found):
    bounds = zip(found.offsets, found.offsets[1:], strict=False)
    items = [found.items[start:end].tolist() for start, end in bounds]
    return list(zip(found.dates.tolist(), found.order.tolist(), items, strict=True))


def logs(min_length=2, min_size=0):
    session = st.tuples(
        st.integers(0, 30), st.lists(st.integers(0, 5), min_size=min_length, max_size=6)
    )
    return st.lists(session, min_size=min_size, max_size=25).map(
        lambda rows: [(date, place, items) for place, (date, items) in enumerate(rows)]
    )
