import csv
import json
import re
import shutil

import numpy as np
import pytest
from commands import run

from hln_tf.analysis.ranked_examples import read_examples
from hln_tf.metrics import values_of_ranks

FAST = ("--resamples", "200")


@pytest.fixture
def seeds(popular_copy, tmp_path):
    """A copy of a run with another seed, and so with the same ranks."""
    copy = tmp_path / "other"
    shutil.copytree(popular_copy.path, copy)
    config = json.loads((copy / "config.json").read_text())
    config["training"]["seed"] = 2
    (copy / "config.json").write_text(json.dumps(config))
    return copy


def table(text):
    """The rows of the first Markdown table with a column `points`, by column."""
    lines = [re.split(r" *\| *", line.strip("| ")) for line in text.splitlines() if "|" in line]
    start = next(number for number, line in enumerate(lines) if "points" in line)
    return [dict(zip(lines[start], line, strict=True)) for line in lines[start + 2 :]]


def test_runs_are_compared_example_by_example(popular_copy, trained_copy, seeds, tmp_path):
    """The differences are those of the ranks; runs of two seeds are one model."""
    runs = (popular_copy.path, trained_copy.path, seeds)
    flags = ("--metrics", "recall@5", "ndcg@10", "--output", tmp_path / "compared", *FAST)
    outcome = run("hln_tf.compare", *runs, *flags)
    assert outcome.code == 0, outcome.err
    ranks = [np.asarray(read_examples(path / "ranks-test.parquet")["rank"]) for path in runs]
    rows = table(outcome.out.partition("wrote")[0])
    assert [(row["model"], row["compared with"]) for row in rows] == [("hln", "popularity")] * 2
    for row, metric in zip(rows, ("recall@5", "ndcg@10"), strict=True):
        assert row["metric"] == metric
        first, second = (values_of_ranks(metric, each).mean() for each in ranks[:2])
        assert float(row["points"]) == pytest.approx(100 * (second - first), abs=0.0051)
        low, high = map(float, re.findall(r"[+-][\d.]+", row["95 % interval"]))
        assert low <= float(row["points"]) <= high
    assert re.search(r"^\| popularity \| +2 \|", outcome.out, re.M)
    with open(tmp_path / "compared.csv", newline="") as file:
        assert [row["points"] for row in csv.DictReader(file)] == [row["points"] for row in rows]
    assert (tmp_path / "compared.png").stat().st_size > 1000
    # The ranks are read the second time, and the result is the same.
    again = run("hln_tf.compare", *runs, *flags)
    assert again.out == outcome.out
    assert "examples" not in again.err


@pytest.mark.slow
def test_slices_and_sessions(popular_copy, trained_copy):
    outcome = run(
        "hln_tf.compare", popular_copy.path, trained_copy.path, "--slices", "--sessions", "2", *FAST
    )
    assert outcome.code == 0, outcome.err
    assert re.search(r"\| target in the session +\| yes +\|", outcome.out)
    examples = outcome.out.rpartition("rank of second")[2]
    ahead = [re.split(r" *\| *", line.strip("| ")) for line in examples.splitlines() if "|" in line]
    for first, second, best, clicks, target, of_first, of_second in ahead[2:]:
        assert (first, second) == ("popularity", "hln")
        assert (int(of_second) < int(of_first)) == (best == "hln")
        assert clicks and target.startswith("i")
    assert "hln" in {row[2] for row in ahead[2:]}


def test_runs_of_one_setting_or_of_other_examples_are_one_sentence(popular_copy, seeds, damaged):
    sentence = run("hln_tf.compare", popular_copy.path, seeds).sentence(2)
    assert "differ in the seed alone" in sentence
    assert "two or more different workdirs" in run("hln_tf.compare", popular_copy.path).sentence(2)
    sentence = run("hln_tf.compare", popular_copy.path, seeds, "--metrics", "auc@5").sentence(2)
    assert "expected one of recall" in sentence
    (damaged / "ranks-test.parquet").write_bytes(b"half")
    assert "no readable Parquet" in run("hln_tf.compare", popular_copy.path, damaged).sentence()
