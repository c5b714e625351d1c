"""The pipeline against a plain implementation of the protocols."""

import gzip
import itertools
import json
import shutil
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol import (
    FEW,
    MANY,
    check,
    read,
    reference_lastfm,
    reference_yoochoose,
    stamp,
    to_clicks,
)

from beam_preprocess import Settings, Work, prepare
from beam_preprocess.datasets import DATASETS
from hln_tf.common.errors import HlnError


def write_files(directory, lines, cuts):
    """Write the lines to files cut before the lines `cuts`; every other file is gzip."""
    directory.mkdir()
    paths = []
    bounds = [0, *sorted(cut for cut in set(cuts) if 0 < cut < len(lines)), len(lines)]
    for number, (start, end) in enumerate(itertools.pairwise(bounds)):
        text = "".join(f"{line}\n" for line in lines[start:end]).encode()
        if number % 2:
            path = directory / f"log{number}.gz"
            path.write_bytes(gzip.compress(text))
        else:
            path = directory / f"log{number}"
            path.write_bytes(text[:-1] if number else text)  # the last line may lack its end
        paths.append(path)
    return paths[::-1]


works = st.builds(
    Work,
    workers=st.sampled_from([1, 2]),
    partitions=st.sampled_from([1, 3]),
    block_bytes=st.sampled_from([200, 1000, 1 << 20]),
)
fractions = st.sampled_from(["1/64", "1/5", "1/3", "1/2", "3/4", "1"])


def item_rows(keys, times, items):
    """Make a strategy of uniformly sampled logs (key, time, item), a few of them tiny.

    Few of them cover more cases than Hypothesis' own lists, most of which are short.
    """

    def draw(seed):
        random = Random(seed)
        count = random.randint(40, 150) if random.random() < 0.9 else random.randint(1, 12)
        return [
            (random.randrange(keys), times * random.randrange(60), random.randrange(1, items + 1))
            for _ in range(count)
        ]

    return st.integers(0, 2**32).map(draw)


YOOCHOOSE = st.fixed_dictionaries(
    {
        "rows": item_rows(keys=30, times=1800, items=8),
        "cuts": st.lists(st.integers(1, 80), max_size=2),
        "work": works,
        "config": st.builds(
            Settings,
            dataset=st.just("yoochoose64"),
            train_fraction=fractions,
            validation_fraction=st.sampled_from(["0", "0.1", "0.5"]),
            min_item_count=st.sampled_from([1, 5]),
            test_seconds=st.sampled_from([3600, 36_000]),
            shards=st.integers(1, 3),
        ),
    }
)


def check_yoochoose(directory, rows, cuts, work, config):
    log = [f"{session},{stamp(time, '.999')},{item},S" for session, time, item in rows]
    clicks = [(str(s), t * 1_000_000 + 999_000, str(i)) for s, t, i in rows]
    expected = reference_yoochoose([(s, t, str(i)) for s, t, i in rows], config)
    paths = write_files(directory / "raw", log, cuts)
    check(paths, directory / "data", config, work, expected, to_clicks(clicks, "session"))


@FEW
@given(case=YOOCHOOSE)
def test_yoochoose_as_in_the_protocol(tmp_path_factory, case):
    check_yoochoose(tmp_path_factory.mktemp("log"), **case)


@pytest.mark.slow
@MANY
@given(case=YOOCHOOSE)
def test_yoochoose_as_in_the_protocol_for_many_logs(tmp_path_factory, case):
    check_yoochoose(tmp_path_factory.mktemp("log"), **case)


LASTFM = st.fixed_dictionaries(
    {
        "rows": item_rows(keys=9, times=14_400, items=5),
        "outside": st.lists(st.sampled_from([-1, -86_400 * 40, 86_400 * 40]), max_size=3),
        "cuts": st.lists(st.integers(1, 80), max_size=1),
        "work": works,
        "config": st.builds(
            lambda **changed: Settings(**{**DATASETS["lastfm"].defaults, **changed}),
            dataset=st.just("lastfm"),
            top_items=st.integers(3, 6),
            max_session_length=st.sampled_from([5, 50]),
            train_fraction=fractions,
            test_seconds=st.just(2 * 86_400),
            window_months=st.just(1),
            # In the second window is no click at all.
            window_end=st.sampled_from([*["2014-05-06"] * 7, "2012-01-01"]),
            shards=st.integers(1, 3),
        ),
    }
)


