"""Sessions from lists."""

import numpy as np

from hln_tf.data.sessions import Sessions


def to_sessions(lists):
    """Make `Sessions` from lists of item indices, dated 0, 1, 2, ..."""
    lengths = np.array([len(session) for session in lists], np.int64)
    return Sessions(
        items=np.array([item for session in lists for item in session], np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        dates=np.arange(len(lists), dtype=np.int64),
    )
