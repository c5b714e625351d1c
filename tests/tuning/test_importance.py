import csv

import numpy as np
import pytest
from matplotlib import image

from hln_tf.common.settings import Range
from tuning.importance import measure_importance
from tuning.results import Results
from tuning.space import Hyperparameter
from tuning.trial_result import TrialResult

RATE = Hyperparameter("rate", Range(0.001, 1.0, log=True), 0.01)
BIAS = Hyperparameter("bias", Range(-1.0, 1.0), 0.0)
KIND = Hyperparameter("kind", ("a", "b"), "a")


def importance(hyperparameter, values, scores, epochs=None):
    named = [{hyperparameter.name: value} for value in values]
    (result,) = measure_importance([hyperparameter], named, scores, epochs or [1] * len(scores))
    return result


def test_a_monotonic_effect_is_fully_explained_whatever_the_scores():
    result = importance(RATE, [0.01, 0.1, 1.0, 0.001], [2.0, 3.0, 99.0, 1.0])
    assert result.explained_variance == pytest.approx(1)


def test_an_optimum_in_the_middle_of_a_range_is_detected():
    values, scores = np.linspace(-1, 1, 21), -np.square(np.linspace(-1, 1, 21))
    result = importance(BIAS, values, scores)
    assert result.explained_variance > 0.9 > result.threshold


def test_a_categorical_hyperparameter_explains_the_variance_between_its_means():
    # Ranks 1, 2 and 5 of a, 3 and 4 of b: means 8/3 and 7/2 around 3, by 3 * 1/9 + 2 * 1/4 of 10.
    result = importance(KIND, ["a", "a", "b", "b", "a"], [1.0, 2.0, 3.0, 4.0, 5.0])
    assert result.explained_variance == pytest.approx((3 / 9 + 2 / 4) / 10)


def test_an_irrelevant_hyperparameter_is_not_significant_nor_are_two_trials():
    random = np.random.default_rng(3)
    result = importance(BIAS, random.uniform(-1, 1, 40), random.uniform(0, 1, 40))
    assert result.explained_variance < result.threshold < 0.3
    few = importance(BIAS, [0.1, 0.2], [1.0, 2.0])
    assert few.threshold == pytest.approx(1)


def test_trials_are_ranked_among_those_of_the_same_epochs():
    values, epochs = [0.1, 0.2, 0.3] * 2, [1] * 3 + [9] * 3
    result = importance(BIAS, values, [1.0, 2.0, 3.0, 11.0, 12.0, 13.0], epochs)
    assert result.explained_variance == pytest.approx(1)


def test_a_default_of_zero_is_below_a_logarithmic_range():
    result = importance(RATE, [0.0, 0.01, 0.1, 1.0], [1.0, 2.0, 3.0, 4.0])
    assert result.explained_variance > 0.9


def test_a_conditional_hyperparameter_is_measured_where_it_applies():
    values = [{"kind": "a", "bias": n / 10} for n in range(10)] + [{"kind": "b"}] * 10
    scores = [*range(10), *range(100, 110)]
    found = {each.name: each for each in measure_importance([KIND, BIAS], values, scores, [1] * 20)}
    assert found["bias"].explained_variance == pytest.approx(1)
    (nowhere,) = measure_importance([BIAS], values[10:], scores[10:], [1] * 10)
    assert nowhere.explained_variance == 0


def test_the_most_important_comes_first_and_a_constant_explains_nothing():
    values = [{"kind": "a", "bias": n / 10} for n in range(10)]
    importances = measure_importance([KIND, BIAS], values, list(range(10)), [1] * 10)
    assert [each.name for each in importances] == ["bias", "kind"]
    assert importances[1].explained_variance == 0


def trial_result(number, score, rate, aggregation="sum"):
    values = {"learning_rate": rate, "aggregation": aggregation}
    reason = "" if score is not None else "the loss is nan"
    return TrialResult(number, values, values, 3, None, score, (), (None,), reason)


@pytest.mark.parametrize("count", [1, 9, 10])
def test_the_figure_is_complete_for_few_trials_and_many(make_plan, count):
    plan = make_plan()
    rates = np.geomspace(3e-4, 1e-2, count)
    completed = [trial_result(n, 0.3 - n / 100, rate) for n, rate in enumerate(rates)]
    Results(plan, completed, [trial_result(99, None, 0.001)]).write()
    pixels = image.imread(plan.workdir / "importance.png")[..., :3]
    assert pixels.min() < 0.5
    edges = [pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:]]
    assert all((edge == 1).all() for edge in edges), "the figure is cropped"
    figure = (plan.workdir / "importance.svg").read_text()
    assert figure.count("<svg") == 1
    assert ("too few to say which of 2 hyperparameters matter" in figure) == (count < 10)
    assert ("variance of the trials" in figure) == (count >= 10)


def test_the_table_and_the_file_list_every_trial(make_plan):
    plan = make_plan()
    completed = [trial_result(2, 0.31234, 0.002, "max"), trial_result(0, 0.3, 0.001)]
    results = Results(plan, completed, [trial_result(1, None, 0.01)])
    results.write()
    text = results.describe()
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")]
    assert [[cell.strip() for cell in row] for row in rows[2:]] == [
        ["2", "max", "0.002", "3", "31.23"],
        ["0", "sum", "0.001", "3", "30.00"],
        ["1", "sum", "0.01", "3", "failed"],
    ]
    assert "trial 1 failed: the loss is nan" in text
    assert "best: trial 2, 1.23 points above trial 0, the default settings" in text
    assert f"tensorboard --logdir {plan.workdir}" in text
    with open(plan.workdir / "trials.csv", newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["trial"] for row in written] == ["0", "1", "2"]
    assert [row["mrr@20"] for row in written] == ["0.3", "", "0.31234"]
    assert written[1]["reason"] == "the loss is nan"
