"""Results of a training: how epochs compare, and the content of `metrics.json`."""

import pytest
import tensorflow as tf

from hln_tf.models.settings import STAMPSettings
from hln_tf.training.results import compose_results, is_better, is_over, selection_results
from hln_tf.training.run_config import DataDescription, RunConfig
from hln_tf.training.settings import TrainingSettings

CONFIG = RunConfig(
    "stamp", STAMPSettings(), TrainingSettings(), DataDescription("clicks", "", " ", 9, "", "")
)


class Model:
    trainable_variables = (tf.zeros([2, 3]), tf.zeros([4]))


@pytest.mark.parametrize(
    ("value", "best", "expected"), [(0.1, None, True), (0.3, 1, True), (0.2, 1, False)]
)
def test_the_first_of_equal_epochs_is_the_best(value, best, expected):
    history = [{"mrr@20": 0.1}, {"mrr@20": 0.2}]
    assert is_better({"mrr@20": value}, history, best) is expected


@pytest.mark.parametrize(
    ("epoch", "best", "expected"),
    [(3, 0, False), (4, 0, True), (4, 1, False), (10, 9, True), (9, None, False), (10, None, True)],
)
def test_a_training_of_ten_epochs_ends_after_three_without_a_better_one(epoch, best, expected):
    assert is_over(epoch, best, epochs=10, patience=3) is expected


def test_a_selection_has_the_metrics_of_its_best_epoch():
    history = [{"loss": 2.0, "mrr@20": 0.2}, {"loss": 1.0, "mrr@20": 0.1}]
    assert selection_results(history, 0, 5.0) == {
        "best_epoch": 1,
        "history": history,
        "validation": {"mrr@20": 0.2},
        "training_seconds": 5.0,
    }


def test_durations_are_in_the_timing_and_sessions_in_one_place():
    results = {"sessions": {"train": 8, "validation": 2}, "refit_seconds": 3.0}
    test = {"mrr@20": 0.5, "prefixes": 7, "sessions": 4}
    assert compose_results(CONFIG, Model(), results, test, {"peak": 1}) == {
        "model": "stamp",
        "dataset": "clicks",
        "parameters": 10,
        "sessions": {"train": 8, "validation": 2, "test": 4},
        "test": {"mrr@20": 0.5, "prefixes": 7},
        "timing": {"refit_seconds": 3.0, "peak": 1},
    }


def test_without_a_test_part_there_are_no_test_metrics():
    content = compose_results(CONFIG, Model(), {"sessions": {"train": 8}}, None, {})
    assert "test" not in content and content["sessions"] == {"train": 8}
