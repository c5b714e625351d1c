"""What `hln_tf.evaluate` adds to Recall and MRR."""

import csv
import json

import numpy as np
import pytest
from commands import run
from toy import write_dataset

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


def test_an_ensemble_has_the_weight_that_validation_prefers(trained, popular, splits, tmp_path):
    def metrics(*flags):
        path = tmp_path / "metrics.json"
        flags = ("--workdir", trained.path, *flags, "--output", path)
        outcome = run("hln_tf.evaluate", *flags)
        assert outcome.code == 0, outcome.err
        return json.loads(path.read_text("utf-8")), outcome

    others = ("--ensemble", popular.path)
    alone, _ = metrics()
    found, outcome = metrics(*others, "--ensemble_weight", "validation")
    by_weight = {float(key): mrr for key, mrr in found["validation_mrr@20_by_weight"].items()}
    assert list(by_weight) == [step / 20 for step in range(21)]
    weight = max(by_weight, key=by_weight.get)
    assert f"weight {weight} of the other runs, by MRR@20 on validation" in outcome.out
    assert [each["share"] for each in found["runs"]] == pytest.approx([1 - weight, weight])
    # On validation the weights are those of an ensemble with that weight.
    for each in (0.0, weight):
        flags = ("--split", "validation", "--ensemble_weight", each)
        again, _ = metrics(*others, *flags)
        assert again["validation"]["mrr@20"] == pytest.approx(by_weight[each], abs=1e-6)
    nothing, _ = metrics(*others, "--ensemble_weight", "0")
    assert nothing["test"] == pytest.approx(alone["test"])
    equal, _ = metrics(*others)
    paths = [str(trained.path), str(popular.path)]
    assert equal["runs"] == [{"run": path, "share": 0.5} for path in paths]
    twice, _ = metrics("--ensemble", popular.path, popular.path)
    assert [each["run"] for each in twice["runs"]] == [*paths, paths[1]]
    assert sum(each["share"] for each in twice["runs"]) == pytest.approx(1)
    assert "validation_mrr@20_by_weight" not in {*alone, *equal}
    assert alone["test"]["examples"] == sum(len(session) - 1 for session in splits["test"])


def test_the_file_has_all_that_is_printed_of_a_part(popular, data, tmp_path):
    """Items 31 and 32 of the other data set are unknown to the model."""
    other = tmp_path / "other"
    write_dataset(other, {"test": [[1, 2, 3], [31, 4, 32], [5, 31]]}, 32)
    flags = ("--workdir", popular.path, "--data_dir", other, "--beyond_accuracy", "--k", "5")
    outcome = run("hln_tf.evaluate", *flags, "--output", tmp_path / "metrics.json")
    found = json.loads((tmp_path / "metrics.json").read_text("utf-8"))["test"]
    values = printed(outcome)
    assert {"coverage@5", "gini@5", "mrr@5"} < values.keys()
    counts = {"examples": 5, "unknown_clicks": 3, "unknown_targets": 2}
    assert found.keys() == {*counts, *values}
    assert {name: found[name] for name in counts} == counts
    assert "unknown to the model: 3 of 8 clicks; as targets 2" in outcome.out
    of_accuracy = ("recall", "mrr", "ndcg", "precision", "hitrate", "map")
    for name, value in values.items():
        scale = 100 if name.startswith(of_accuracy) else 1
        assert scale * found[name] == pytest.approx(value, abs=0.0051, rel=1e-5)


@pytest.mark.parametrize("place", [0, 1])
def test_validation_chooses_no_weight_of_a_run_that_was_trained_on_it(trained, popular_copy, place):
    path = popular_copy.path / "metrics.json"
    content = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(content | {"trained_on": "train+validation"}), "utf-8")
    first, other = [trained.path, popular_copy.path][:: 1 - 2 * place]
    flags = ("--workdir", other, "--ensemble", first, "--ensemble_weight")
    assert run("hln_tf.evaluate", *flags, "validation").sentence(1) == (
        f"{popular_copy.path} is trained on train+validation, so validation cannot choose "
        "--ensemble_weight: train it with --no-refit, or give a number as the weight"
    )
    assert run("hln_tf.evaluate", *flags, "0.5").code == 0


def test_runs_that_read_sessions_otherwise_are_no_ensemble(trained, popular_copy):
    config = popular_copy.path / "config.json"
    text = config.read_text("utf-8")
    config.write_text(text.replace('"max_length": 50', '"max_length": 3'), "utf-8")
    flags = ("--workdir", trained.path, "--ensemble", popular_copy.path)
    assert "uses 3 clicks of a session and" in run("hln_tf.evaluate", *flags).sentence(1)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--ensemble_weight", "0.5"), "--ensemble_weight goes with --ensemble"),
        (("--ensemble", "a", "--ensemble_weight", "1.5"), "validation, or a number from 0 to 1"),
        (("--ensemble", "a", "--ensemble_weight", "test"), "validation, or a number from 0 to 1"),
        (("--ensemble", "a", "--save_ranks"), "--save_ranks goes without --ensemble"),
        (("--ensemble", "a", "--inference_gate", "hard"), "goes without --ensemble"),
        (("--k", "0"), "positive whole numbers joined by commas"),
        (("--k", "5,"), "positive whole numbers joined by commas"),
        (("--save_ranks", "--inference_gate", "hard"), "goes without --inference_gate"),
    ],
)
def test_bad_flags(trained, flags, message):
    assert message in run("hln_tf.evaluate", "--workdir", trained.path, *flags).sentence(2)
