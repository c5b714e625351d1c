"""The counts of a run: warnings, the vocabulary and stats.json."""

import collections
import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from beam_preprocess.read import LogFile, line_number
from beam_preprocess.scan import Tally
from beam_preprocess.settings import Settings
from beam_preprocess.splits import Ranges
from beam_preprocess.write import Shard
from hln_tf.common.errors import HlnError
from hln_tf.common.files import atomic_write, write_json
from hln_tf.data.layout import SPLITS, STATS, VOCABULARY
from hln_tf.data.vocabulary import list_item_ids

_NEARLY_EMPTY = 0.1  # of the median day's clicks


@dataclasses.dataclass(frozen=True)
class Rows:
    """The counts of the rows of all files.

    Attributes:
      read: Number of rows.
      malformed: Number of malformed ones.
      first_malformed: File, line number and text of the first one, or empty.
      clicks: Number of clicks inside the time window.
      warnings: One sentence each.
    """

    read: int
    malformed: int
    first_malformed: dict[str, Any]
    clicks: int
    warnings: list[str]


def check_rows(tallies: Sequence[Tally], files: Sequence[LogFile], settings: Settings) -> Rows:
    """Add up the counts of the blocks.

    Raises:
      HlnError: Too many rows are malformed.
    """
    malformed = sum(tally.malformed.count for tally in tallies)
    read = sum(tally.rows for tally in tallies) + malformed
    warnings = []
    first: dict[str, Any] = {}
    if malformed:
        tally = min((tally for tally in tallies if tally.malformed.count), key=lambda t: t.block)
        file = files[tally.block[0]]
        line = line_number(file, tally.block[1]) + tally.malformed.line
        unit = "row" if file.schema.log.format == "parquet" else "line"
        first = {"file": file.name, "line": line, "content": tally.malformed.text}
        message = (
            f"{malformed:,} of {read:,} rows are malformed, first {file.path}, {unit} {line}: "
            f"{tally.malformed.text!r}; {file.schema.expected}, no id empty"
        )
        if malformed > settings.max_malformed * read:
            raise HlnError(
                f"{message}; fix the file, or raise --max_malformed "
                f"(now {settings.max_malformed}) to leave them out"
            )
        warnings.append(f"left out: {message}")
    clicks = sum(int(tally.clicks.sum()) for tally in tallies)
    warnings += _nearly_empty_days(tallies, settings)
    return Rows(read, malformed, first, clicks, warnings)


def _nearly_empty_days(tallies: Sequence[Tally], settings: Settings) -> list[str]:
    """Warn when the window's last days, which become the test part, are nearly empty."""
    window = settings.window()
    clicks: collections.Counter[int] = collections.Counter()
    for tally in tallies:
        clicks.update(dict(zip(tally.days.tolist(), tally.clicks.tolist(), strict=False)))
    if not window or not clicks:
        return []
    usual = float(np.median(list(clicks.values())))
    last = end = window[1] // 86_400
    while clicks[last - 1] < _NEARLY_EMPTY * usual:
        last -= 1
    if last == end:
        return []
    return [
        f"the last {end - last} day(s) of the time window, from {_day(last * 86_400)} to "
        f"{settings.window_end}, hold less than {_NEARLY_EMPTY:.0%} of a usual day's clicks "
        f"({usual:,.0f}): if the log ends earlier, set --window_end {_day((last - 1) * 86_400)}"
    ]


def write_vocabulary(directory: str, ids: pa.StringArray, indices: np.ndarray) -> None:
    """Write the item ids in order of their item indices (int32 [ids]; 0: none)."""
    with atomic_write(Path(directory) / VOCABULARY) as temporary:
        text = "".join(f"{item}\n" for item in list_item_ids(ids, indices))
        temporary.write_bytes(text.encode())


def write_stats(
    directory: str,
    settings: Settings,
    rows: Rows,
    clicks_left: Mapping[str, int],
    ranges: Mapping[str, Ranges],
    items: int,
    shards: Iterable[Shard],
) -> None:
    """Write stats.json: the counts of every part and all settings."""
    by_split: dict[str, list[Shard]] = {split: [] for split in SPLITS}
    for shard in sorted(shards, key=lambda shard: shard.file):
        by_split[shard.split].append(shard)
    train_all = by_split["train"] + by_split["validation"]
    seen = np.zeros(items + 1, bool)
    for shard in train_all:
        seen[shard.items] = True
    unseen = sum(int(s.targets[~seen[s.items]].sum()) for s in by_split["test"])
    full = ranges["train"]
    stats = {
        "dataset": settings.dataset,
        "items": items,
        "rows": rows.read,
        "malformed_rows": rows.malformed,
        "first_malformed_row": rows.first_malformed,
        "clicks_left": dict(clicks_left),
        "full_train": {
            "sessions": full.sessions,
            "clicks": full.clicks,
            "items": items,
            "prefixes": full.clicks - full.sessions,
        },
        "train_all": _counts(train_all),
        **{split: _counts(by_split[split]) for split in SPLITS},
        "unseen_test_targets": unseen,
        "warnings": rows.warnings,
        "files": {split: [shard.file for shard in by_split[split]] for split in SPLITS},
        "settings": settings.description(),
    }
    write_json(Path(directory) / STATS, stats)


def _counts(shards: Sequence[Shard]) -> dict[str, int]:
    sessions = sum(shard.sessions for shard in shards)
    clicks = sum(shard.clicks for shard in shards)
    items = np.unique(np.concatenate([np.zeros(0, np.int32), *(s.items for s in shards)]))
    return {
        "sessions": sessions,
        "clicks": clicks,
        "items": len(items),
        "prefixes": clicks - sessions,
    }


def table(stats: Mapping[str, Any]) -> str:
    """Format the counts of stats.json as a short table."""
    lines = [f"{'':<12}{'sessions':>12}{'clicks':>12}{'prefixes':>12}{'items':>10}"]
    names = {
        "full_train": "train, full",
        "train_all": "train, all",
        "train": "train",
        "validation": "validation",
        "test": "test",
    }
    for key, name in names.items():
        row = stats[key]
        lines.append(
            f"{name:<12}{row['sessions']:>12,}{row['clicks']:>12,}{row['prefixes']:>12,}"
            f"{row['items']:>10,}"
        )
    lines.append(
        f"{stats['items']:,} items; {stats['unseen_test_targets']:,} test targets that the train "
        f"part never saw; {stats['malformed_rows']:,} of {stats['rows']:,} rows malformed"
    )
    return "\n".join(lines)


def _day(seconds: int) -> str:
    return str(datetime.datetime.fromtimestamp(seconds, datetime.UTC).date())
