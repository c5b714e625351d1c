"""The counts of a data set as the command prints them. Imports no Beam."""

from collections.abc import Mapping
from typing import Any

_ROWS = {
    "full_train": "train, full",
    "train_all": "train, all",
    "train": "train",
    "validation": "validation",
    "test": "test",
}


def table(stats: Mapping[str, Any]) -> str:
    """Format the counts of stats.json as a short table, with what test has and train lacks."""
    heading = f"{'':<12}{'sessions':>12}{'clicks':>12}{'prefixes':>12}{'items':>10}"
    lines = [f"{heading}  {'first (UTC)':<18}last (UTC)"]
    for key, name in _ROWS.items():
        row = stats[key]
        counts = f"{row['sessions']:>12,}{row['clicks']:>12,}{row['prefixes']:>12,}"
        dates = f"{row.get('first', ''):<18}{row.get('last', '')}"
        lines.append(f"{name:<12}{counts}{row['items']:>10,}  {dates}".rstrip())
    lines.append(
        f"{stats['items']:,} items; {stats['malformed_rows']:,} of {stats['rows']:,} rows malformed"
    )
    return "\n".join([*lines, *_unseen(stats)])


def _unseen(stats: Mapping[str, Any]) -> list[str]:
    """Describe the test clicks that a model of the data set cannot predict."""
    found, targets = stats["test_without_index"], stats["test"]["prefixes"]
    fate = ""
    if found["unseen_clicks"] and stats["settings"]["unseen_targets"] == "drop":
        fate = f", dropped with {found['dropped_sessions']:,} sessions (--unseen_targets drop)"
    elif found["unseen_clicks"]:
        fate = ", as targets they are misses (--unseen_targets miss)"
    clicks = _share(found["unseen_clicks"], found["clicks"])
    of_train, of_both = stats["unseen_test_targets_of_train"], stats["unseen_test_targets"]
    return [
        f"test clicks on items that full train lacks: {clicks}{fate}",
        f"test targets on items that train lacks: {_share(of_train, targets)}; that train and "
        f"validation lack (python -m hln_tf.train --refit): {_share(of_both, targets)}",
    ]


def _share(count: int, total: int) -> str:
    return f"{count:,} of {total:,} ({count / max(total, 1):.1%})"
