import csv
from pathlib import Path

import numpy as np
import pytest

import benchmarks
from benchmarks.model_preset import ModelPreset
from benchmarks.paper.published import (
    TABLE_1,
    TABLE_1_METRICS,
    datasets,
    impossible,
    item_counts,
    published,
)
from benchmarks.paper.runs import DEFAULT_MODELS
from hln_tf.models import model_entry

MODELS = dict.fromkeys(ModelPreset.parse(text).model for text in DEFAULT_MODELS)

# By eye from the printed table, in the order of its rows.
INCONSISTENT = {
    "yoochoose64": {"s_pop", "sknn", "bpr_mf", "fpmc", "csrm"},
    "yoochoose4": {"bpr_mf", "gru4rec", "stamp", "csrm"},
    "lastfm": {"s_pop", "sknn", "bpr_mf", "fpmc", "gru4rec", "stamp", "csrm"},
}
# Recall@5, Recall@10, MRR@5 and MRR@10 on Yoochoose 1/64, read a second time.
AGAIN = {
    "hln": (46.53, 58.91, 28.52, 29.86),
    "sr_gnn": (45.39, 58.01, 27.26, 28.92),
    "csrm": (45.82, 57.96, 27.13, 28.24),
    "narm": (45.21, 57.83, 25.73, 27.42),
    "stamp": (40.09, 52.96, 23.55, 25.17),
    "gru4rec": (39.67, 52.43, 22.82, 24.53),
    "fpmc": (28.91, 37.44, 19.28, 20.05),
    "bpr_mf": (24.16, 31.30, 17.65, 18.89),
    "s_pop": (2.21, 3.24, 1.23, 1.79),
}


def figures(*values):
    return dict(zip(TABLE_1_METRICS, values, strict=True))


def test_every_model_has_the_papers_figures_for_every_data_set():
    assert item_counts() == {"yoochoose64": 37_483, "yoochoose4": 37_483, "lastfm": 28_946}
    for dataset in datasets():
        for model in MODELS:
            found = published(dataset, model, "paper")
            of_table = {name for name, figure in found.items() if figure.source == TABLE_1}
            assert of_table == set(TABLE_1_METRICS)


def test_every_figure_belongs_to_a_known_model_and_preset():
    with open(Path(benchmarks.__file__).with_name("published.csv"), newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] != "items"]
    assert len({(row["model"], row["preset"], row["dataset"], row["metric"]) for row in rows}) == (
        len(rows)
    )
    for row in rows:
        assert row["preset"] in ("*", *model_entry(row["model"]).presets)
        assert row["dataset"] in datasets() and row["source"]
        assert 0 < float(row["value"]) < 100


@pytest.mark.parametrize("model", AGAIN)
def test_figures_of_the_paper(model):
    found = published("yoochoose64", model, "paper")
    names = ("recall@5", "recall@10", "mrr@5", "mrr@10")
    assert tuple(found[name].value for name in names) == AGAIN[model]
    assert all(found[name].source == TABLE_1 for name in names)


def test_best_figures_of_the_other_data_sets_are_those_in_bold():
    for dataset in ("yoochoose4", "lastfm"):
        best = {
            name: max(MODELS, key=lambda model: published(dataset, model, "paper")[name].value)
            for name in TABLE_1_METRICS
        }
        bold = dict.fromkeys(TABLE_1_METRICS, "hln")
        assert best == bold | ({"mrr@10": "csrm"} if dataset == "lastfm" else {})


@pytest.mark.parametrize("dataset", INCONSISTENT)
def test_rows_that_no_ranking_produces_are_found_by_the_rules(dataset):
    found = {
        model
        for model in MODELS
        if not all(figure.is_possible for figure in published(dataset, model, "paper").values())
    }
    assert found == INCONSISTENT[dataset]


def test_each_rule_marks_its_metrics():
    assert impossible(figures(20, 21, 40, 48)) == set()  # gains: 8/10 <= 1 <= 8/6
    assert impossible(figures(20, 20.7, 40, 48)) == set(TABLE_1_METRICS)  # 0.7 < 8/10
    assert impossible(figures(20, 21.5, 40, 48)) == set(TABLE_1_METRICS)  # 1.5 > 8/6
    assert impossible(figures(40.5, 41.5, 40, 48)) == {"mrr@5", "recall@5"}


def test_what_a_ranking_gives_is_possible_however_it_is_rounded():
    random = np.random.default_rng(1)
    for scale in (2, 5, 10, 30):
        for _ in range(50):
            ranks = 1 + random.geometric(1 / scale, 200)
            row = [
                round(100 * float(np.mean(np.where(ranks <= k, value, 0))), 2)
                for value in (1 / ranks, 1)
                for k in (5, 10)
            ]
            assert impossible(figures(*row)) == set(), row


def test_figures_of_other_papers_name_their_source():
    narm = published("yoochoose64", "narm", "paper")
    assert (narm["recall@20"].value, narm["mrr@20"].value) == (68.32, 28.63)
    assert narm["recall@20"].source == "the NARM paper"


def test_the_modern_gru4rec_is_not_the_papers():
    assert set(published("yoochoose64", "gru4rec", "modern")) == {"recall@20", "mrr@20"}
    assert published("lastfm", "gru4rec", "modern") == {}
    assert published("yoochoose64", "markov", "paper") == {}


def test_the_figures_of_hln_apply_to_all_its_presets():
    assert published("lastfm", "hln", "tuned") == published("lastfm", "hln", "paper") != {}
