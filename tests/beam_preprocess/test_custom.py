"""Custom logs, in each format, against the protocol on lists."""

import csv
import datetime
import gzip
import io
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol import FEW, MANY, MIDNIGHT, check, read, reference_custom, to_clicks

from beam_preprocess import Settings, Work, prepare
from beam_preprocess.formats import LogFormat
from beam_preprocess.preparation import outputs, prepare_all
from hln_tf.data.layout import Manifest
from hln_tf.data.sessions import read_split

UTC = datetime.UTC
HOUR = datetime.timezone(datetime.timedelta(hours=-3, minutes=-30))
NOTE = 'a "note", with\na line of its own'


def random_rows(seed):
    """Make rows (session, user, microseconds since `MIDNIGHT`, item), in no order of time."""
    rng = random.Random(seed)
    return [
        (
            f"s{rng.randrange(30)}",
            f"ü{rng.randrange(8)}",
            rng.randrange(3 * 24 * 60) * 60_000_000 + rng.choice([0, 1000, 500_000, 999_000]),
            str(rng.randrange(100, 108)),
        )
        for _ in range(rng.randint(60, 150))
    ]


def iso(time, rng):
    """Write a time in one of the forms of ISO 8601."""
    moment = MIDNIGHT + datetime.timedelta(microseconds=time)
    fraction = "milliseconds" if moment.microsecond else rng.choice(["seconds", "microseconds"])
    form = rng.randrange(4)
    if form == 0:
        return moment.astimezone(HOUR).isoformat(timespec=fraction)
    text = moment.replace(tzinfo=None).isoformat(sep=rng.choice("T "), timespec=fraction)
    return text + ("Z" if form == 1 else "")


