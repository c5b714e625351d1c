import json

import pytest
from commands import run


def test_table_of_several_runs(trained, popular):
    outcome = run("hln_tf.report", trained.path, popular.path)
    assert outcome.code == 0
    first, blank, header, rule, *rows = outcome.out.splitlines()
    assert "percent" in first and not blank
    names = ["run", "model", "trained on", "R@5", "R@10", "R@20", "MRR@5", "MRR@10", "MRR@20"]
    assert [cell.strip() for cell in header.strip("|").split("|")] == names
    assert set(rule) == set("|- :")
    assert len({len(line) for line in (header, rule, *rows)}) == 1
    for row, finished, model in zip(rows, (trained, popular), ("hln", "popularity"), strict=True):
        test = finished.metrics["test"]
        figures = [test[f"{metric}@{k}"] for metric in ("recall", "mrr") for k in (5, 10, 20)]
        expected = [
            str(finished.path),
            model,
            "train",
            *(f"{100 * value:.2f}" for value in figures),
        ]
        assert [cell.strip() for cell in row.strip("|").split("|")] == expected


def test_training_prints_its_row(trained):
    assert run("hln_tf.report", trained.path).out.endswith(trained.outcome.out)


def test_unfinished_run_is_named(trained, damaged):
    (damaged / "metrics.json").unlink()
    outcome = run("hln_tf.report", trained.path, damaged)
    sentence = outcome.sentence()
    assert str(damaged / "metrics.json") in sentence and "finished" in sentence
    assert "|" not in outcome.out


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"test": 5}', '{"test": {}}', '{"model": "hln", "test": null}']
)
def test_damaged_metrics_are_named(damaged, content):
    (damaged / "metrics.json").write_text(content)
    assert str(damaged / "metrics.json") in run("hln_tf.report", damaged).sentence()


def test_metrics_that_are_no_numbers_are_named(damaged):
    metrics = json.loads((damaged / "metrics.json").read_text())
    metrics["test"]["mrr@20"] = "high"
    (damaged / "metrics.json").write_text(json.dumps(metrics))
    assert str(damaged / "metrics.json") in run("hln_tf.report", damaged).sentence()


def test_no_run_is_a_usage_error():
    assert "runs" in run("hln_tf.report").sentence(2)
