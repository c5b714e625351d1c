"""Extra columns of the log: by the pipeline as by the core, from each format."""

import csv
import json
import random
import re

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import prepare as command
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol import FEW, MANY, MIDNIGHT, assert_same

from beam_preprocess import Settings, Work, prepare
from beam_preprocess.formats import LogFormat
from hln_tf.common.errors import HlnError, UsageError
from hln_tf.data.dataset import SessionDataset
from hln_tf.data.frames import clicks_from_frame
from hln_tf.data.layout import SPLITS, Manifest
from hln_tf.data.protocol import prepare_sessions
from hln_tf.data.sessions import read_split

START = int(MIDNIGHT.timestamp())
COLUMNS = {"item": "item", "time": "time", "session": "visit"}
# One is named as a column of the clicks, one is the item's own.
EXTRA = ("date", "device", "item", "price", "is_new")
LOG = {"session": "visit", "time": "time", "time_format": "seconds", "item": ("item",)}


def frame(seed, clicks=150):
    """Make clicks with columns of each type, with missing and with odd values."""
    rng = random.Random(seed)
    visits = [rng.randrange(40) for _ in range(clicks)]
    rows = [
        {
            "item": f"i{rng.randrange(8)}",
            "time": START + visit * 7_200 + rng.randrange(3_600),
            "visit": f"ü{visit}",
            "date": rng.choice(["monday", 'a "b",\nc', "x" * 300]),
            "device": rng.choice(["mobile", "größe", " ", None]),
            "price": rng.choice([None, 3, 17]),
            "is_new": rng.choice([True, False]),
        }
        for visit in visits
    ]
    return pd.DataFrame(rows).astype({"price": "Int64", "is_new": bool})


def write_csv(path, clicks):
    flags = clicks["is_new"].map({True: "true", False: "false"})
    clicks.assign(is_new=flags).to_csv(path, index=False, quoting=csv.QUOTE_MINIMAL)


def write_jsonl(path, clicks):
    rows = json.loads(clicks.to_json(orient="records"))
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def write_parquet(path, clicks):
    table = pa.Table.from_pandas(clicks, preserve_index=False)
    encoded = table["device"].dictionary_encode()
    table = table.set_column(table.column_names.index("device"), "device", encoded)
    pq.write_table(table, path, row_group_size=40)


WRITERS = {"csv": write_csv, "jsonl": write_jsonl, "parquet": write_parquet}


def check(directory, form, seed, work, changes):
    """Compare the data set of the pipeline with that of the core on a data frame."""
    directory.mkdir(exist_ok=True)
    clicks = frame(seed)
    paths = [directory / f"{name}.{form}" for name in "ba"]
    for path, part in zip(paths, (clicks[70:], clicks[:70]), strict=True):
        WRITERS[form](path, part)
    log = LogFormat(format=form, **LOG)
    config = Settings(
        **{
            "dataset": "custom",
            "log": log,
            "order": "time",
            "extra_columns": EXTRA,
            "validation_fraction": "1/4",
            **changes,
        }
    )
    table = clicks_from_frame(clicks, **COLUMNS, extra=EXTRA)
    try:
        prepared = prepare_sessions(table, config)
    except HlnError as error:  # a part is empty
        with pytest.raises(HlnError, match=re.escape(str(error))):
            prepare(paths, directory / "data", config, work)
        return
    manifest = prepare(paths, directory / "data", config, work)
    assert manifest.extra_columns == EXTRA
    assert_same(directory / "data", prepared)
    data = SessionDataset.from_directory(directory / "data")
    for part in SPLITS:
        found = getattr(prepared, part)
        items = [None if not item else data.item_ids[item - 1] for item in found.items]
        pairs = zip(items, found.extra["log_item"].to_pylist(), strict=True)
        assert all(item in (None, extra) for item, extra in pairs)
        assert data.split(part).extra is None  # training reads none of it


CASES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32),
        "work": st.builds(
            Work, partitions=st.sampled_from([1, 5]), block_bytes=st.sampled_from([500, 1 << 20])
        ),
        "changes": st.sampled_from(
            [
                {"compression": "gzip"},
                {"collapse_repeats": True, "train_fraction": "1/2", "shards": 7},
                {"test_fraction": "1/4", "min_item_count": 15, "unseen_targets": "miss"},
            ]
        ),
    }
)


@pytest.mark.parametrize("form", WRITERS)
@settings(FEW, max_examples=1)
@given(case=CASES)
def test_as_the_core_has_them(tmp_path_factory, form, case):
    check(tmp_path_factory.mktemp("extra"), form, **case)


@pytest.mark.slow
@pytest.mark.parametrize("form", WRITERS)
@settings(MANY, max_examples=10)
@given(case=CASES)
def test_as_the_core_has_them_for_many_logs(tmp_path_factory, form, case):
    check(tmp_path_factory.mktemp("extra"), form, **case)


def test_a_table_in_memory_has_the_same(tmp_path):
    clicks = frame(3)
    write_csv(tmp_path / "log.csv", clicks)
    config = Settings(
        dataset="custom", log=LogFormat(**LOG), order="time", extra_columns=("device",)
    )
    prepare([tmp_path / "log.csv"], tmp_path / "data", config)
    data = SessionDataset.from_clicks(clicks, **COLUMNS, extra_columns=["device"])
    for part in SPLITS:
        written = read_split(tmp_path / "data", part, extra=True)
        assert written.extra.num_rows == len(written.items)
        assert written.extra == data.split(part).extra
        assert read_split(tmp_path / "data", part).extra is None
    assert set(data.split("train").extra["log_device"].to_pylist()) == {
        "mobile",
        "größe",
        " ",
        None,
    }