def check_lastfm(directory, rows, outside, cuts, work, config):
    names = {1: 'A "x', 2: "A y", 3: "Ä z", 4: "B, x", 5: "b"}
    log = [f"user_{user}\t{stamp(time)}\t\t{names[i]}\t\tt{i}" for user, time, i in rows]
    log += [f"user_9\t{stamp(time)}\ta\tx\tt\ty" for time in outside]
    plays = [(f"user_{user}", time, f"{names[i]} / t{i}") for user, time, i in rows]
    expected = reference_lastfm(plays if "2014" in config.window_end else [], config)
    clicks = [(user, time * 1_000_000, item) for user, time, item in plays]
    clicks += [("user_9", time * 1_000_000, "x / y") for time in outside]
    paths = write_files(directory / "raw", log, cuts)
    check(paths, directory / "data", config, work, expected, to_clicks(clicks, "user"))


@pytest.mark.slow
@FEW
@given(case=LASTFM)
def test_lastfm_as_in_the_protocol(tmp_path_factory, case):
    check_lastfm(tmp_path_factory.mktemp("log"), **case)


@pytest.mark.slow
@MANY
@given(case=LASTFM)
def test_lastfm_as_in_the_protocol_for_many_logs(tmp_path_factory, case):
    check_lastfm(tmp_path_factory.mktemp("log"), **case)


HAND = """\
b,2014-04-07T00:00:05.900Z,2,0
a,2014-04-07T00:00:01.000Z,1,0
a,2014-04-07T00:00:02.000Z,2,0
b,2014-04-07T00:00:03.000Z,1,0
a,2014-04-07T00:00:03.999Z,3,0
c,2014-04-07T00:00:09.000Z,9,0
d,2014-04-08T00:00:10.000Z,3,0
d,2014-04-08T00:00:20.000Z,1,0
d,2014-04-08T00:00:30.000Z,8,0
e,2014-04-07T00:00:30.000Z,1,0
e,2014-04-07T00:00:30.000Z,2,0
"""


@pytest.fixture(scope="module")
def hand(tmp_path_factory):
    """Prepare a case with a result computed by hand.

    a and b both have the date 3 and b appears first; c has one click; e lies
    exactly on the boundary; 8 is unknown to train.
    """
    directory = tmp_path_factory.mktemp("hand")
    (directory / "log").write_text(HAND)
    config = Settings(min_item_count=1, validation_fraction="1/2")
    return directory, config, prepare([directory / "log"], directory / "data", config)


def test_results_computed_by_hand(hand):
    directory, _, manifest = hand
    split, vocabulary = read(directory / "data")
    assert vocabulary == ["2", "1", "3"]
    assert split == {
        "train": [(3, [1, 2])],
        "validation": [(3, [2, 1, 3])],
        "test": [(86_420 + 10, [3, 2])],
    }
    assert manifest.separator == " "
    assert manifest.inputs[0]["bytes"] == len(HAND)
    stats = json.loads((directory / "data" / "stats.json").read_text())
    assert stats["rows"] == 11
    assert stats["malformed_rows"] == 0
    assert list(stats["clicks_left"].values()) == [11, 10, 10, 10]
    assert stats["full_train"] == {"sessions": 2, "clicks": 5, "items": 3, "prefixes": 3}
    first_and_last = {"first": "2014-04-07 00:00", "last": "2014-04-07 00:00"}
    assert stats["train_all"] == stats["full_train"] | first_and_last
    assert stats["train"] == {
        **{"sessions": 1, "clicks": 2, "items": 2, "prefixes": 1},
        **first_and_last,
    }
    assert stats["test_without_index"] == {
        **{"clicks": 3, "unseen_clicks": 1, "unseen_targets": 1, "dropped_sessions": 0}
    }
    assert stats["unseen_test_targets"] == 0
    assert stats["unseen_test_targets_of_train"] == 0
    assert stats["settings"]["validation_fraction"] == "1/2"


