"""Specs: the errors name the file, the key and the known ones."""

import argparse
import dataclasses

import pytest

from beam_preprocess.datasets import DATASETS
from beam_preprocess.formats import LogFormat
from beam_preprocess.spec import read_spec, settings_from_flags
from hln_tf.common.errors import HlnError, UsageError

SPEC = """\
user: user_id
time: timestamp
item: [brand, product]
session_timeout: 1800
separator: "|"
min_item_count: 2
test_from: 2014-09-30
train_fraction: 0.5
"""


def written(tmp_path, text=SPEC):
    path = tmp_path / "my_log.yaml"
    path.write_text(text)
    return str(path)


def settings(path, **flags):
    return settings_from_flags(argparse.Namespace(dataset="custom", **flags), path)


def test_spec_is_format_and_protocol(tmp_path):
    (found,) = settings(written(tmp_path))
    assert found.log.item == ("brand", "product")
    assert (found.order, found.session_timeout, found.min_item_count) == ("time", 1800, 2)
    assert (found.test_from, found.train_fraction) == ("2014-09-30", "1/2")
    assert found.log.is_quoted and found.log.between == ","


def test_flags_override_the_spec(tmp_path):
    path = written(tmp_path)
    assert settings(path, session_timeout=60)[0].session_timeout == 60
    (found,) = settings(path, test_seconds=100)
    assert (found.test_from, found.test_seconds) == ("", 100)
    several = settings(path, train_fraction="1/64,1/4")
    assert [one.train_fraction for one in several] == ["1/64", "1/4"]
    with pytest.raises(UsageError, match="twice"):
        settings(path, train_fraction="1/2,0.5")
    with pytest.raises(UsageError, match=r"--test_seconds and --test_from exclude"):
        settings(path, test_seconds=1, test_from="2014-09-30")


def test_the_older_name_of_the_session_timeout_is_accepted_with_a_notice(tmp_path, capsys):
    path = written(tmp_path, SPEC.replace("session_timeout: 1800", "gap: 60"))
    assert settings(path)[0].session_timeout == 60
    printed = capsys.readouterr().err
    assert f"{path} has the setting 'gap', which is now called 'session_timeout'" in printed
    assert settings(path, session_timeout=90)[0].session_timeout == 90


def test_older_and_current_name_in_one_spec_are_refused(tmp_path):
    path = written(tmp_path, f"{SPEC}gap: 60\n")
    with pytest.raises(UsageError, match="has the settings 'gap' and 'session_timeout', an older"):
        settings(path)


def test_numbers_and_single_columns(tmp_path):
    text = "format: tsv\nheader: false\nsession: 1\ntime: 2\nitem: 3\n"
    log = read_spec(written(tmp_path, text)).log
    assert (log.used, log.between, log.is_quoted) == (("1", "2", "3"), "\t", False)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "session_timeout: 1800",
            "timeout: 1800",
            ["'timeout'", "known are:", "time_format", "min_item_count"],
        ),
        ("session_timeout: 1800", "dataset: lastfm", ["unknown setting 'dataset'"]),
        (
            "session_timeout: 1800",
            "session_timeout: an hour",
            ["session_timeout is 'an hour'", "type int"],
        ),
        ("session_timeout: 1800", "session_timeout: -1", ["session_timeout is -1", "at least 0"]),
        ("session_timeout: 1800", "session_timeout: true", ["session_timeout is True", "type int"]),
        ("session_timeout: 1800", "", ["session_timeout is 0", "users"]),
        (
            "session_timeout: 1800",
            "session_timeout: 1800\nsession: s",
            ["session and user are both given"],
        ),
        ("user: user_id", "", ["session and user are neither given"]),
        ("user: user_id", "user:", ["user is None", "type str"]),
        ("time: timestamp", "", ["time is missing"]),
        ("item: [brand, product]", "", ["item is missing"]),
        ("item: [brand, product]", "item: [a, a]", ["item is ['a', 'a']"]),
        ("item: [brand, product]", "item: [a, null]", ["item is ['a', None]"]),
        (
            "session_timeout: 1800",
            "session_timeout: 1800\nformat: xml",
            ["format is 'xml'", "csv, tsv, jsonl, parquet"],
        ),
        (
            "session_timeout: 1800",
            "session_timeout: 1800\nformat: jsonl\ndelimiter: ;",
            ["delimiter is ';'", "jsonl"],
        ),
        (
            "session_timeout: 1800",
            "session_timeout: 1800\ndelimiter: '||'",
            ["delimiter is '||'", "one character"],
        ),
        (
            "session_timeout: 1800",
            "session_timeout: 1800\ntime_format: days",
            ["time_format is 'days'", "milliseconds"],
        ),
        ("session_timeout: 1800", "session_timeout: 1800\nheader: 1", ["header is 1", "type bool"]),
        ("test_from: 2014-09-30", "test_from: 2014-09-31", ["test_from is '2014-09-31'"]),
        (
            "session_timeout: 1800",
            "session_timeout: 1800\ntest_seconds: 60",
            ["test_seconds and", "exclude"],
        ),
        ("train_fraction: 0.5", "train_fraction: 1/4,2", ["train_fraction is 2"]),
        ("item: [", "item: {[", ["line 4", "not YAML"]),
        (SPEC, "- a\n- b\n", ["no spec", "name: value"]),
        (SPEC, "", ["no spec"]),
    ],
)
def test_wrong_specs_are_named(tmp_path, old, new, words):
    path = written(tmp_path, SPEC.replace(old, new))
    with pytest.raises(UsageError) as caught:
        settings(path)
    message = str(caught.value)
    assert message.startswith(path)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_spec_and_custom_go_together(tmp_path):
    with pytest.raises(UsageError, match=r"--dataset custom needs --spec.* or flags"):
        settings(None)
    with pytest.raises(UsageError, match="--spec goes with --dataset custom"):
        settings_from_flags(argparse.Namespace(dataset="sample"), written(tmp_path))
    with pytest.raises(HlnError, match="does not exist: give the path of a spec"):
        settings(str(tmp_path / "none.yaml"))
    with pytest.raises(HlnError, match="cannot be read"):
        settings(str(tmp_path))


def test_flags_give_the_format_without_a_spec():
    flags = {"session": "visit", "time": "when", "item": ["artist", "track"], "quotes": False}
    (found,) = settings_from_flags(argparse.Namespace(dataset="custom", shards=3, **flags), None)
    assert found.log == LogFormat(
        session="visit", time="when", item=("artist", "track"), quotes=False
    )
    assert (found.order, found.shards) == ("time", 3)


def test_flags_of_the_format_override_the_spec(tmp_path):
    path = written(tmp_path)
    (plain,) = settings(path)
    flags = argparse.Namespace(dataset="custom", time_format="milliseconds")
    (found,) = settings_from_flags(flags, path)
    assert found.log == dataclasses.replace(plain.log, time_format="milliseconds")


def test_flags_of_the_format_go_with_custom():
    with pytest.raises(UsageError, match="--time goes with --dataset custom"):
        settings_from_flags(argparse.Namespace(dataset="sample", time="when"), None)
    with pytest.raises(UsageError, match="item is missing"):
        settings_from_flags(argparse.Namespace(dataset="custom", session="a", time="when"), None)


@pytest.mark.parametrize("name", DATASETS)
def test_built_in_specs_are_valid(name):
    (found,) = settings_from_flags(argparse.Namespace(dataset=name), None)
    assert found.log is None
    assert found.log_format == DATASETS[name].log