def stamps(times, time_format, rng):
    start = int(MIDNIGHT.timestamp()) * 1_000_000
    if time_format == "iso":
        return [iso(time, rng) for time in times]
    if time_format == "seconds":
        return [f"{(start + time) / 1e6:.3f}" for time in times]
    return [str((start + time) // 1000) for time in times]


def write_csv(path, rows, times, rng, header=True, delimiter=","):
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=rng.choice(["\n", "\r\n"]))
    if header:
        writer.writerow(["item", "a note", "time", "user", "session"])
    for (session, user, _, item), time in zip(rows, times, strict=True):
        writer.writerow([item, rng.choice(["", NOTE, ","]), time, user, session])
    mark = "\ufeff" if header and rng.random() < 0.5 else ""
    content = f"{mark}{buffer.getvalue()}".encode()
    path.write_bytes(gzip.compress(content) if rng.random() < 0.3 else content)


def write_tsv(path, rows, times, rng):
    lines = (
        f'{item}\t"\t{time}\t{user}\t{session}\n'
        for (session, user, _, item), time in zip(rows, times, strict=True)
    )
    path.write_bytes("".join(lines).encode())


def write_jsonl(path, rows, times, rng):
    lines = []
    for (session, user, _, item), time in zip(rows, times, strict=True):
        row = {"session": session, "user": user, "more": {"note": NOTE}}
        row["item"] = int(item) if rng.random() < 0.5 else item
        row["time"] = float(time) if time.replace(".", "").isdigit() else time
        if time.isdigit():
            row["time"] = int(time)
        lines.append(json.dumps(row, ensure_ascii=rng.random() < 0.5))
    content = "\n".join([*lines, ""]).encode()
    path.write_bytes(gzip.compress(content) if rng.random() < 0.3 else content)


def write_parquet(path, rows, times, rng):
    sessions, users, moments, items = zip(*rows, strict=True)
    stamp = pa.array([MIDNIGHT + datetime.timedelta(microseconds=time) for time in moments])
    kinds = [stamp, stamp.cast(pa.timestamp("ns")), stamp.cast(pa.timestamp("ms", "UTC"))]
    if times[0].isdigit():
        kinds = [pa.array([int(time) for time in times])]
    elif times[0].replace(".", "").isdigit():
        kinds = [pa.array([float(time) for time in times])]
    item = pa.array(items)
    table = pa.table(
        {
            "session": pa.array(sessions).dictionary_encode(),
            "time": rng.choice(kinds),
            "user": users,
            "item": rng.choice([item, item.cast(pa.int64()), item.cast(pa.large_string())]),
        }
    )
    pq.write_table(table, path, row_group_size=20)


WRITERS = {"csv": write_csv, "tsv": write_tsv, "jsonl": write_jsonl, "parquet": write_parquet}
NAMED = {"item": ("item",), "time": "time"}
NUMBERED = {"header": False, "item": ("1",), "time": "3"}
COLUMNS = {"csv": NAMED, "tsv": NUMBERED, "jsonl": NAMED, "parquet": NAMED}
KEYS = {
    "csv": {"session": "session", "user": "user"},
    "tsv": {"session": "5", "user": "4"},
    "jsonl": {"session": "session", "user": "user"},
    "parquet": {"session": "session", "user": "user"},
}


def write_log(directory, form, rows, time_format, rng):
    """Write the rows to two files; sessions go on in the second one."""
    directory.mkdir()
    half = len(rows) // 2
    paths = [directory / f"b.{form}", directory / f"a.{form}"]
    for path, part in zip(paths, (rows[half:], rows[:half]), strict=True):
        times = stamps([row[2] for row in part], time_format, rng)
        WRITERS[form](path, part, times, rng)
    return paths


CUSTOM = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32),
        "by_user": st.booleans(),
        "time_format": st.sampled_from(["iso", "seconds", "milliseconds"]),
        "protocol": st.fixed_dictionaries(
            {
                "order": st.sampled_from(["time", "time", "file"]),
                "min_item_count": st.sampled_from([9, 9, 20]),
                "top_items": st.sampled_from([0, 5]),
                "collapse_repeats": st.booleans(),
                "max_session_length": st.sampled_from([0, 3]),
                "train_fraction": st.sampled_from(["1/3", "1"]),
                "shards": st.sampled_from([1, 7]),
            }
        ),
        "split": st.sampled_from(
            [
                {"test_from": "2014-04-09"},
                {"test_seconds": 30_000},
                {"test_fraction": "1/4", "unseen_targets": "miss"},
                {"test_from": "2014-04-08", "test_days": 1, "train_days": 1},
                {"test_from": "2014-04-09", "validation_days": 1, "unseen_targets": "miss"},
            ]
        ),
        "work": st.builds(
            Work, workers=st.sampled_from([1, 2]), block_bytes=st.sampled_from([90, 1000])
        ),
    }
)


def check_custom(directory, form, seed, by_user, time_format, protocol, split, work):
    rng, rows = random.Random(seed), random_rows(seed)
    paths = write_log(directory / "raw", form, rows, time_format, rng)
    key = "user" if by_user else "session"
    log = LogFormat(format=form, time_format=time_format, **COLUMNS[form], **{key: KEYS[form][key]})
    timeout = 21_600 if by_user else 0
    config = Settings(dataset="custom", log=log, session_timeout=timeout, **protocol, **split)
    keyed = [(user if by_user else session, t, item) for session, user, t, item in rows]
    expected = reference_custom(keyed, config)
    check(paths, directory / "data", config, work, expected, to_clicks(keyed, key))


@settings(FEW, max_examples=3)
@given(case=CUSTOM)
def test_as_in_the_protocol(tmp_path_factory, case):
    check_custom(tmp_path_factory.mktemp("custom"), "csv", **case)


@pytest.mark.slow
@pytest.mark.parametrize("form", WRITERS)
@settings(MANY, max_examples=10)
@given(case=CUSTOM)
def test_as_in_the_protocol_for_many_logs(tmp_path_factory, form, case):
    check_custom(tmp_path_factory.mktemp("custom"), form, **case)


