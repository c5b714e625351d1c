"""Synthetic logs: their statistics, and preprocessing of them."""

import collections
import gzip
import itertools
import subprocess
import sys

import pytest

from beam_preprocess import Settings, Work, prepare
from beam_preprocess.datasets import DATASETS
from beam_preprocess.generate import SHAPES, LogSettings, generate, main
from hln_tf.common.errors import UsageError

WITH_HEADER = ("diginetica", "retailrocket")


def rows(path, delimiter):
    return [line.split(delimiter) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Generate a log of each shape."""
    directory = tmp_path_factory.mktemp("logs")
    for shape in SHAPES:
        generate(LogSettings(output=str(directory / shape), shape=shape, clicks=60_000))
    return directory


@pytest.mark.slow
def test_yoochoose_has_the_statistics_of_the_public_log(logs):
    log = rows(logs / "yoochoose", ",")
    assert len(log) == 60_000
    assert {len(row) for row in log} == {4}
    lengths = collections.Counter(row[0] for row in log)
    mean = len(log) / len(lengths)
    assert 3.3 < mean < 3.9
    assert 0.1 < sum(length == 1 for length in lengths.values()) / len(lengths) < 0.2
    assert max(lengths.values()) > 50
    changes = sum(before[0] != after[0] for before, after in itertools.pairwise(log))
    assert changes == len(lengths) - 1  # the rows of a session are contiguous
    firsts = list({row[0]: row[1] for row in reversed(log)}.values())
    assert firsts != sorted(firsts) != firsts[::-1]
    assert min(firsts) < "2014-04-03" < "2014-09-28" < max(firsts)
    items = collections.Counter(row[2] for row in log)
    assert len(items) > 2_000
    assert items.most_common(1)[0][1] > 20 * len(log) / len(items) / 5
    assert len({row[3] for row in log}) > 10


def test_lastfm_has_the_statistics_of_the_public_log(logs):
    log = rows(logs / "lastfm", "\t")
    assert len(log) == 60_000
    assert {len(row) for row in log} == {6}
    users = collections.defaultdict(list)
    for row in log:
        users[row[0]].append(row[1])
    assert len(users) == 3
    assert all(times == sorted(times, reverse=True) for times in users.values())
    assert max(map(max, users.values())).startswith("2009-05-0")
    assert 0.02 < sum(not row[2] for row in log) / len(log) < 0.2
    assert 0.2 < sum(not row[4] for row in log) / len(log) < 0.4
    names = "".join(row[3] + row[5] for row in log)
    assert set('",é夜') <= set(names)
    assert all(row[3] and row[5] for row in log)


def test_diginetica_has_the_form_and_statistics_of_the_public_log(logs):
    names, *log = rows(logs / "diginetica", ";")
    assert names == ["sessionId", "userId", "itemId", "timeframe", "eventdate"]
    assert len(log) == 60_000
    sessions = [list(found) for _, found in itertools.groupby(log, key=lambda row: row[0])]
    assert len({row[0] for row in log}) == len(sessions)  # their rows are contiguous
    assert 3.5 < len(log) / len(sessions) < 4.5
    assert all(len({row[4] for row in session}) == 1 for session in sessions)
    frames = [[int(row[3]) for row in session] for session in sessions]
    assert any(found != sorted(found) for found in frames)
    assert all(len(set(found)) == len(found) for found in frames)
    days = {row[4] for row in log}
    assert (min(days), max(days), len(days)) == ("2016-01-01", "2016-06-01", 153)
    assert 0.7 < sum(row[1] == "NA" for row in log) / len(log) < 0.9


def test_retailrocket_has_the_form_and_statistics_of_the_public_log(logs):
    names, *log = rows(logs / "retailrocket", ",")
    assert names == ["timestamp", "visitorid", "event", "itemid", "transactionid"]
    assert len(log) == 60_000
    events = collections.Counter(row[2] for row in log)
    assert set(events) == {"view", "addtocart", "transaction"}
    assert 0.96 < events["view"] / len(log) < 0.975
    assert all(bool(row[4]) == (row[2] == "transaction") for row in log)
    assert len({row[4] for row in log}) == events["transaction"] + 1
    times = [int(row[0]) for row in log]
    assert times != sorted(times)
    begin, day = 1_430_611_200_000, 86_400_000  # 2015-05-03
    assert begin <= min(times) < begin + day
    assert begin + 137 * day <= max(times) < begin + 139 * day
    visitors = collections.Counter(row[1] for row in log)
    assert 1.5 < len(log) / len(visitors) < 3


@pytest.mark.slow
def test_lastfm_end_to_end(logs, tmp_path):
    """The counts are compared with those of plain Python on the rows."""
    config = Settings(dataset="lastfm", **DATASETS["lastfm"].defaults)
    manifest = prepare([logs / "lastfm"], tmp_path / "data", config, Work(partitions=3))
    assert manifest.items > 100
    assert manifest.splits["test"].sessions > 0
    plays = collections.defaultdict(list)
    for user, time, _, artist, _, song in rows(logs / "lastfm", "\t"):
        if "2009-02-06" <= time < "2009-05-06":
            plays[user].append((time, artist, song))
    total = sum(split.sessions for split in manifest.splits.values())
    assert 0 < total < sum(map(len, plays.values())) / 2


@pytest.mark.parametrize("shape", SHAPES)
def test_compressed_logs_have_the_same_rows_in_each_run(shape, tmp_path):
    for name in ("plain", "first.gz", "second.gz"):
        path = tmp_path / name
        main(["--shape", shape, "--clicks", "5000", "--seed", "7", "--output", str(path)])
    assert (tmp_path / "first.gz").read_bytes() == (tmp_path / "second.gz").read_bytes()
    text = gzip.decompress((tmp_path / "first.gz").read_bytes())
    assert text == (tmp_path / "plain").read_bytes()
    assert text.count(b"\n") == 5000 + (shape in WITH_HEADER)
    generate(LogSettings(output=str(tmp_path / "other"), shape=shape, clicks=5000, seed=8))
    assert (tmp_path / "other").read_bytes() != text
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("shape", SHAPES)
def test_the_catalogue_can_have_any_size(shape, tmp_path):
    columns = {"yoochoose": (2, ","), "lastfm": (5, "\t")}
    columns |= {"diginetica": (2, ";"), "retailrocket": (3, ",")}
    column, delimiter = columns[shape]
    found = {}
    for items in (50, 1_000_000):
        path = tmp_path / str(items)
        generate(LogSettings(output=str(path), shape=shape, clicks=5000, items=items))
        log = rows(path, delimiter)[shape in WITH_HEADER :]
        found[items] = len({row[column] for row in log})
    assert found[50] == 50
    assert found[1_000_000] > 300


def test_a_log_of_one_click(tmp_path):
    for shape in SHAPES:
        generate(LogSettings(output=str(tmp_path / shape), shape=shape, clicks=1))
        assert (tmp_path / shape).read_bytes().count(b"\n") == 1 + (shape in WITH_HEADER)


def test_wrong_settings(tmp_path):
    with pytest.raises(UsageError, match="--output is missing"):
        main([])
    with pytest.raises(UsageError, match="is a directory"):
        main(["--output", str(tmp_path)])
    with pytest.raises(UsageError, match="`clicks` is 0, expected at least 1"):
        main(["--output", str(tmp_path / "log"), "--clicks", "0"])


def test_the_modules_import_no_heavy_library():
    code = "import sys, beam_preprocess.generate, benchmarks.preprocessing; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert not {"apache_beam", "pyarrow", "tensorflow", "pandas"} & set(loaded)
