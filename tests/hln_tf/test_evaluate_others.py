"""Evaluation of a model on another log, or another data set, and at any cut-off."""

import json
import re

import commands
import pandas as pd
import pytest
import small_log
import toy
from commands import run

from hln_tf import Recommender

# The log of the training ends where this one begins, and half of this one's items are new.
LATER = [
    (f"later-{session}", time + 5 * 86_400, item)
    for session, time, item in small_log.rows(small_log.new_every_second_click)[400:]
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("evaluate")
    log = small_log.write(directory / "log.csv", small_log.rows())
    data = directory / "data"
    assert commands.prepare(*small_log.FLAGS, "--input", log, "--output", data).code == 0
    where = ("--dataset", "custom", "--data_dir", data, "--workdir", directory / "run")
    assert run("hln_tf.train", *where, "--model", "markov").code == 0
    return directory


@pytest.fixture
def later(tmp_path):
    return small_log.write(tmp_path / "later.csv", LATER)


def metrics(outcome):
    assert outcome.code == 0, outcome.err
    found = re.findall(r"^(\w+@\d+) +([\d.]+) %$", outcome.out, re.M)
    return {name: float(value) for name, value in found}


def test_a_later_log_is_read_as_that_of_the_training(trained, later):
    outcome = run("hln_tf.evaluate", "--workdir", trained / "run", "--input", later, "--k", "1,7")
    table = pd.DataFrame(LATER, columns=["session", "time", "item"])
    columns = {"session": "session", "time": "time", "item": "item"}
    expected = Recommender.load(trained / "run").evaluate(table, [1, 7], **columns)
    found = metrics(outcome)
    compared = ("recall@1", "recall@7", "mrr@1", "mrr@7")
    assert [found[name] for name in compared] == pytest.approx(
        [100 * expected[name] for name in compared], abs=0.006
    )
    first, unknown = outcome.out.splitlines()[:2]
    assert first == f"log: {expected['examples']} prefixes, 20 items"
    counts = (expected["unknown_clicks"], len(LATER), expected["unknown_targets"])
    assert "unknown to the model: {} of {} clicks; as targets {} (".format(*counts) in unknown
    assert expected["unknown_clicks"] == sum(item.startswith("new") for *_, item in LATER) > 0


def test_a_log_in_another_form_is_described_by_flags(trained, later, tmp_path):
    as_trained = run("hln_tf.evaluate", "--workdir", trained / "run", "--input", later)
    lines = [json.dumps({"v": s, "at": 1000 * t, "sku": i}) for s, t, i in LATER]
    (tmp_path / "later.jsonl").write_text("\n".join(lines))
    named = ("--session", "v", "--time", "at", "--item", "sku", "--time_format", "milliseconds")
    flags = ("--input", tmp_path / "later.jsonl", "--format", "jsonl", *named)
    outcome = run("hln_tf.evaluate", "--workdir", trained / "run", *flags)
    assert outcome.out == as_trained.out
    (tmp_path / "later.yaml").write_text(
        "format: jsonl\nsession: v\ntime: at\ntime_format: milliseconds\nitem: sku\n"
    )
    flags = ("--input", tmp_path / "later.jsonl", "--spec", tmp_path / "later.yaml")
    assert run("hln_tf.evaluate", "--workdir", trained / "run", *flags).out == as_trained.out


def test_any_cut_off_on_the_data_set_of_the_training(trained):
    outcome = run("hln_tf.evaluate", "--workdir", trained / "run", "--k", "20,1,20,3")
    stored = json.loads((trained / "run" / "metrics.json").read_text())["test"]
    found = metrics(outcome)
    assert {"recall@20", "recall@1", "recall@3", "mrr@20", "mrr@1", "mrr@3"} <= found.keys()
    assert found["mrr@20"] == pytest.approx(100 * stored["mrr@20"], abs=0.006)
    assert found["recall@1"] <= found["recall@3"] <= found["recall@20"]


def test_another_data_set_is_matched_by_item_ids(trained, tmp_path):
    """Its items 1 to 25 are i1 to i25, of which the model knows i1 to i19."""
    manifest = toy.write_dataset(tmp_path, {"test": [[1, 2, 3], [25, 4, 5], [6, 25]]}, 25)
    where = ("--workdir", trained / "run", "--data_dir", tmp_path)
    outcome = run("hln_tf.evaluate", *where)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("test: 5 prefixes, 20 items\nunknown to the model: 2 of 8 clicks")
    rows = [["i1", "i2", "i3"], ["i25", "i4", "i5"], ["i6", "i25"]]
    expected = Recommender.load(trained / "run").evaluate(rows)
    assert metrics(outcome)["mrr@20"] == pytest.approx(100 * expected["mrr@20"], abs=0.006)
    # The same ids at other indices are the same items.
    renamed = [f"i{number}" for number in [0, *range(2, 26)]]
    toy.rename_items(tmp_path, manifest, renamed)
    again = run("hln_tf.evaluate", *where)
    assert again.code == 0 and again.out != outcome.out


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--spec", "a.yaml"], 2, "--spec goes with --input"),
        (["--no-header"], 2, "--header goes with --input"),
        (["--input", "a", "--split", "test"], 2, "--input is evaluated instead of --data_dir"),
        (["--input", "a", "--save_ranks"], 2, "--save_ranks goes without --input"),
        (["--input", "none.csv"], 1, "none.csv does not exist"),
        (["--input", "none.csv", "--time_format", "years"], 2, "--time_format"),
    ],
)
def test_wrong_flags_are_one_sentence(trained, flags, code, words):
    assert words in run("hln_tf.evaluate", "--workdir", trained / "run", *flags).sentence(code)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("session,time,item\na,1700000000,i1\n", "no session has two or more clicks"),
        ("session,time,item\na,1700000000,i1\na,x,i1\n", "--max_malformed"),
        ("visit,time,item\na,1700000000,i1\n", "no column 'session'"),
    ],
)
def test_logs_that_cannot_be_evaluated(trained, tmp_path, content, words):
    (tmp_path / "log.csv").write_text(content)
    call = ("--workdir", trained / "run", "--input", tmp_path / "log.csv")
    sentence = run("hln_tf.evaluate", *call).sentence()
    assert words in sentence and str(tmp_path / "log.csv") in sentence


def test_without_the_data_set_the_format_is_to_be_given(trained, later, tmp_path):
    (tmp_path / "run").symlink_to(trained / "run")
    (trained / "data").rename(trained / "moved")
    try:
        call = ("--workdir", trained / "run", "--input", later)
        assert "say with --spec" in run("hln_tf.evaluate", *call).sentence()
        named = ("--session", "session", "--time", "time", "--item", "item")
        outcome = run("hln_tf.evaluate", *call, *named, "--time_format", "seconds")
        assert outcome.code == 0, outcome.err
    finally:
        (trained / "moved").rename(trained / "data")
