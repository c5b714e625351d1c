"""What `hln_tf.evaluate` adds to Recall and MRR."""

import csv

import numpy as np
import pytest
from commands import run

from hln_tf.analysis.ranked_examples import read_examples
from hln_tf.metrics import means_of_ranks


def printed(outcome):
    """The metrics that a command printed, by name."""
    assert outcome.code == 0, outcome.err
    lines = map(str.split, outcome.out.splitlines())
    return {line[0]: float(line[1]) for line in lines if line and "@" in line[0]}


@pytest.mark.parametrize("kind", ["trained_copy", "popular_copy"])
def test_ranks_lists_and_slices(kind, request, tmp_path):
    """Of an encoder and of a model that counts; a cut-off is above the catalogue's 30 items."""
    path = request.getfixturevalue(kind).path
    picture = ("--slices", "--slices_picture", tmp_path / "slices")
    flags = ("--k", "1,5,40", "--save_ranks", "--beyond_accuracy", *picture)
    outcome = run("hln_tf.evaluate", "--workdir", path, *flags)
    found = printed(outcome)
    assert len(found) == 3 * (4 + 6)
    table = read_examples(path / "ranks-test.parquet")
    for name, value in means_of_ranks(np.asarray(table["rank"]), (1, 5, 40)).items():
        assert found[name] == pytest.approx(100 * value, abs=0.0051)
    assert found["recall@40"] == 100
    assert found["coverage@40"] == 1
    assert found["gini@40"] == pytest.approx(0, abs=1e-9)
    assert np.isfinite(np.asarray(table["score"])).all()
    with open(tmp_path / "slices.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    by_session = [row for row in rows if row["slice by"] == "target in the session"]
    examples = sum(int(row["examples"].replace(",", "")) for row in by_session)
    assert examples == len(table)
    for row in rows:
        assert f"| {row['value']} " in outcome.out
    assert (tmp_path / "slices.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--k", "0"), "positive whole numbers joined by commas"),
        (("--k", "5,"), "positive whole numbers joined by commas"),
        (("--save_ranks", "--inference_gate", "hard"), "goes without --inference_gate"),
    ],
)
def test_bad_flags(trained, flags, message):
    assert message in run("hln_tf.evaluate", "--workdir", trained.path, *flags).sentence(2)