def test_sessions_of_a_user_with_equal_dates_stay_in_file_order(tmp_path):
    """The clicks of a user go back in time, so that two sessions end in the same second."""
    seconds = [(0, "1"), (0, "2"), (9_000, "3"), (0, "4"), (99_000, "1"), (99_001, "3")]
    rows = [("", "u", time * 1_000_000, item) for time, item in seconds]
    paths = write_log(tmp_path / "raw", "csv", rows, "seconds", random.Random(1))
    log = LogFormat(time_format="seconds", user="user", **NAMED)
    more = {"session_timeout": 1800, "min_item_count": 1, "validation_fraction": "0"}
    config = Settings(dataset="custom", log=log, **more)
    keyed = [(user, time, item) for _, user, time, item in rows]
    expected = reference_custom(keyed, config)
    assert expected == (
        {"train": [(0, [1, 2]), (0, [3, 4])], "validation": [], "test": [(99_001, [1, 3])]},
        ["1", "2", "3", "4"],
    )
    check(paths, tmp_path / "data", config, Work(), expected, to_clicks(keyed, "user"))


def test_a_session_of_rare_items_at_the_end_goes_with_repeats_that_collapse(tmp_path):
    rows = [("a", 0, "1"), ("a", 1, "1"), ("a", 2, "2"), ("c", 99_000, "2"), ("c", 99_001, "1")]
    rows = [(key, "", time * 1_000_000, item) for key, time, item in rows]
    rows += [("z", "", 99_000_000_000, item) for item in ("8", "9")]
    paths = write_log(tmp_path / "raw", "csv", rows, "seconds", random.Random(1))
    log = LogFormat(time_format="seconds", session="session", **NAMED)
    more = {"min_item_count": 2, "collapse_repeats": True, "validation_fraction": "0"}
    config = Settings(dataset="custom", log=log, **more)
    keyed = [(session, time, item) for session, _, time, item in rows]
    expected = reference_custom(keyed, config)
    assert expected[0]["train"] == [(2, [1, 2])]
    work = Work(partitions=1)
    check(paths, tmp_path / "data", config, work, expected, to_clicks(keyed, "session"))


@pytest.mark.slow
def test_several_fractions_and_compression(tmp_path, capsys):
    rows = random_rows(1)
    paths = write_log(tmp_path / "raw", "csv", rows, "iso", random.Random(1))
    log = LogFormat(session="session", **NAMED)
    configs = [
        Settings(
            dataset="custom",
            log=log,
            order="time",
            min_item_count=2,
            validation_fraction="1/2",
            train_fraction=fraction,
            compression="gzip",
        )
        for fraction in ("1/4", "1/2", "1")
    ]
    prepare_all(paths, outputs(tmp_path / "out", configs[:1]), Work(workers=1))
    assert (tmp_path / "out" / "manifest.json").is_file()
    targets = outputs(tmp_path / "all", configs)
    assert [path.name for path in targets] == ["1-4", "1-2", "1"]
    prepare(paths, tmp_path / "all" / "1-2", configs[1])
    before = (tmp_path / "all" / "1-2" / "manifest.json").stat().st_mtime_ns
    prepare_all(paths, targets)
    assert "1-2 already holds" in capsys.readouterr().err
    assert (tmp_path / "all" / "1-2" / "manifest.json").stat().st_mtime_ns == before
    expected_rows = [(session, t, item) for session, _, t, item in rows]
    tests = []
    for path, config in targets.items():
        expected = reference_custom(expected_rows, config)
        assert read(path) == expected
        assert Manifest.read(path).settings["train_fraction"] == config.train_fraction
        for split, sessions in expected[0].items():
            items = [item for _, session in sessions for item in session]
            assert read_split(path, split).items.tolist() == items
        tests.append(expected[0]["test"])
    assert tests[0] == tests[1] == tests[2]
    names = {path.name for path in (tmp_path / "all" / "1").rglob("*.tfrecord*")}
    assert all(name.endswith(".tfrecord.gz") for name in names)
    assert read(tmp_path / "out") == read(tmp_path / "all" / "1-4")
