"""Results of a training: how epochs compare."""

import pytest

from hln_tf.training.results import is_better, is_over


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
