"""The items of a protocol: counts, the frequent ones, indices in order of first appearance."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hln_tf.data.protocol_settings import ProtocolSettings
from hln_tf.data.session_columns import SessionColumns, map_items, sort_by_date


def count_items(items: np.ndarray, ids: pa.StringArray) -> pa.Table:
    """Count the items that occur, in the columns `item` and `count`."""
    counts = np.bincount(items, minlength=len(ids))
    occurs = np.flatnonzero(counts)
    return pa.table({"item": ids.take(pa.array(occurs)), "count": counts[occurs]})


def add_counts(counts: Sequence[pa.Table]) -> pa.Table:
    """Add up partial counts from `count_items`, so that each item occurs once."""
    if not counts:
        return pa.table({"item": pa.array([], pa.string()), "count": pa.array([], pa.int64())})
    total = pa.concat_tables(counts).group_by("item").aggregate([("count", "sum")])
    return total.rename_columns(["item", "count"])


def retain_frequent(counts: pa.Table, settings: ProtocolSettings) -> pa.Table:
    """Retain the `top_items` most frequent items of at least `min_item_count` clicks.

    Of equally frequent ones those with the smaller ids, in order of their bytes, come first.

    Args:
      counts: Counts from `add_counts`, of all items or of a part of them.
      settings: The protocol.
    """
    counts = counts.filter(pc.greater_equal(counts["count"], settings.min_item_count))
    if not settings.top_items or counts.num_rows <= settings.top_items:
        return counts
    order = [("count", "descending"), ("item", "ascending")]
    return counts.sort_by(order).slice(0, settings.top_items)


def frequent_items(
    counts: Sequence[pa.Table], settings: ProtocolSettings, known: Sequence[str] = ()
) -> pa.StringArray:
    """Select the item ids that the filters on item counts retain, and sort them.

    Args:
      counts: Partial counts from `count_items`.
      settings: The protocol.
      known: Ids of items that are retained whatever their clicks; the filters choose
        among the others.
    """
    total = add_counts(counts)
    is_known = pc.is_in(total["item"], pa.array(known, pa.string()))
    others = retain_frequent(total.filter(pc.invert(is_known)), settings)
    ids = pa.concat_tables([total.filter(is_known), others])["item"].combine_chunks()
    return ids.take(pc.sort_indices(ids))


def select_items(
    sessions: SessionColumns, ids: pa.StringArray, frequent_ids: pa.StringArray
) -> SessionColumns:
    """Drop the clicks on items that are not frequent, and index the others anew.

    Args:
      sessions: Their items are indices into `ids`.
      ids: Item ids.
      frequent_ids: Ids of the frequent items, which the items returned are indices into.
    """
    indices = pc.fill_null(pc.index_in(ids, frequent_ids), -1).to_numpy()
    return map_items(sessions, indices.astype(np.int32), missing=-1)


@dataclasses.dataclass(frozen=True)
class Appearances:
    """First clicks on items in order of date: the session's date and order, the click in it.

    Clicks are counted from the first of several sessions of the same date and order.
    All are arrays [items]; `item` int32, the others int64.
    """

    item: np.ndarray
    date: np.ndarray
    order: np.ndarray
    click: np.ndarray


def first_appearances(train: SessionColumns) -> Appearances:
    """Find the first appearance of each item that occurs."""
    ordered = sort_by_date(train)
    items, first = np.unique(ordered.items, return_index=True)
    session = np.searchsorted(ordered.offsets, first, "right") - 1
    dates, order = ordered.dates, ordered.order
    is_tie = np.append(False, (np.diff(dates) == 0) & (np.diff(order) == 0))[: len(dates)]
    earliest = np.maximum.accumulate(np.where(is_tie, 0, np.arange(len(dates))))
    start = ordered.offsets[earliest[session]]
    return Appearances(items, dates[session], order[session], first - start)


def earliest_appearances(parts: Sequence[Appearances]) -> Appearances:
    """Find the first of the appearances of each item, in order of date, order and click."""
    item, date, order, click = (
        np.concatenate([np.zeros(0, np.int64), *(getattr(part, field.name) for part in parts)])
        for field in dataclasses.fields(Appearances)
    )
    ordered = np.lexsort((click, order, date))
    _, first = np.unique(item[ordered], return_index=True)
    found = ordered[np.sort(first)]
    return Appearances(item[found].astype(np.int32), date[found], order[found], click[found])


def assign_item_indices(parts: Sequence[Appearances], items: int) -> np.ndarray:
    """Assign item indices from 1 in order of first appearance, int32 [items]; 0: never."""
    seen = earliest_appearances(parts).item
    indices = np.zeros(items, np.int32)
    indices[seen] = np.arange(1, len(seen) + 1)
    return indices


def index_known_items(indices: np.ndarray, ids: pa.StringArray, known: Sequence[str]) -> np.ndarray:
    """Assign the next item indices to known items that have none, as train never saw them.

    Args:
      indices: From `assign_item_indices`, int32 [items].
      ids: The item ids.
      known: Ids of known items.
    """
    is_known = pc.is_in(ids, pa.array(known, pa.string())).to_numpy(zero_copy_only=False)
    unseen = np.flatnonzero(is_known & (indices == 0))
    indexed = indices.copy()
    indexed[unseen] = indices.max(initial=0) + np.arange(1, len(unseen) + 1)
    return indexed


def list_item_ids(ids: pa.StringArray, indices: np.ndarray) -> list[str]:
    """List the item ids in order of their item indices (int32 [ids]; 0: none)."""
    order = np.argsort(indices, kind="stable")[np.count_nonzero(indices == 0) :]
    return ids.take(pa.array(order)).to_pylist()
