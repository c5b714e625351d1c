"""The protocols once more with dicts and lists, and comparisons of what implements them."""

import collections
import datetime
import itertools
import json
import os
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, settings

from beam_preprocess import prepare
from hln_tf.common.errors import HlnError
from hln_tf.data.layout import SPLITS, STATS, Manifest, read_vocabulary
from hln_tf.data.protocol import prepare_sessions
from hln_tf.data.sessions import read_split

MIDNIGHT = datetime.datetime(2014, 4, 7, tzinfo=datetime.UTC)
FEW = settings(
    max_examples=int(os.environ.get("HLN_TF_EXAMPLES", "8")),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking would take minutes
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
MANY = settings(FEW, max_examples=40)


def stamp(seconds, fraction=""):
    """The time so many seconds after a midnight, as Yoochoose writes it."""
    return (MIDNIGHT + datetime.timedelta(seconds=seconds)).strftime(
        f"%Y-%m-%dT%H:%M:%S{fraction}Z"
    )


def reference_split(sessions, config):
    """Steps 3 to 6 on a list of (date, order, items); returns what a data set holds."""
    if not sessions:
        return None
    # Of equal dates and orders are sessions of a user whose clicks are not in order of time.
    sessions = sorted(sessions, key=lambda session: session[:2])
    end = float("inf")
    if config.test_from:
        begin = datetime.datetime.fromisoformat(f"{config.test_from}T00:00:00Z") - MIDNIGHT
        boundary = after = begin.total_seconds()
        after -= 1
        end = boundary + config.test_days * 86_400 if config.test_days else end
    elif Fraction(config.test_fraction):
        later = int(len(sessions) * Fraction(config.test_fraction))
        after = sessions[len(sessions) - later - 1][0]
        boundary = after + 1
    else:
        boundary = after = sessions[-1][0] - config.test_seconds
    begin = boundary - config.train_days * 86_400 if config.train_days else -float("inf")
    full = [s for s in sessions if begin <= s[0] < boundary]
    test = [s for s in sessions if after < s[0] < end]
    indices = {}
    for _, _, items in full:
        for item in items:
            indices.setdefault(item, len(indices) + 1)
    full = [(date, [indices[item] for item in items]) for date, _, items in full]
    if config.unseen_targets == "miss":
        test = [(date, [indices.get(i, 0) for i in items]) for date, _, items in test]
    else:
        test = [(date, [indices[i] for i in items if i in indices]) for date, _, items in test]
        test = [s for s in test if len(s[1]) >= config.min_session_length]
    late = boundary - config.validation_days * 86_400 if config.validation_days else boundary
    train = [s for s in full if s[0] < late]
    examples = [
        (index, length)
        for index, (_, items) in enumerate(train)
        for length in range(len(items), 1, -1)
    ]
    retained = int(len(examples) * Fraction(config.train_fraction))
    longest = {}
    for index, length in examples[len(examples) - retained :]:
        longest[index] = max(longest.get(index, 0), length)
    cut = [(train[i][0], train[i][1][:length]) for i, length in sorted(longest.items())]
    held_out = int(len(cut) * Fraction(config.validation_fraction))
    split = {"train": cut, "validation": [s for s in full if s[0] >= late], "test": test}
    if not config.validation_days:
        split["train"] = cut[: len(cut) - held_out]
        split["validation"] = cut[len(cut) - held_out :]
    if config.has_validation and not split["validation"]:
        return None
    if not split["train"] or not split["test"]:
        return None
    return split, list(indices)


def reference_yoochoose(rows, config):
    """Rows are (session, seconds, item) in file order."""
    sessions = collections.defaultdict(list)
    for session, seconds, item in rows:
        sessions[session].append((seconds, item))
    sessions = [
        (clicks[-1][0], order, [item for _, item in clicks])
        for order, clicks in enumerate(sessions.values())
        if len(clicks) >= 2
    ]
    counts = collections.Counter(item for _, _, items in sessions for item in items)
    sessions = [
        (date, order, [i for i in items if counts[i] >= config.min_item_count])
        for date, order, items in sessions
    ]
    return reference_split([s for s in sessions if len(s[2]) >= 2], config)


def reference_diginetica(rows, config):
    """Rows are (session, seconds, rank, item) in file order."""
    sessions = collections.defaultdict(list)
    for session, seconds, rank, item in rows:
        sessions[session].append((rank, seconds, item))
    ordered = [
        (session, seconds, item)
        for session, clicks in sessions.items()
        for _, seconds, item in sorted(clicks, key=lambda click: click[0])
    ]
    return reference_yoochoose(ordered, config)


def reference_lastfm(rows, config):
    """Rows are (user, seconds, item) in file order, all of them within the window."""
    users = collections.defaultdict(list)
    counts = collections.Counter(item for _, _, item in rows)
    ranked = sorted(counts, key=lambda item: (-counts[item], item.encode()))
    frequent = set(ranked[: config.top_items])
    for user, seconds, item in rows:
        users[user].append((seconds, item))
    sessions = []
    for order, plays in enumerate(users.values()):
        retained = sorted(((s, i) for s, i in plays if i in frequent), key=lambda play: play[0])
        current = []
        for seconds, item in retained:
            if current and seconds - current[-1][0] > config.session_timeout:
                sessions.append((order, current))
                current = []
            current.append((seconds, item))
        if current:
            sessions.append((order, current))
    collapsed = []
    for order, plays in sessions:
        items = [
            item
            for position, (_, item) in enumerate(plays)
            if not position or plays[position - 1][1] != item
        ]
        if config.min_session_length <= len(items) <= config.max_session_length:
            collapsed.append((plays[-1][0], order, items))
    return reference_split(collapsed, config)


def reference_custom(rows, config):
    """Rows are (session or user, microseconds, item) in file order.

    A session that the log names has the date of its last click, retained or not.
    """
    clicks = collections.defaultdict(list)
    for key, time, item in rows:
        clicks[key].append((time, item))
    if config.order == "time":
        clicks = {key: sorted(found, key=lambda click: click[0]) for key, found in clicks.items()}
    sessions = [
        (order, found)
        for order, found in enumerate(clicks.values())
        if config.session_timeout or len(found) >= config.min_session_length
    ]
    counts = collections.Counter(item for _, found in sessions for _, item in found)
    ranked = [item for item, count in counts.items() if count >= config.min_item_count]
    ranked.sort(key=lambda item: (-counts[item], item.encode()))
    frequent = set(ranked[: config.top_items] if config.top_items else ranked)
    cut = []
    for order, found in sessions:
        current = []
        for time, item in found:
            if item not in frequent:
                continue
            timeout = config.session_timeout
            if timeout and current and time - current[-1][0] > timeout * 1_000_000:
                cut.append((current[-1][0], order, current))
                current = []
            current.append((time, item))
        if current:
            last = (current if config.session_timeout else found)[-1]
            cut.append((last[0], order, current))
    filtered = []
    for date, order, found in cut:
        items = [item for _, item in found]
        if config.collapse_repeats:
            items = [item for item, _ in itertools.groupby(items)]
        if config.min_session_length <= len(items) <= (config.max_session_length or len(items)):
            filtered.append((date // 1_000_000, order, items))
    return reference_split(filtered, config)


def to_clicks(rows, key):
    """The table of clicks of rows (session or user, microseconds after `MIDNIGHT`, item)."""
    keys, times, items = zip(*rows, strict=True) if rows else ((), (), ())
    start = int(MIDNIGHT.timestamp()) * 1_000_000
    return pa.table(
        {
            key: pa.array(keys, pa.string()),
            "time": pa.array([start + time for time in times], pa.int64()),
            "item": pa.array(items, pa.string()),
        }
    )


def listed(prepared):
    """What `prepare_sessions` returns as the reference has it."""
    split = {}
    for name in SPLITS:
        part = getattr(prepared, name)
        seconds = (part.dates - int(MIDNIGHT.timestamp())).tolist()
        items = [each.tolist() for each in np.split(part.items, part.offsets[1:-1])]
        split[name] = list(zip(seconds, items[: len(seconds)], strict=True))
    return split, prepared.item_ids


def assert_same(directory, prepared):
    """Check that a data set directory is exactly what `prepare_sessions` returns."""
    for name in SPLITS:
        written, found = read_split(directory, name, unknown=True), getattr(prepared, name)
        for column in ("items", "offsets", "dates"):
            one, other = getattr(written, column), getattr(found, column)
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other, err_msg=f"{name} {column}")
        assert read_split(directory, name, unknown=True, extra=True).extra == found.extra
    assert read_vocabulary(directory, Manifest.read(directory)) == prepared.item_ids
    stats = json.loads((directory / STATS).read_text())
    assert list(stats["clicks_left"].items()) == list(prepared.clicks_left.items())
    assert stats["test_without_index"] == prepared.without_index
    of_rows = len(stats["warnings"]) - len(prepared.warnings)  # those of the raw files come first
    assert stats["warnings"][of_rows:] == prepared.warnings


def check(paths, directory, config, work, expected, clicks):
    """Run the pipeline, and compare it with the reference and with `prepare_sessions`.

    Args:
      paths: The raw files.
      directory: The data set directory to write.
      config: The settings.
      work: How to divide the work.
      expected: What a reference returned; None: an error is expected.
      clicks: The clicks of the raw files as a table.
    """
    if expected is None:
        with pytest.raises(HlnError, match=r"empty|left") as of_pipeline:
            prepare(paths, directory, config, work)
        with pytest.raises(HlnError) as of_core:
            prepare_sessions(clicks, config)
        assert str(of_pipeline.value) == str(of_core.value)
        assert not directory.exists()
        return
    prepare(paths, directory, config, work)
    assert read(directory) == expected
    assert_same(directory, prepare_sessions(clicks, config))


def read(directory):
    """The data set as the reference has it: splits of (seconds, items), and the vocabulary."""
    import tensorflow as tf

    manifest = Manifest.read(directory)
    split = {}
    for name in SPLITS:
        split[name] = []
        for file in manifest.splits[name].files:
            compression = "GZIP" if file.endswith(".gz") else ""
            records = tf.data.TFRecordDataset(str(directory / file), compression)
            for record in records.as_numpy_iterator():
                example = tf.train.Example.FromString(record)
                column = {
                    key: list(feature.int64_list.value)
                    for key, feature in example.features.feature.items()
                }
                items = iter(column["items"])
                for date, length in zip(column["dates"], column["lengths"], strict=True):
                    session = [next(items) for _ in range(length)]
                    split[name].append((date - int(MIDNIGHT.timestamp()), session))
                assert next(items, None) is None
        clicks = sum(len(items) for _, items in split[name])
        assert manifest.splits[name].sessions == len(split[name])
        assert manifest.splits[name].clicks == clicks
        assert manifest.splits[name].prefixes == clicks - len(split[name])
    return split, read_vocabulary(directory, manifest)
