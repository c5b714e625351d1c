"""Slices by columns of the log, through the commands, from the log to the tables."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
from commands import prepare, run

from hln_tf.metrics import means_of_ranks

LOG = ("--session", "visit", "--time", "time", "--time_format", "seconds", "--item", "item")
DEVICES = ("phone", "phone", "tv")


@pytest.fixture(scope="module")
def clicks(tmp_path_factory):
    """A log in which each visit has one device, and a page that is sometimes missing."""
    rng = np.random.default_rng(1)
    rows = [
        (f"v{visit}", 1_400_000_000 + 3_000 * visit + n, f"i{item}", DEVICES[visit % 3], page)
        for visit in range(120)
        for n, item in enumerate(rng.integers(0, 9, 2 + visit % 4))
        for page in [rng.choice(["home", "list", ""])]
    ]
    path = tmp_path_factory.mktemp("log") / "clicks.csv"
    names = ["visit", "time", "item", "device", "page"]
    pd.DataFrame(rows, columns=names).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def directory(clicks):
    path = clicks.parent / "data"
    flags = ("--extra_columns", "device", "page", "--validation_fraction", "0.2")
    outcome = prepare("--dataset", "custom", "--input", clicks, *LOG, *flags, "--output", path)
    assert outcome.code == 0, outcome.err
    return path


def trained(directory, model):
    path = directory.parent / model
    flags = ("--dataset", "custom", "--data_dir", directory, "--model", model, "--workdir", path)
    outcome = run("hln_tf.train", *flags)
    assert outcome.code == 0, outcome.err
    return path


@pytest.fixture(scope="module")
def popular(directory):
    return trained(directory, "popularity")


@pytest.fixture(scope="module")
def markov(directory):
    return trained(directory, "markov")


def sliced(path, by):
    """The rows of a CSV of slices of one property, by value."""
    with open(path, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["slice by"] == by]
    return {row["value"]: row for row in rows}


def test_metrics_of_each_value(popular, clicks, tmp_path):
    """They are those of the examples whose target has the value in the log."""
    flags = ("--slice_by", "device", "page", "--slices_picture", tmp_path / "slices", "--k", "3")
    outcome = run("hln_tf.evaluate", "--workdir", popular, *flags, "--save_ranks")
    assert outcome.code == 0, outcome.err
    ranks = pd.read_parquet(popular / "ranks-test.parquet")
    log = pd.read_csv(clicks, keep_default_na=False)
    tested = log[log["time"] > log["time"].max() - 86_400].groupby("visit", sort=False)
    targets = pd.concat(of_visit.iloc[1:] for _, of_visit in tested)
    assert ranks["target"].tolist() == targets["item"].tolist()
    assert ranks["log_device"].tolist() == targets["device"].tolist()
    assert ranks["log_page"].fillna("").tolist() == targets["page"].tolist()
    for column, values in (("device", {"phone", "tv"}), ("page", {"home", "list", "(missing)"})):
        found = sliced(tmp_path / "slices.csv", f"{column} at the target")
        assert set(found) == values
        for value, row in found.items():
            chosen = ranks[f"log_{column}"].fillna("(missing)") == value
            expected = means_of_ranks(ranks["rank"][chosen].to_numpy(), [3])
            assert int(row["examples"]) == chosen.sum()
            assert float(row["recall@3"]) == pytest.approx(100 * expected["recall@3"], abs=0.0051)
            assert f"| {column} at the target " in outcome.out
    assert sliced(tmp_path / "slices.csv", "target in the session")


def test_a_later_log_is_divided_by_its_columns(popular, clicks):
    flags = ("--input", clicks, *LOG, "--slice_by", "device")
    outcome = run("hln_tf.evaluate", "--workdir", popular, *flags)
    assert outcome.code == 0, outcome.err
    assert "| device at the target     | phone " in outcome.out
    flags = ("--input", clicks, *LOG, "--slice_by", "land")
    assert "has no column 'land'" in run("hln_tf.evaluate", "--workdir", popular, *flags).sentence()


def test_runs_are_compared_by_value(popular, markov):
    outcome = run("hln_tf.compare", popular, markov, "--slice_by", "device", "--resamples", "200")
    assert outcome.code == 0, outcome.err
    for value in ("phone", "tv"):
        assert f"| device at the target     | {value} " in outcome.out


def test_the_page_has_the_values(popular, tmp_path):
    flags = ("--html", tmp_path / "page.html", "--slice_by", "page")
    outcome = run("hln_tf.report", popular, *flags)
    assert outcome.code == 0, outcome.err
    assert "page at the target" in (tmp_path / "page.html").read_text("utf-8")
    assert "goes with --html" in run("hln_tf.report", popular, "--slice_by", "page").sentence(2)


def test_extra_columns_that_are_not_there_are_one_sentence(popular, markov, directory):
    """Before anything is ranked; a data set of before has none."""
    expected = f"{directory} has no extra column 'land' of the log; it has 'device', 'page': write"
    for command in (
        ("hln_tf.evaluate", "--workdir", popular),
        ("hln_tf.compare", popular, markov),
        ("hln_tf.report", popular, "--html", popular / "page.html"),
    ):
        outcome = run(*command, "--slice_by", "land")
        assert outcome.sentence(2).startswith(expected)
        assert "examples/s" not in outcome.err


def test_a_data_set_without_extra_columns(popular, clicks, tmp_path):
    """As one of an earlier version: a run is evaluated on it, without slices by columns."""
    flags = ("--dataset", "custom", "--input", clicks, *LOG, "--validation_fraction", "0.2")
    assert prepare(*flags, "--output", tmp_path / "data").code == 0
    path = tmp_path / "data" / "manifest.json"
    content = json.loads(path.read_text())
    del content["settings"]["extra_columns"]
    path.write_text(json.dumps(content))
    flags = ("--workdir", popular, "--data_dir", tmp_path / "data")
    assert run("hln_tf.evaluate", *flags, "--slices").code == 0
    sentence = run("hln_tf.evaluate", *flags, "--slice_by", "page").sentence(2)
    assert "has no extra column 'page' of the log; it has none: write" in sentence