def test_finished_directory_is_not_changed(hand, capsys):
    directory, config, manifest = hand
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*")}
    (directory / "log").rename(directory / "renamed")  # the name does not matter
    assert prepare([directory / "renamed"], directory / "data", config, Work(workers=1)) == manifest
    (directory / "renamed").rename(directory / "log")
    assert "nothing to do" in capsys.readouterr().err
    other = Settings(min_item_count=2)
    with pytest.raises(HlnError, match="pass `overwrite` to replace it"):
        prepare([directory / "log"], directory / "data", other)
    assert before == {path: path.stat().st_mtime_ns for path in directory.rglob("*")}


def test_data_set_with_the_older_name_of_the_session_timeout_is_recognised(hand, tmp_path, capsys):
    directory, config, _ = hand
    shutil.copytree(directory / "data", tmp_path / "data")
    path = tmp_path / "data" / "manifest.json"
    content = json.loads(path.read_text())
    content["settings"]["gap"] = content["settings"].pop("session_timeout")
    path.write_text(json.dumps(content))
    manifest = prepare([directory / "log"], tmp_path / "data", config)
    assert manifest.settings["gap"] == 0
    printed = capsys.readouterr().err
    assert f"{path} has the setting 'gap', which is now called 'session_timeout'" in printed
    assert "nothing to do" in printed
    content["settings"]["gap"] = 60
    path.write_text(json.dumps(content))
    with pytest.raises(HlnError, match="data set of other settings"):
        prepare([directory / "log"], tmp_path / "data", config)


@pytest.mark.slow
def test_overwrite_replaces_another_data_set(tmp_path):
    (tmp_path / "log").write_text(HAND)
    for fraction, sessions in (("0", 2), ("1/2", 1)):
        config = Settings(min_item_count=1, validation_fraction=fraction, shards=1)
        prepare([tmp_path / "log"], tmp_path / "data", config, overwrite=True)
        assert len(read(tmp_path / "data")[0]["train"]) == sessions
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "log"]


def test_unseen_targets_and_malformed_rows_are_counted(tmp_path):
    train = [f"t{n},{stamp(n)},{item},0" for n in range(3) for item in (2 * n, 2 * n + 1)]
    test = [f"x,{stamp(90_000)},{item},0" for item in (4, 0, 5, 1)]
    (tmp_path / "a").write_text("\n".join([*train, "", "what,is,this", *test]))
    config = Settings(
        min_item_count=1, train_fraction="1/3", validation_fraction="0", max_malformed=0.1
    )
    prepare([tmp_path / "a"], tmp_path / "data", config)
    stats = json.loads((tmp_path / "data" / "stats.json").read_text())
    assert stats["unseen_test_targets"] == 2
    assert stats["train_all"]["sessions"] == 1
    assert stats["malformed_rows"] == 1
    assert stats["first_malformed_rows"] == [{"file": "a", "line": 8, "content": "what,is,this"}]
    assert sum("malformed" in warning for warning in stats["warnings"]) == 1


@pytest.mark.slow
def test_nearly_empty_window_end_warns(tmp_path):
    rows = [
        f"u\t2009-04-{day:02d}T10:{minute:02d}:00Z\t\ta\t\t{minute % 7}"
        for day in range(10, 31)
        for minute in range(20)
    ]
    rows.append("u\t2010-01-01T00:00:00Z\t\ta\t\t1")
    (tmp_path / "log").write_text("\n".join(rows))
    config = Settings(**DATASETS["lastfm"].defaults, dataset="lastfm")
    prepare([tmp_path / "log"], tmp_path / "data", config)
    stats = json.loads((tmp_path / "data" / "stats.json").read_text())
    assert "the last 5 day(s)" in stats["warnings"][0]
    assert "--window_end 2009-04-30" in stats["warnings"][0]
