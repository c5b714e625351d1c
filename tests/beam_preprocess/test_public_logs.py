"""Diginetica and RetailRocket: generated logs of their form against plain Python, and ranks."""

import csv
import dataclasses
import datetime
import json

import pyarrow as pa
import pytest
from commands import TINY, run
from protocol import MIDNIGHT, check, read, reference_custom, reference_diginetica, to_clicks

from beam_preprocess import Settings, Work, jsonl, parquet, prepare, rows
from beam_preprocess.datasets import DATASETS
from beam_preprocess.formats import LogFormat
from beam_preprocess.generate import LogSettings, generate
from beam_preprocess.schema import Schema
from hln_tf.common.errors import UsageError
from hln_tf.data.sources import SOURCES

SECOND = 1_000_000


def generated(directory, name, clicks=3000, items=40):
    """The path of a generated log, and its rows by name of the column."""
    path = directory / "raw" / SOURCES[name].file
    path.parent.mkdir(exist_ok=True)
    generate(LogSettings(output=str(path), shape=name, clicks=clicks, items=items))
    with open(path, newline="") as file:
        return path, list(csv.DictReader(file, delimiter=DATASETS[name].log.between))


def settings(name):
    return Settings(dataset=name, **{**DATASETS[name].defaults, "shards": 2})


@pytest.mark.slow
def test_diginetica_as_in_the_protocol(tmp_path):
    path, log = generated(tmp_path, "diginetica")
    day = {
        text: int((datetime.datetime.fromisoformat(f"{text}T00:00:00Z") - MIDNIGHT).total_seconds())
        for text in {row["eventdate"] for row in log}
    }
    views = [
        (row["sessionId"], day[row["eventdate"]], int(row["timeframe"]), row["itemId"])
        for row in log
    ]
    config = settings("diginetica")
    clicks = to_clicks(
        [(session, date * SECOND, item) for session, date, _, item in views], "session"
    )
    clicks = clicks.append_column("rank", pa.array([rank for _, _, rank, _ in views], pa.int64()))
    work = Work(partitions=3, block_bytes=20_000)
    expected = reference_diginetica(views, config)
    check([path], tmp_path / "data", config, work, expected, clicks)
    dates = [date for date, _ in expected[0]["test"]]
    assert set(dates) == {max(day.values()) - 86_400 * before for before in range(7)}
    last_train = max(date for part in ("train", "validation") for date, _ in expected[0][part])
    assert last_train == max(day.values()) - 8 * 86_400  # the day between is in neither part


def test_retailrocket_as_in_the_protocol(tmp_path):
    path, log = generated(tmp_path, "retailrocket")
    begin = int(MIDNIGHT.timestamp()) * SECOND
    views = [
        (row["visitorid"], int(row["timestamp"]) * 1000 - begin, row["itemid"])
        for row in log
        if row["event"] == "view"
    ]
    assert 2800 < len(views) < len(log)
    config = settings("retailrocket")
    work = Work(partitions=3, block_bytes=20_000)
    prepare([path], tmp_path / "data", config, work)
    assert read(tmp_path / "data") == reference_custom(views, config)
    stats = json.loads((tmp_path / "data" / "stats.json").read_text())
    assert list(stats["clicks_left"].values())[:2] == [len(log), len(views)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["diginetica", "retailrocket"])
def test_a_public_log_is_prepared_trained_on_and_served(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = ("--shape", name, "--clicks", "20000", "--items", "300")
    raw = ("--output", f"data/raw/{SOURCES[name].file}")
    assert run("beam_preprocess.generate", *log, *raw).code == 0
    tiny = (*TINY, "--epochs", "1", "--batch_size", "256")
    outcome = run("hln_tf.train", "--dataset", name, *tiny)
    assert outcome.code == 0, outcome.err
    items = (tmp_path / f"data/{name}/vocabulary.txt").read_text().split()
    flags = ("--workdir", f"runs/{name}/hln", "--session", f"{items[0]} {items[1]}")
    assert len(run("hln_tf.recommend", *flags).out.splitlines()) == 20


RANKED = LogFormat(session="s", time="day", rank="rank", item=("item",))
PARSERS = {"csv": rows.parse, "jsonl": jsonl.parse}


def parsed(form, ranks):
    """Parse a log with a click for each rank."""
    log = [{"s": "a", "day": "2024-03-01", "rank": rank, "item": "i"} for rank in ranks]
    schema = Schema.find(dataclasses.replace(RANKED, format=form), list(log[0]), "log")
    if form == "parquet":
        return parquet.parse(pa.RecordBatch.from_pylist(log), schema)
    as_line = {"csv": lambda row: ",".join(map(str, row.values())), "jsonl": json.dumps}[form]
    return PARSERS[form]("\n".join(map(as_line, log)).encode(), schema)


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_ranks_are_whole_numbers(form):
    found = parsed(form, [2, -1, 10**17])
    assert found.clicks["rank"].to_pylist() == [2, -1, 10**17]
    assert found.clicks.schema.field("rank").type == pa.int64()
    assert found.malformed.count == 0


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_rank_that_is_no_whole_number_is_malformed_and_none_is_missing(form):
    found = parsed(form, ["3", "soon", "1.5", "9" * 19, "NA"])
    assert found.clicks["rank"].to_pylist() == [3]
    assert [line for line, _ in found.malformed.first] == [1, 2, 3]
    assert dict(found.findings.missing) == {"rank": 1}


def test_a_rank_goes_with_sessions():
    with pytest.raises(UsageError, match="rank orders the clicks of a session, but the log names"):
        LogFormat(user="u", time="day", rank="rank", item=("item",))
