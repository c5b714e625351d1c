"""Ranked examples as a table: one row for each target, in a Parquet file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hln_tf.common import files
from hln_tf.common.errors import HlnError
from hln_tf.data.layout import EXTRA_PREFIX
from hln_tf.data.prefixes import Prefixes
from hln_tf.data.sessions import Sessions, select_extra

# Classes of items by clicks in training, the most popular first; the last has none.
POPULARITY = ("head", "middle", "tail", "unseen")

SCHEMA = pa.schema(
    {
        "session": pa.int64(),  # its place in the part, from 0
        "date": pa.timestamp("ms", "UTC"),  # of the session
        "position": pa.int32(),  # clicks before the target, from 1
        "target": pa.string(),  # item id
        "rank": pa.int32(),  # from 1
        "score": pa.float32(),
        "popularity": pa.int64(),  # clicks on the target in training
        "popularity_class": pa.dictionary(pa.int8(), pa.string()),
        "in_session": pa.bool_(),  # whether the target was clicked before
    }
)
_ROWS = 1 << 17  # of a row group
# What identifies an example, which all models rank.
KEYS = ("session", "position", "target")


def popularity_classes(item_counts: npt.NDArray[np.integer]) -> npt.NDArray[np.int8]:
    """Divide items by clicks in training: each of the first three classes has a third of them.

    Args:
      item_counts: int [items], clicks on each item.

    Returns:
      int8 [items], indices into `POPULARITY`: items in order of their clicks are
      `head` as long as those before them have less than a third of all clicks,
      `middle` below two thirds, then `tail`; `unseen` without a click.
    """
    order = np.argsort(-np.asarray(item_counts), kind="stable")
    clicks = np.asarray(item_counts, np.float64)[order]
    before = np.cumsum(clicks) - clicks
    classes = np.empty(len(order), np.int8)
    classes[order] = np.minimum(3 * before // max(clicks.sum(), 1), 2)
    classes[np.asarray(item_counts) == 0] = 3
    return classes


def clicked_before(sessions: Sessions) -> npt.NDArray[np.bool_]:
    """Check for each click whether its session has an earlier one on the item, bool [clicks]."""
    order, same = sessions.by_item()
    again = np.zeros(len(order), bool)
    again[order[1:]] = same
    return again


def example_keys(sessions: Sessions, prefixes: Prefixes, vocabulary: Sequence[str]) -> pa.Table:
    """Identify a part's examples, by the columns `KEYS`, in order of session and position.

    Args:
      sessions: The sessions of the part.
      prefixes: Their examples.
      vocabulary: Item ids in order of their indices.
    """
    session = _session_of(sessions, prefixes)
    place = sessions.items[prefixes.targets] - 1
    columns = {
        "session": session,
        "position": (prefixes.targets - sessions.offsets[session]).astype(np.int32),
        "target": pc.take(pa.array(vocabulary, pa.string()), pa.array(place)),
    }
    return pa.table(columns, pa.schema([SCHEMA.field(name) for name in KEYS]))


def examples_table(
    sessions: Sessions,
    prefixes: Prefixes,
    ranks: npt.NDArray[np.int32],
    scores: npt.NDArray[np.float32],
    item_counts: npt.NDArray[np.integer],
    vocabulary: Sequence[str],
) -> pa.Table:
    """Make the table of a part's examples, in order of session and position.

    Args:
      sessions: The sessions of the part.
      prefixes: Their examples.
      ranks: int32 [examples], the targets' ranks from 1.
      scores: float32 [examples], the targets' scores.
      item_counts: int [items], clicks on each item in training.
      vocabulary: Item ids in order of their indices.

    Returns:
      A table of the columns of `SCHEMA`, and of the extra columns of the sessions, whose
      values are those of the targets' clicks.
    """
    keys = example_keys(sessions, prefixes, vocabulary)
    milliseconds = 1000 * sessions.dates[_session_of(sessions, prefixes)]
    place = sessions.items[prefixes.targets] - 1
    classes = popularity_classes(item_counts)[place]
    columns = {
        **{name: keys[name] for name in KEYS},
        "date": pa.array(milliseconds, SCHEMA.field("date").type),
        "rank": ranks,
        "score": scores,
        "popularity": np.asarray(item_counts, np.int64)[place],
        "popularity_class": pa.DictionaryArray.from_arrays(classes, pa.array(POPULARITY)),
        "in_session": clicked_before(sessions)[prefixes.targets],
    }
    table = pa.table({name: columns[name] for name in SCHEMA.names}, SCHEMA)
    return with_extra(table, sessions, prefixes)


def with_extra(table: pa.Table, sessions: Sessions, prefixes: Prefixes) -> pa.Table:
    """Give a table of examples the extra columns of the sessions, instead of any it has.

    Args:
      table: The examples, in the order of `prefixes`.
      sessions: The sessions of the part.
      prefixes: Their examples.
    """
    table = table.drop_columns([each for each in table.column_names if _is_extra(each)])
    extra = select_extra(sessions.extra, prefixes.targets)
    if extra is not None:
        for name, values in zip(extra.column_names, extra.columns, strict=True):
            table = table.append_column(name, values)
    return table


def extra_columns(table: pa.Table) -> list[str]:
    """List the extra columns of a table of examples, by their names in the log."""
    return [each.removeprefix(EXTRA_PREFIX) for each in table.column_names if _is_extra(each)]


def _is_extra(name: str) -> bool:
    return name.startswith(EXTRA_PREFIX)


def _session_of(sessions: Sessions, prefixes: Prefixes) -> npt.NDArray[np.int64]:
    return np.searchsorted(sessions.offsets, prefixes.targets, "right") - 1


def write_examples(path: Path, table: pa.Table) -> None:
    """Write a table of examples as a Parquet file, atomically."""
    with files.atomic_write(path) as temporary:
        pq.write_table(table, temporary, row_group_size=_ROWS)


def read_examples(path: Path) -> pa.Table:
    """Read a table that `write_examples` wrote.

    Raises:
      HlnError: The file is missing, damaged or no such table.
    """
    remedy = "write it again with python -m hln_tf.evaluate --save_ranks"
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise HlnError(f"{path} does not exist: {remedy}") from None
    except (OSError, pa.ArrowInvalid) as error:
        reason = str(error).splitlines()[0]
        raise HlnError(f"{path} is no readable Parquet file ({reason}): {remedy}") from None
    missing = [name for name in SCHEMA.names if name not in table.column_names]
    if missing:
        raise HlnError(f"{path} lacks the column {missing[0]}: {remedy}")
    return table
