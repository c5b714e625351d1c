import json
import re
import shutil

import pytest
from browsers import SCREENSHOTS, chromium
from commands import run


def test_table_of_several_runs(trained, popular):
    outcome = run("hln_tf.report", trained.path, popular.path)
    assert outcome.code == 0
    first, blank, header, rule, *rows = outcome.out.splitlines()
    assert "percent" in first and not blank
    names = [
        "run",
        "model",
        "data set",
        "trained on",
        "R@5",
        "R@10",
        "R@20",
        "MRR@5",
        "MRR@10",
        "MRR@20",
    ]
    assert [cell.strip() for cell in header.strip("|").split("|")] == names
    assert set(rule) == set("|- :")
    assert len({len(line) for line in (header, rule, *rows)}) == 1
    for row, finished, model in zip(rows, (trained, popular), ("hln", "popularity"), strict=True):
        test = finished.metrics["test"]
        figures = [test[f"{metric}@{k}"] for metric in ("recall", "mrr") for k in (5, 10, 20)]
        expected = [
            str(finished.path),
            model,
            "sample",
            "train",
            *(f"{100 * value:.2f}" for value in figures),
        ]
        assert [cell.strip() for cell in row.strip("|").split("|")] == expected


def test_training_prints_its_row(trained):
    assert str(trained.path) in trained.outcome.out
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


@pytest.fixture
def ablation(trained, popular, tmp_path):
    """Three runs that differ in a setting, two of them in the seed alone, and another model."""
    runs = []
    for name, gates, seed, recall in (
        ("a", "both", 1, 0.5),
        ("b", "none", 1, 0.2),
        ("c", "none", 2, 0.4),
    ):
        shutil.copytree(trained.path, tmp_path / name)
        config = json.loads((trained.path / "config.json").read_text())
        config["model_settings"]["gates"] = gates
        config["training"]["seed"] = seed
        metrics = trained.metrics
        metrics["test"]["recall@5"] = recall
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        (tmp_path / name / "metrics.json").write_text(json.dumps(metrics))
        runs.append(tmp_path / name)
    return [*runs, popular.path]


def cells_of(outcome):
    lines = outcome.out.splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_settings_that_differ_are_a_column(ablation):
    header, _, *rows = cells_of(run("hln_tf.report", *ablation))
    assert header[4] == "settings"
    assert [row[4] for row in rows] == ["gates both", "gates none", "gates none", ""]


def test_means_are_over_seeds_and_not_over_settings(ablation):
    header, _, *rows = cells_of(run("hln_tf.report", "--mean", *ablation))
    assert header[3:6] == ["settings", "runs", "R@5"]
    assert [row[3:6] for row in rows[:2]] == [
        ["gates both", "1", "50.00"],
        ["gates none", "2", "30.00 ± 14.14"],
    ]
    assert rows[2][0] == "popularity"


def test_a_page_of_runs_is_one_file(popular_copy, trained_copy, tmp_path):
    """It has the tables' numbers, every section, and no reference to another file."""
    page = tmp_path / "page.html"
    outcome = run("hln_tf.report", popular_copy.path, trained_copy.path, "--html", page)
    assert outcome.code == 0, outcome.err
    text = page.read_text("utf-8")
    for title in ("Metrics", "Comparison", "Slices", "Learning curves", "Preference groups"):
        assert re.search(rf'<h2 id="s\d">{title}</h2>', text)
    for section in ("Data", "Settings", "Cost"):
        assert f">{section}</h2>" in text
    for path in (popular_copy, trained_copy):
        assert f"{100 * path.metrics['test']['mrr@20']:.2f}" in text
    assert text.count("<svg") >= 7
    assert not re.search(r'(src|href)="(?!#)(?!data:)', text)
    assert "<script" not in text


@pytest.mark.slow
def test_a_page_of_one_counting_run_leaves_out_what_it_has_not(popular_copy, tmp_path):
    page = tmp_path / "page.html"
    assert run("hln_tf.report", popular_copy.path, "--html", page).code == 0
    text = page.read_text("utf-8")
    for title in ("Comparison", "Learning curves", "Preference groups"):
        assert f">{title}</h2>" not in text


def test_the_data_set_goes_with_the_page(popular_copy, data):
    sentence = run("hln_tf.report", popular_copy.path, "--data_dir", data).sentence(2)
    assert "--data_dir goes with --html" in sentence


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_phone_and_a_desk(popular_copy, trained_copy, tmp_path, width):
    page = tmp_path / "page.html"
    assert run("hln_tf.report", popular_copy.path, trained_copy.path, "--html", page).code == 0
    with chromium() as browser:
        tab = browser.new_page(viewport={"width": width, "height": 800})
        tab.goto(page.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.locator("svg").count() >= 7
        if SCREENSHOTS:
            tab.screenshot(path=f"{SCREENSHOTS}/report_{width}.png", full_page=True)
