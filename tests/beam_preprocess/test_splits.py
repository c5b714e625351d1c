"""Cuts of sessions that are distributed, compared with the same cuts of a list."""

import numpy as np
from column_lists import columns, listed, logs
from hypothesis import given
from hypothesis import strategies as st

from beam_preprocess import splits
from hln_tf.data.boundaries import Boundary
from hln_tf.data.protocol import select_latest_examples
from hln_tf.data.protocol_settings import ProtocolSettings
from hln_tf.data.session_columns import concatenate, sort_by_date


@given(
    logs(min_size=1), st.fractions(0, 1), st.fractions(0, "9/10"), st.integers(1, 4), st.randoms()
)
def test_cuts_do_not_depend_on_ranges_and_parts(rows, fraction, validation, shards, random):
    span = splits.Span(0, 30, Boundary(31, 31))
    halves = [rows[::2], rows[1::2]]
    random.shuffle(halves)
    parts = [columns(half) for half in halves]
    ranges = splits.plan_ranges(sum(splits.histogram(part, span) for part in parts), str(fraction))
    by_range = {}
    for part in parts:
        for index, piece in splits.split_into_ranges(part, span, ranges):
            by_range.setdefault(index, []).append(piece)
    by_range = {
        index: select_latest_examples(sort_by_date(concatenate(pieces)), int(ranges.quota[index]))
        for index, pieces in by_range.items()
    }
    whole = columns(sorted(rows))
    examples = int((whole.clicks - len(whole)) * fraction)
    expected = listed(select_latest_examples(whole, examples))
    assert [row for index in sorted(by_range) for row in listed(by_range[index])] == expected
    counts = {("train", index): len(part) for index, part in by_range.items()}
    held_out = int(len(expected) * validation)
    settings = ProtocolSettings(validation_fraction=str(validation))
    ranks = splits.rank({**counts, ("test", 0): 1}, settings, shards)
    pieces = [
        (split, shard, first, listed(piece))
        for index, part in by_range.items()
        for split, shard, first, piece in splits.split_into_shards("train", index, part, ranks)
    ]
    for split, wanted in (
        ("train", expected[: len(expected) - held_out]),
        ("validation", expected[len(expected) - held_out :]),
    ):
        written = sorted(piece[1:] for piece in pieces if piece[0] == split)
        assert [row for _, _, rows_ in written for row in rows_] == wanted
        sizes = np.bincount([s for s, _, part in written for _ in part], minlength=1)
        assert len(sizes) == max(1, ranks.shards[split])
        assert sizes.max() - sizes.min() <= 1