def test_columns_of_a_named_log_by_their_numbers(tmp_path):
    """Yoochoose's fourth column is the category; its log says of no value that it is missing."""
    lines = [
        f"{session},2014-04-0{7 + 2 * (session // 20)}T00:00:0{click}.000Z,{click},{value}"
        for session in range(40)
        for click, value in enumerate(["S", "NA", ""])
    ]
    (tmp_path / "log").write_text("\n".join(lines))
    config = Settings(min_item_count=1, extra_columns=("4",))
    prepare([tmp_path / "log"], tmp_path / "data", config)
    extra = read_split(tmp_path / "data", "test", extra=True).extra
    assert extra.column_names == ["log_4"]
    assert extra["log_4"].to_pylist() == ["S", "NA", None] * 20


def test_what_an_older_data_set_lacks(tmp_path, capsys):
    """It is recognised as that of the same settings, and has no extra column to read."""
    write_csv(tmp_path / "log.csv", frame(3))
    config = Settings(dataset="custom", log=LogFormat(**LOG), order="time")
    prepare([tmp_path / "log.csv"], tmp_path / "data", config)
    path = tmp_path / "data" / "manifest.json"
    content = json.loads(path.read_text())
    del content["settings"]["extra_columns"]
    path.write_text(json.dumps(content))
    capsys.readouterr()
    prepare([tmp_path / "log.csv"], tmp_path / "data", config)
    assert "nothing to do" in capsys.readouterr().err
    assert Manifest.read(tmp_path / "data").extra_columns == ()
    assert read_split(tmp_path / "data", "test", extra=True).extra is None
    other = Settings(
        dataset="custom", log=LogFormat(**LOG), order="time", extra_columns=("device",)
    )
    with pytest.raises(HlnError, match="data set of other settings"):
        prepare([tmp_path / "log.csv"], tmp_path / "data", other)


def test_a_column_that_the_log_lacks_is_one_sentence(tmp_path):
    write_csv(tmp_path / "log.csv", frame(3))
    log = ("--session", "visit", "--time", "time", "--time_format", "seconds", "--item", "item")
    flags = ("--dataset", "custom", "--input", tmp_path / "log.csv", *log)
    outcome = command(*flags, "--extra_columns", "device", "land", "--output", tmp_path / "data")
    assert outcome.sentence() == (
        f"{tmp_path}/log.csv has no column 'land'; its columns are 'item', 'time', 'visit', "
        "'date', 'device', 'price', 'is_new': name one of them with --extra_columns"
    )
    outcome = command(*flags, "--extra_columns", "device", "device", "--output", tmp_path / "data")
    assert "--extra_columns is ['device', 'device'], expected" in outcome.sentence(2)


def test_values_that_are_no_single_text_are_refused(tmp_path):
    clicks = [{"visit": "a", "time": START, "item": "x", "tags": [1, 2]}]
    (tmp_path / "log").write_text("".join(f"{json.dumps(row)}\n" for row in clicks))
    log = LogFormat(**{**LOG, "format": "jsonl"})
    with pytest.raises(UsageError, match=r"`extra_columns` names tags\[\], of which a click may"):
        Settings(dataset="custom", log=log, extra_columns=("tags[]",))
    pq.write_table(pa.Table.from_pylist(clicks), tmp_path / "log.parquet")
    log = LogFormat(**{**LOG, "format": "parquet"})
    with pytest.raises(UsageError, match="of which a click may have several values"):
        Settings(dataset="custom", log=log, extra_columns=("tags[]",))


@pytest.mark.parametrize("wrong", [["a", "b"], {"kind": "a"}, [], {}])
def test_a_list_or_an_object_of_json_lines_is_refused(tmp_path, wrong):
    """As such a column of Parquet is; the sessions are those without extra columns."""
    rows = [
        {"visit": f"s{n // 3}", "time": START + 9_000 * (n // 3) + n % 3, "item": "x", "tags": n}
        for n in range(120)
    ]
    rows[6]["tags"], rows[7]["tags"] = None, wrong
    (tmp_path / "log").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    log = LogFormat(**{**LOG, "format": "jsonl"})
    config = {"dataset": "custom", "log": log, "order": "time", "min_item_count": 1}
    with pytest.raises(HlnError) as caught:
        settings = Settings(**config, extra_columns=("tags",))
        prepare([tmp_path / "log"], tmp_path / "data", settings, Work(block_bytes=200))
    assert str(caught.value) == (
        f"{tmp_path}/log, line 8 has a list or an object in column 'tags', expected text, a "
        "number or a boolean: convert the column, or leave it out of `extra_columns`"
    )
    settings = Settings(**config, extra_columns=("visit",))
    manifest = prepare([tmp_path / "log"], tmp_path / "data", settings)
    assert sum(part.clicks for part in manifest.splits.values()) == 120


def test_values_of_the_events_of_a_list(tmp_path):
    rows = [
        {
            "visit": f"s{session}",
            "device": {"kind": session % 2 == 0},
            "events": [
                {"item": f"i{event}", "time": START + 9_000 * session + event, "page": event}
                for event in range(3)
            ],
        }
        for session in range(40)
    ]
    (tmp_path / "log").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    log = LogFormat(
        format="jsonl",
        session="visit",
        time="events[].time",
        time_format="seconds",
        item=("events[].item",),
    )
    extra = ("device.kind", "events[].page")
    config = Settings(dataset="custom", log=log, order="time", extra_columns=extra)
    prepare([tmp_path / "log"], tmp_path / "data", config)
    found = read_split(tmp_path / "data", "test", extra=True)
    assert found.extra["log_events[].page"].to_pylist() == ["0", "1", "2"] * len(found)
    of_first = found.extra["log_device.kind"].to_pylist()[::3]
    assert of_first == ["true" if n % 2 == 0 else "false" for n in range(40 - len(found), 40)]
